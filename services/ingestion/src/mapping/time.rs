//! When it happened: Segment's correction for wrong client clocks.

use domain::Timestamp;
use serde_json::value::RawValue;

use super::json;
use crate::received::clamp_event_time;

/// A point in time as SDKs write it: ISO 8601 with or without a zone (then UTC), a date, or a number of seconds,
/// milliseconds or microseconds since 1970 (told apart by its size).
pub(crate) fn read(raw: &RawValue) -> Option<Timestamp> {
    let text = json::text(raw)?.value;
    if text.len() > 64 {
        return None;
    }
    if let Ok(number) = text.parse::<f64>() {
        return from_number(number);
    }
    let instant = text.parse::<jiff::Timestamp>().ok().or_else(|| {
        let civil: jiff::civil::DateTime = text.parse().ok()?;
        jiff::tz::Offset::UTC.to_timestamp(civil).ok()
    })?;
    Some(Timestamp::from_millis(instant.as_millisecond()))
}

pub(crate) fn from_number(number: f64) -> Option<Timestamp> {
    let size = number.abs();
    let millis = if size < 1e11 {
        number * 1e3
    } else if size < 1e14 {
        number
    } else {
        number / 1e3
    };
    (millis.abs() < 1e15).then(|| Timestamp::from_millis(millis as i64))
}

/// `receivedAt - (sentAt - originalTimestamp)`: what the client's clock says about the distance is believed, what it says about
/// the date is not. Without a time of sending the original time is taken as it is, without an original time the time of receipt.
pub(crate) fn event_time(original: Option<Timestamp>, sent_at: Option<Timestamp>, received_at: Timestamp) -> Timestamp {
    let Some(original) = original else { return received_at };
    let claimed = match sent_at {
        Some(sent_at) => Timestamp::from_millis(received_at.as_millis().saturating_sub(sent_at.millis_since(original))),
        None => original,
    };
    clamp_event_time(claimed, received_at)
}
