//! The next time that a clock on the wall shows a time of day.
//!
//! A time that a change to summer time leaves out is read as that much later; one that comes twice counts the first time.

use definitions::TimeOfDay;
use domain::{HumanDuration, Timestamp};
use jiff::tz::TimeZone;

/// The first instant, not before `now`, at which a clock in `zone` shows `time`.
pub(crate) fn next(now: Timestamp, time: TimeOfDay, zone: &TimeZone) -> Timestamp {
    search(now, time, zone).unwrap_or_else(|| now + HumanDuration::from_hours(24))
}

/// None at the ends of the calendar.
fn search(now: Timestamp, time: TimeOfDay, zone: &TimeZone) -> Option<Timestamp> {
    let instant = jiff::Timestamp::from_millisecond(now.as_millis()).ok()?;
    let mut date = zone.to_datetime(instant).date();
    // A day may be left out altogether where the date line moved: three tries are enough.
    for _ in 0..3 {
        let shown = zone.to_ambiguous_timestamp(date.to_datetime(time.civil())).compatible().ok()?;
        let shown = Timestamp::from_millis(shown.as_millisecond());
        if shown >= now {
            return Some(shown);
        }
        date = date.tomorrow().ok()?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::from_millis(text.parse::<jiff::Timestamp>().expect("a time").as_millisecond())
    }

    fn nine(now: &str, zone: &str) -> Timestamp {
        let time = TimeOfDay::parse("09:00").expect("a time of day");
        next(at(now), time, &definitions::time_zone(zone).expect("a zone"))
    }

    #[test]
    fn nine_o_clock_is_today_or_tomorrow_by_the_zone_and_now_if_it_is_nine() {
        assert_eq!(nine("2026-01-10T06:00:00Z", "Europe/Madrid"), at("2026-01-10T08:00:00Z"));
        assert_eq!(nine("2026-01-10T08:00:00Z", "Europe/Madrid"), at("2026-01-10T08:00:00Z"));
        assert_eq!(nine("2026-01-10T08:00:00.001Z", "Europe/Madrid"), at("2026-01-11T08:00:00Z"));
        assert_eq!(nine("2026-01-10T06:00:00Z", "America/Mexico_City"), at("2026-01-10T15:00:00Z"));
    }

    #[test]
    fn nine_o_clock_stays_nine_o_clock_when_the_clocks_change() {
        assert_eq!(nine("2026-03-28T12:00:00Z", "Europe/Madrid"), at("2026-03-29T07:00:00Z"));
        assert_eq!(nine("2026-10-24T12:00:00Z", "Europe/Madrid"), at("2026-10-25T08:00:00Z"));
    }

    #[test]
    fn a_time_that_is_left_out_is_read_later_and_one_that_comes_twice_counts_once() {
        let half_past_two = TimeOfDay::parse("02:30").expect("a time of day");
        let madrid = definitions::time_zone("Europe/Madrid").expect("a zone");
        assert_eq!(next(at("2026-03-29T00:00:00Z"), half_past_two, &madrid), at("2026-03-29T01:30:00Z"));
        assert_eq!(next(at("2026-10-25T00:00:00Z"), half_past_two, &madrid), at("2026-10-25T00:30:00Z"));
        assert_eq!(next(at("2026-10-25T00:31:00Z"), half_past_two, &madrid), at("2026-10-26T01:30:00Z"));
    }
}
