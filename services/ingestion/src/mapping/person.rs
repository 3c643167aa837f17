//! What an event says about the customer herself: how to reach her, in which language and time zone, and whether she agrees.

use schemas::Contact;
use serde_json::value::RawValue;

use super::json::{self, Object, Reading};

/// Takes the contact out of the traits, and what is missing there (language, time zone) out of the context.
pub(crate) fn contact(traits: &mut Object<'_>, context: &mut Object<'_>) -> Contact {
    Contact {
        email: traits.take(&["email"], email),
        phone: traits.take(&["phone"], line),
        first_name: traits.take(&["firstName", "first_name", "firstname"], line),
        last_name: traits.take(&["lastName", "last_name", "lastname"], line),
        locale: traits.take(&["locale"], locale).or_else(|| context.take(&["locale"], locale)),
        time_zone: traits
            .take(&["timezone", "time_zone", "timeZone"], time_zone)
            .or_else(|| context.take(&["timezone"], time_zone)),
    }
}

/// An e-mail address as far as it can be told without writing to it; anything else stays a trait like any other.
pub(crate) fn email(raw: &RawValue) -> Option<Reading<String>> {
    line(raw).filter(|reading| is_email(&reading.value))
}

/// Whether a text has the form of an e-mail address.
pub(crate) fn is_email(text: &str) -> bool {
    let Some((local, host)) = text.rsplit_once('@') else { return false };
    text.len() <= 254
        && !local.is_empty()
        && host.contains('.')
        && !host.starts_with('.')
        && !host.ends_with('.')
        && !text.contains(char::is_whitespace)
}

/// Whether an id is a phone number in international form. (Digits alone are a customer number.)
pub(crate) fn is_phone(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or_default();
    let count = digits.bytes().filter(u8::is_ascii_digit).count();
    (7..=15).contains(&count)
        && digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b' ' | b'-' | b'(' | b')' | b'.'))
}

/// Whether the event says that she agrees to marketing: `context.consent` is a boolean, or `{"marketing": …}`, or Segment's
/// `{"categoryPreferences": {"Marketing": …}}`. It stays in the context as it came, as evidence.
pub(crate) fn consent(context: &Object<'_>) -> Option<bool> {
    let said = context.get("consent")?;
    json::boolean(said).or_else(|| {
        let consent = Object::read(said.get())?;
        let preferences = consent.object("categoryPreferences");
        [(&consent, "marketing"), (&preferences, "marketing"), (&preferences, "Marketing")]
            .into_iter()
            .find_map(|(object, name)| object.get(name).and_then(json::boolean))
    })
}

/// Text of one line: a line break has no place in what goes into mail headers.
fn line(raw: &RawValue) -> Option<Reading<String>> {
    json::text(raw).filter(|reading| reading.value.len() <= 254 && !reading.value.contains(char::is_control))
}

fn locale(raw: &RawValue) -> Option<Reading<String>> {
    json::text(raw).filter(|reading| {
        (2..=35).contains(&reading.value.len())
            && reading.value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    })
}

fn time_zone(raw: &RawValue) -> Option<Reading<String>> {
    json::text(raw).filter(|reading| {
        reading.value.len() <= 64
            && reading.value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'+' | b'/'))
    })
}
