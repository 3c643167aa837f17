//! What an event says about the customer herself: how to reach her, in which language and time zone, and whether she agrees.

use schemas::Contact;
use serde_json::value::RawValue;

use super::json::{self, Object, Reading};
use crate::ids;

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
    line(raw).filter(|reading| ids::is_email(&reading.value))
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
