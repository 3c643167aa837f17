//! How values are written for people and for programs: one place for times and for the words of enums.

use anyhow::Context;
use domain::Timestamp;
use serde::{Serialize, Serializer};

/// A time as RFC 3339 has it, in UTC; an error for one beyond the years that it can name.
pub(crate) fn rfc3339(at: Timestamp) -> anyhow::Result<String> {
    let at = jiff::Timestamp::from_millisecond(at.as_millis()).context("a time out of range")?;
    Ok(at.to_string())
}

/// A time to be looked at: as RFC 3339 has it, and in milliseconds where it has no such form.
pub fn time(at: Timestamp) -> String {
    rfc3339(at).unwrap_or_else(|_| at.to_string())
}

/// An enum's word, as its records have it.
pub(crate) fn word(value: &impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

/// For `#[serde(serialize_with)]`.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
pub(crate) fn as_time<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&time(*at))
}

/// For `#[serde(serialize_with)]`.
#[allow(clippy::trivially_copy_pass_by_ref, clippy::ref_option, reason = "as serde calls it")]
pub(crate) fn as_time_or_null<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    at.map(time).serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_has_no_such_form_is_shown_in_milliseconds_and_sent_to_nobody() {
        let at = Timestamp::from_millis(1_700_000_000_120);
        assert_eq!((time(at), rfc3339(at).ok()), ("2023-11-14T22:13:20.12Z".to_owned(), Some(time(at))));
        assert!(rfc3339(Timestamp::MAX).is_err());
        assert_eq!(time(Timestamp::MAX), format!("{} ms", i64::MAX));
    }
}
