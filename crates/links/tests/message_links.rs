//! A link leads to what was signed and to nothing else; a token of one use is none of another.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use links::{
    AddressHash, ClickToken, KeyRing, MAX_CLICK_TOKEN_CHARS, OpenToken, PreferencesToken, Secret, SentMessage, Target,
    TargetError, TokenError, UnsubscribeToken, VisitToken,
};
use proptest::prelude::*;

fn ring(lines: &str) -> KeyRing {
    KeyRing::parse(lines).unwrap()
}

fn keys() -> KeyRing {
    ring("k2:a new secret of many bytes\nk1:an old secret of many bytes")
}

fn message() -> SentMessage {
    SentMessage {
        customer_id: "ana-7".into(),
        message_id: "m-1".into(),
        category: "cart".into(),
        shop: "demo".into(),
        sent_at: 1_772_366_400_000,
    }
}

fn click(target: &str) -> ClickToken {
    ClickToken { message: message(), link: 3, target: target.parse().unwrap() }
}

fn visit() -> VisitToken {
    VisitToken { customer_id: "ana-7".into(), shop: "demo".into(), until: 1_772_366_400_000 }
}

#[test]
fn a_parameter_more_leaves_all_else_of_an_address_to_the_letter() {
    for (address, with) in [
        ("https://shop.example.com", "https://shop.example.com?v=x"),
        ("https://shop.example.com/#top", "https://shop.example.com/?v=x#top"),
        ("https://shop.example.com/a?b=%C3%B1&c", "https://shop.example.com/a?b=%C3%B1&c&v=x"),
        ("http://a/?#?", "http://a/?&v=x#?"),
    ] {
        assert_eq!(address.parse::<Target>().unwrap().with_parameter("v", "x").unwrap().as_str(), with);
    }
    let full = format!("https://a/{}", "x".repeat(Target::MAX_BYTES - 10));
    assert_eq!(full.parse::<Target>().unwrap().with_parameter("v", "x"), None);
}

#[test]
fn a_click_and_an_open_say_what_was_signed() {
    let token = click("https://shop.example.com/cart?a=1&b=%C3%B1#top");
    let text = token.sign(&keys()).unwrap();
    assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'), "{text}");
    assert_eq!(ClickToken::verify(&keys(), &text), Ok(token));
    let open = OpenToken(message());
    assert_eq!(OpenToken::verify(&keys(), &open.sign(&keys()).unwrap()), Ok(open));
}

#[test]
fn a_retired_key_signs_for_nobody_and_a_strangers_is_forged() {
    let text = click("https://shop.example.com/").sign(&ring("k1:an old secret of many bytes")).unwrap();
    assert!(ClickToken::verify(&keys(), &text).is_ok());
    assert_eq!(ClickToken::verify(&ring("k2:a new secret of many bytes"), &text), Err(TokenError::UnknownKey));
    assert_eq!(ClickToken::verify(&ring("k1:somebody else's long secret"), &text), Err(TokenError::Forged));
}

#[test]
fn a_token_of_one_use_does_not_pass_for_another() {
    let address_hash = AddressHash::of(&Secret::new("the secret of the addresses").unwrap(), "ana@example.com");
    let SentMessage { customer_id, message_id, category, shop, .. } = message();
    let unsubscribe = UnsubscribeToken { customer_id, message_id, address_hash, category, shop };
    let preferences = PreferencesToken(unsubscribe.clone());
    let texts = [
        unsubscribe.sign(&keys()).unwrap(),
        preferences.sign(&keys()).unwrap(),
        click("https://shop.example.com/").sign(&keys()).unwrap(),
        OpenToken(message()).sign(&keys()).unwrap(),
        visit().sign(&keys()).unwrap(),
    ];
    assert_eq!(PreferencesToken::verify(&keys(), &texts[1]), Ok(preferences));
    for (index, text) in texts.iter().enumerate() {
        let read = [
            UnsubscribeToken::verify(&keys(), text).map(drop),
            PreferencesToken::verify(&keys(), text).map(drop),
            ClickToken::verify(&keys(), text).map(drop),
            OpenToken::verify(&keys(), text).map(drop),
            VisitToken::verify(&keys(), text).map(drop),
        ];
        for (other, read) in read.into_iter().enumerate() {
            assert_eq!(read, if other == index { Ok(()) } else { Err(TokenError::Forged) }, "{index} as {other}");
        }
    }
}

#[test]
fn nobody_is_sent_on_to_what_is_no_web_address() {
    for (text, why) in [
        ("javascript:alert(1)", TargetError::NotWeb),
        ("data:text/html,x", TargetError::NotWeb),
        ("//evil.example.com/", TargetError::NotWeb),
        ("/cart", TargetError::NotWeb),
        ("", TargetError::NotWeb),
        ("https:evil.example.com", TargetError::NotWeb),
        ("javascript://x/%0Aalert(1)", TargetError::NotWeb),
        ("mailto:ana@example.com", TargetError::NotWeb),
        ("https:///cart", TargetError::NoHost),
        ("https://?x", TargetError::NoHost),
        ("https://:443/", TargetError::NoHost),
        ("https://shop.example.com@evil.example.com/", TargetError::NoHost),
        ("https://shop.example.com\\@evil.example.com/", TargetError::NotPlain),
        ("https://shop.example.com/\r\nSet-Cookie: a=b", TargetError::NotPlain),
        ("https://shop.example.com/a b", TargetError::NotPlain),
        (" https://shop.example.com/", TargetError::NotPlain),
        ("https://tienda.example.com/niño", TargetError::NotPlain),
    ] {
        assert_eq!(text.parse::<Target>(), Err(why), "{text:?}");
    }
    let long = |bytes: usize| format!("https://a/{}", "x".repeat(bytes - 10));
    assert_eq!(long(Target::MAX_BYTES + 1).parse::<Target>(), Err(TargetError::TooLong));
    assert!(long(Target::MAX_BYTES).parse::<Target>().is_ok());
    assert!("HTTP://localhost:8080?q=a@b".parse::<Target>().is_ok());
}

#[test]
fn a_link_has_a_length_that_programs_take() {
    let longest = format!("https://a/{}", "x".repeat(Target::MAX_BYTES - 10));
    assert!(click(&longest).sign(&keys()).unwrap().len() <= MAX_CLICK_TOKEN_CHARS);
    let full = || "x".repeat(255);
    let message = SentMessage { customer_id: full(), message_id: full(), category: full(), shop: full(), ..message() };
    let too_long = ClickToken { message, ..click(&longest) };
    assert_eq!(too_long.sign(&keys()), Err(TokenError::TooLong));
    assert_eq!(ClickToken::verify(&keys(), &"A".repeat(10_000)), Err(TokenError::Malformed));
}

#[test]
fn where_a_link_leads_is_not_shown() {
    assert!(!format!("{:?}", click("https://shop.example.com/for/ana")).contains("ana/"));
    assert!(!format!("{:?}", click("https://shop.example.com/for/eva").target).contains("eva"));
}

proptest! {
    #[test]
    fn every_link_leads_to_its_own_address_and_every_changed_byte_is_noticed(
        customer_id in ".{0,40}", message_id in ".{0,40}", link in any::<u16>(), sent_at in any::<i64>(),
        path in "[!-\\[\\]-~]{0,300}", at in any::<usize>(), by in 1_u8..64
    ) {
        let message = SentMessage { customer_id, message_id, sent_at, ..message() };
        let token = ClickToken { message, link, target: format!("https://shop.example.com/{path}").parse().unwrap() };
        let text = token.sign(&keys()).unwrap();
        prop_assert_eq!(ClickToken::verify(&keys(), &text), Ok(token));
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let mut changed = text.into_bytes();
        let at = at % changed.len();
        let was = alphabet.iter().position(|known| *known == changed[at]).unwrap();
        changed[at] = alphabet[(was + usize::from(by)) % alphabet.len()];
        prop_assert!(ClickToken::verify(&keys(), std::str::from_utf8(&changed).unwrap()).is_err());
    }

    #[test]
    fn no_text_makes_a_target_or_a_token_panic(text in "\\PC{0,200}", base64 in "[A-Za-z0-9_-]{0,400}") {
        if let Ok(target) = text.parse::<Target>() {
            prop_assert_eq!(target.as_str(), &text);
        }
        prop_assert!(ClickToken::verify(&keys(), &base64).is_err());
        prop_assert!(OpenToken::verify(&keys(), &text).is_err());
    }
}

proptest! {
    #[test]
    fn a_visit_says_what_was_signed_and_no_bit_of_it_can_be_changed(
        customer_id in "\\PC{0,60}", shop in "\\PC{0,60}", until in any::<i64>(), at in any::<prop::sample::Index>(), letter in "[A-Za-z0-9_-]",
    ) {
        let token = VisitToken { customer_id, shop, until };
        let text = token.sign(&keys()).unwrap();
        prop_assert!(text.len() <= links::MAX_VISIT_TOKEN_CHARS);
        prop_assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
        prop_assert_eq!(VisitToken::verify(&keys(), &text), Ok(token));
        let at = at.index(text.len());
        let changed = format!("{}{letter}{}", &text[..at], &text[at + 1..]);
        prop_assert!(changed == text || VisitToken::verify(&keys(), &changed).is_err());
    }
}
