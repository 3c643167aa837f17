//! When it was: strictly, because nothing that is imported is of now.

use domain::Timestamp;
use jiff::civil;
use jiff::tz::TimeZone;

use super::parts::shown;
use super::{Terms, Unfit};
use crate::mapping::json::{self, Object};
use crate::mapping::time::from_number;
use crate::received::EARLIEST;

impl Terms<'_> {
    /// Takes the time of one of these columns out, the first that there is, as RFC 3339 has it.
    pub(super) fn time(
        &self,
        object: &mut Object<'_>,
        columns: &[&'static str],
        now: Timestamp,
    ) -> Result<Option<String>, Unfit> {
        let Some((column, raw)) = columns.iter().find_map(|column| Some((*column, object.get(column)?))) else {
            return Ok(None);
        };
        let value = shown(raw);
        let text = json::text(raw).map(|text| text.value);
        let text =
            text.filter(|text| text.len() <= 64).ok_or_else(|| Unfit::BadTime { column, value: value.clone() })?;
        let at = match read(&text, self.time_zone) {
            Read::At(at) => at,
            Read::NoZone => return Err(Unfit::NoZone { column, value }),
            Read::No => return Err(Unfit::BadTime { column, value }),
        };
        if at < EARLIEST || at > now {
            return Err(Unfit::NotPast { column, value });
        }
        object.remove(column);
        let at = jiff::Timestamp::from_millisecond(at.as_millis());
        at.map(|at| Some(at.to_string())).map_err(|_| Unfit::BadTime { column, value })
    }
}

enum Read {
    At(Timestamp),
    NoZone,
    No,
}

fn read(text: &str, zone: Option<&TimeZone>) -> Read {
    if let Ok(number) = text.parse::<f64>() {
        return from_number(number).map_or(Read::No, Read::At);
    }
    let at = |instant: jiff::Timestamp| Read::At(Timestamp::from_millis(instant.as_millisecond()));
    if let Ok(instant) = joined(text).parse() {
        return at(instant);
    }
    let day = || text.parse::<civil::Date>().ok().map(|date| date.to_datetime(civil::Time::midnight()));
    let Some(civil) = text.parse::<civil::DateTime>().ok().or_else(day) else { return Read::No };
    let Some(zone) = zone else { return Read::NoZone };
    // Of an hour that a change of clocks leaves out or repeats: the earlier offset.
    zone.to_ambiguous_timestamp(civil).compatible().map_or(Read::No, at)
}

/// With its zone right behind it: some exports have `2024-05-01 10:00:00 +0200`, or `… UTC`.
fn joined(text: &str) -> String {
    match text.rsplit_once(' ') {
        Some((time, "UTC" | "GMT")) => format!("{time}Z"),
        Some((time, offset)) if offset.starts_with(['+', '-']) => format!("{time}{offset}"),
        _ => text.to_owned(),
    }
}
