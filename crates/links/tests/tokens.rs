//! A token says what was signed, or is refused; an address has one hash however it is typed.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use links::{AddressHash, KeyRing, KeyRingError, MAX_TOKEN_CHARS, Secret, TokenError, UnsubscribeToken};
use proptest::prelude::*;

const OLD: &str = "k1:an old secret of many bytes";
const NEW: &str = "k2:a new secret of many bytes";

fn ring(lines: &[&str]) -> KeyRing {
    KeyRing::parse(&lines.join("\n")).unwrap()
}

fn secret() -> Secret {
    Secret::new("the secret of the addresses").unwrap()
}

fn token() -> UnsubscribeToken {
    UnsubscribeToken {
        customer_id: "ana-7".into(),
        message_id: "m-1".into(),
        address_hash: AddressHash::of(&secret(), "ana@example.com"),
        category: "cart".into(),
        shop: "demo".into(),
    }
}

#[test]
fn a_signed_token_is_url_safe_and_says_what_was_signed() {
    let text = token().sign(&ring(&[NEW])).unwrap();
    assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'), "{text}");
    assert_eq!(UnsubscribeToken::verify(&ring(&[NEW]), &text), Ok(token()));
}

#[test]
fn a_link_signed_by_an_older_key_still_works_and_one_by_a_retired_key_does_not() {
    let text = token().sign(&ring(&[OLD])).unwrap();
    assert_eq!(UnsubscribeToken::verify(&ring(&[NEW, OLD]), &text), Ok(token()));
    assert_eq!(UnsubscribeToken::verify(&ring(&[NEW]), &text), Err(TokenError::UnknownKey));
}

#[test]
fn a_token_of_another_secret_with_the_same_key_id_is_forged() {
    let text = token().sign(&ring(&["k1:somebody else's long secret"])).unwrap();
    assert_eq!(UnsubscribeToken::verify(&ring(&[OLD]), &text), Err(TokenError::Forged));
}

#[test]
fn ids_that_make_a_link_too_long_are_refused_when_it_is_signed() {
    let one_long = UnsubscribeToken { customer_id: "x".repeat(256), ..token() };
    assert_eq!(one_long.sign(&ring(&[NEW])), Err(TokenError::TooLong));
    let full = || "x".repeat(255);
    let all_full =
        UnsubscribeToken { customer_id: full(), message_id: full(), category: full(), shop: full(), ..token() };
    assert!(all_full.sign(&ring(&[NEW])).unwrap().len() <= MAX_TOKEN_CHARS);
}

#[test]
fn an_address_has_one_hash_however_it_is_typed() {
    let hash = |address: &str| AddressHash::of(&secret(), address);
    assert_eq!(hash(" Ana@Example.COM "), hash("ana@example.com"));
    assert_eq!(hash("+34 600-00 00 01"), hash("0034600000001"));
    assert_ne!(hash("ana@example.com"), hash("eva@example.com"));
    assert_ne!(hash("600000001"), hash("+600000001"));
    assert_ne!(AddressHash::of(&Secret::new("another secret altogether").unwrap(), "a@b"), hash("a@b"));
}

#[test]
fn an_address_hash_is_read_back_from_its_text() {
    let hash = AddressHash::of(&secret(), "ana@example.com");
    assert_eq!(hash.to_string().parse(), Ok(hash));
    for wrong in ["", "abc", "ZZ00000000000000000000000000000000", &"F".repeat(32)] {
        assert!(wrong.parse::<AddressHash>().is_err(), "{wrong}");
    }
}

#[test]
fn keys_that_make_no_ring_are_refused_by_name() {
    assert_eq!(KeyRing::parse("# none\n").unwrap_err(), KeyRingError::Empty);
    assert_eq!(KeyRing::parse("no colon").unwrap_err(), KeyRingError::Line { line: 1 });
    assert!(KeyRing::parse("k1:short").unwrap_err().to_string().contains("`k1`"));
    assert_eq!(KeyRing::parse(&format!("{OLD}\n{OLD}")).unwrap_err(), KeyRingError::Twice("k1".into()));
    assert!(matches!(KeyRing::parse("K_1:a secret of many bytes"), Err(KeyRingError::KeyId(_))));
}

#[test]
fn secrets_are_not_shown() {
    assert!(!format!("{:?}", ring(&[OLD])).contains("old secret"));
}

proptest! {
    #[test]
    fn every_token_comes_back_and_every_changed_bit_is_noticed(
        customer_id in ".{0,40}", message_id in ".{0,40}", category in ".{0,12}", shop in ".{0,12}", bit in any::<usize>()
    ) {
        let token = UnsubscribeToken { customer_id, message_id, category, shop, ..token() };
        let keys = ring(&[NEW, OLD]);
        let text = token.sign(&keys).unwrap();
        prop_assert_eq!(UnsubscribeToken::verify(&keys, &text), Ok(token));
        let mut changed = text.into_bytes();
        let at = bit % changed.len();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        prop_assert!(UnsubscribeToken::verify(&keys, std::str::from_utf8(&changed).unwrap()).is_err());
    }

    #[test]
    fn no_text_makes_verification_panic(text in "\\PC{0,200}", base64 in "[A-Za-z0-9_-]{0,400}") {
        let keys = ring(&[NEW]);
        prop_assert!(UnsubscribeToken::verify(&keys, &text).is_err());
        prop_assert!(UnsubscribeToken::verify(&keys, &base64).is_err());
    }
}
