//! Who comes to the shop by a link of a message: the token in the address of the page that she comes to.
//!
//! Wanted properties:
//! - nothing of a token is stored, whatever holds that address: a page's context, its properties, a referrer, a product, the page on
//!   which a platform's order began, a dead letter;
//! - without it, a call has the events that it had, and each is what it was;
//! - where she comes from says nothing: a page that was left has had its events.

use super::call::Call;
use super::json::Object;

/// The parameter that holds the token.
pub(crate) const PARAMETER: &str = "vuelve_click";

/// What stands between the parameter and its value: as it is, escaped in an address within an address, or within one more, escaped in
/// JSON.
const EQUALS: [&str; 7] = ["=", "%3D", "%3d", "%253D", "%253d", "\\u003d", "\\u003D"];

/// A call's JSON without the parameter; none where it is not in it. A token's letters are escaped nowhere.
pub(crate) fn without_tokens(json: &str) -> Option<String> {
    let (mut kept, mut rest, mut found) = (String::new(), json, false);
    while let Some((before, after)) = rest.split_once(PARAMETER) {
        kept.push_str(before);
        let Some(value) = EQUALS.iter().find_map(|equals| after.strip_prefix(equals)) else {
            kept.push_str(PARAMETER);
            rest = after;
            continue;
        };
        found = true;
        rest = value.trim_start_matches(|letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_'));
        // Of the marks around it that stays which the address still needs.
        if let Some(next) = rest.strip_prefix('&').filter(|_| kept.ends_with('?')) {
            rest = next;
        } else if kept.ends_with(['?', '&']) && !EQUALS.iter().any(|equals| rest.starts_with(equals)) {
            kept.pop();
        }
    }
    kept.push_str(rest);
    found.then_some(kept)
}

/// The token of each event of a call, if it has one: in its page's address.
pub(crate) fn tokens(call: &Call<'_>) -> Vec<Option<String>> {
    let of = |context: &Object<'_>| {
        let page = context.object("page");
        ["url", "search"].iter().find_map(|name| parameter(&page.text(name)?))
    };
    let shared = of(&call.shared.context);
    let one = |json: &&str| {
        let context = Object::read(json).filter(|_| json.len() <= call.most_event_bytes)?.object("context");
        if context.has("page") { of(&context) } else { shared.clone() }
    };
    call.events.iter().map(one).collect()
}

fn parameter(address: &str) -> Option<String> {
    let (_, query) = address.split('#').next()?.split_once('?')?;
    let value = |pair: &str| pair.strip_prefix(PARAMETER)?.strip_prefix('=').map(str::to_owned);
    query.split('&').rev().find_map(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_address_is_what_it_was_before() {
        for (with, without) in [
            ("https://a/?vuelve_click=T-_9", "https://a/"),
            ("https://a/?vuelve_click=T#top", "https://a/#top"),
            ("https://a/?a=1&vuelve_click=T#top", "https://a/?a=1#top"),
            ("https://a/?vuelve_click=T&a=1", "https://a/?a=1"),
            ("https://a/?a=1&vuelve_click=T&b=2", "https://a/?a=1&b=2"),
            ("?vuelve_click=T&vuelve_click=U", ""),
            (r"https://a/?a=1\u0026vuelve_click\u003dT", r"https://a/?a=1\u0026"),
            ("r=https%3A%2F%2Fa%2F%3Fvuelve_click%3DT&b=2", "r=https%3A%2F%2Fa%2F%3F&b=2"),
            ("r=https%253A%252F%252Fa%253Fvuelve_click%253DT&b=2", "r=https%253A%252F%252Fa%253F&b=2"),
            ("?vuelve_click=", ""),
            ("vuelve_click?vuelve_click=T=S", "vuelve_click?=S"),
        ] {
            assert_eq!(without_tokens(with).as_deref(), Some(without), "{with}");
        }
        for untouched in ["https://a/?a=1", "vuelve_click", "?vuelve_clicked=1", ""] {
            assert_eq!(without_tokens(untouched), None);
        }
    }

    proptest! {
        #[test]
        fn nothing_of_a_token_stays_whatever_is_around_it(
            parts in prop::collection::vec("[?&#=a]{0,3}|vuelve_click|vuelve_click=|%3D|ñ", 0..8), at in 0_usize..8,
        ) {
            let (before, after) = parts.split_at(at.min(parts.len()));
            let address = format!("{}&vuelve_click=SECRET%{}", before.concat(), after.concat());
            let left = without_tokens(&address).unwrap();
            prop_assert!(!left.contains("SECRET"), "{left}");
        }

        #[test]
        fn what_is_json_stays_json_with_the_same_names(
            texts in prop::collection::vec(r#"[a-z?&="\\ñ\n]{0,6}(vuelve_click=[A-Z]{0,4})?[?&"\\]{0,3}"#, 1..6),
        ) {
            let names = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
            let object: serde_json::Value =
                texts.iter().enumerate().map(|(place, text)| (place.to_string(), text.clone().into())).collect::<serde_json::Map<_, _>>().into();
            let json = object.to_string();
            let left = without_tokens(&json).unwrap_or(json);
            prop_assert_eq!(names(&serde_json::from_str(&left).unwrap()), names(&object));
        }
    }
}
