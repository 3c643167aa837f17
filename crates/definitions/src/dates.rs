//! A customer's dates, and the clocks by which they come.
//!
//! A time of day that a change to summer time leaves out is read as that much later; one that comes twice counts the first time.

use std::collections::BTreeMap;

use domain::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::journey::DateTrigger;
use crate::values::{Zone, time_zone};

/// The time zones of an installation's shops.
#[derive(Clone, Debug, PartialEq)]
pub struct ShopTimeZones {
    /// Of all shops that have none of their own.
    pub default: TimeZone,
    /// By shop.
    pub by_shop: BTreeMap<String, TimeZone>,
}

impl Default for ShopTimeZones {
    fn default() -> Self {
        Self { default: TimeZone::UTC, by_shop: BTreeMap::new() }
    }
}

impl ShopTimeZones {
    /// That of a shop.
    pub fn of(&self, shop: &str) -> &TimeZone {
        self.by_shop.get(shop).unwrap_or(&self.default)
    }

    /// The zone that is meant for a customer of a shop whose own has this name, if it is known and there is one of that name.
    pub fn meant<'z>(&'z self, zone: &'z Zone, shop: &str, customer: Option<&str>) -> std::borrow::Cow<'z, TimeZone> {
        use std::borrow::Cow::{Borrowed, Owned};
        match zone {
            Zone::Customer => customer.and_then(time_zone).map_or_else(|| Borrowed(self.of(shop)), Owned),
            Zone::Shop => Borrowed(self.of(shop)),
            Zone::Named(zone) => Borrowed(zone),
        }
    }
}

/// A date, as a shop tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CustomerDate {
    /// None: it has none, as a birthday may.
    year: Option<i16>,
    month: i8,
    day: i8,
}

/// When a date comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CustomerDay {
    /// The moment.
    pub at: Timestamp,
    /// The day by the calendar where that is: counted since 1970.
    pub day: i32,
}

impl CustomerDate {
    /// `1990-05-17`, also with a time behind it, which says nothing; `05-17` and `--05-17`.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        // RFC 3339 and its like: the date as it is written, by whose clock ever it was.
        let date = text.split_once(['T', 't', ' ']).map_or(text, |(date, _)| date);
        let whole: Option<Date> = (date.len() == 10).then(|| date.parse().ok()).flatten();
        if let Some(date) = whole {
            return Some(Self { year: Some(date.year()), month: date.month(), day: date.day() });
        }
        let (month, day) = text.strip_prefix("--").unwrap_or(text).split_once('-')?;
        let number = |part: &str| (part.len() == 2).then(|| part.parse::<i8>().ok()).flatten();
        // A leap year has all days that there are.
        let date = Date::new(2000, number(month)?, number(day)?).ok()?;
        Some(Self { year: None, month: date.month(), day: date.day() })
    }

    /// When the trigger's moment comes next, later than `after`; none if it never does. The 29th of February is the 28th where
    /// there is none. A day that `came` does not come again by another clock, and none before it does.
    pub fn next(
        self,
        trigger: &DateTrigger,
        zone: &TimeZone,
        after: Timestamp,
        came: Option<i32>,
    ) -> Option<CustomerDay> {
        let is_new = |day: &CustomerDay| day.at > after && came.is_none_or(|came| day.day > came);
        let moment = |year| self.in_year(year, trigger, zone).filter(is_new);
        if !trigger.yearly {
            return moment(self.year?);
        }
        let instant = jiff::Timestamp::from_millisecond(after.as_millis()).ok()?;
        let this_year = zone.to_datetime(instant).year();
        // Nobody's birthday comes before the first one.
        let first = self.year.map_or(this_year, |year| year.max(this_year));
        // By another clock, New Year may have come already.
        (0..=2).find_map(|more| moment(first.checked_add(more)?))
    }

    fn in_year(self, year: i16, trigger: &DateTrigger, zone: &TimeZone) -> Option<CustomerDay> {
        let first = Date::new(year, self.month, 1).ok()?;
        let date = Date::new(year, self.month, self.day.min(first.days_in_month())).ok()?;
        let moment = zone.to_ambiguous_timestamp(date.to_datetime(trigger.at.civil())).compatible().ok()?;
        let day = date.duration_since(Date::new(1970, 1, 1).ok()?).as_hours() / 24;
        Some(CustomerDay { at: Timestamp::from_millis(moment.as_millisecond()), day: i32::try_from(day).ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::TimeOfDay;

    fn at(text: &str) -> Timestamp {
        Timestamp::from_millis(text.parse::<jiff::Timestamp>().expect("a time").as_millisecond())
    }

    fn trigger(yearly: bool) -> DateTrigger {
        DateTrigger {
            trait_name: "birthday".into(),
            yearly,
            at: TimeOfDay::parse("10:00").expect("a time of day"),
            zone: Zone::Customer,
        }
    }

    fn next(date: &str, yearly: bool, zone: &str, after: &str) -> Option<Timestamp> {
        let date = CustomerDate::parse(date).expect("a date");
        date.next(&trigger(yearly), &time_zone(zone).expect("a zone"), at(after), None).map(|day| day.at)
    }

    #[test]
    fn a_birthday_comes_every_year_at_its_time_of_day_by_her_clock() {
        let birthday = |after| next("1990-05-17", true, "Europe/Madrid", after);
        assert_eq!(birthday("2026-01-01T00:00:00Z"), Some(at("2026-05-17T08:00:00Z")));
        assert_eq!(birthday("2026-05-17T07:59:59.999Z"), Some(at("2026-05-17T08:00:00Z")));
        assert_eq!(birthday("2026-05-17T08:00:00Z"), Some(at("2027-05-17T08:00:00Z")));
        assert_eq!(
            next("--05-17", true, "America/Mexico_City", "2026-01-01T00:00:00Z"),
            Some(at("2026-05-17T16:00:00Z"))
        );
        // Where it is New Year already.
        assert_eq!(next("01-01", true, "Pacific/Auckland", "2026-12-31T10:00:00Z"), Some(at("2026-12-31T21:00:00Z")));
    }

    #[test]
    fn a_day_that_came_does_not_come_again_where_it_comes_later() {
        let (trigger, date) = (trigger(true), CustomerDate::parse("01-01").expect("a date"));
        let next = |zone, after, came| date.next(&trigger, &time_zone(zone).expect("a zone"), at(after), came);
        let first = next("Pacific/Auckland", "2026-12-31T10:00:00Z", None).expect("it comes");
        let after = "2026-12-31T21:00:00Z";
        assert_eq!(next("America/Mexico_City", after, None).map(|day| day.day), Some(first.day));
        let later = next("America/Mexico_City", after, Some(first.day)).map(|day| day.at);
        assert_eq!(later, Some(at("2028-01-01T16:00:00Z")));
    }

    #[test]
    fn a_date_that_comes_once_comes_once_and_one_without_a_year_never() {
        assert_eq!(next("2026-05-17", false, "UTC", "2026-01-01T00:00:00Z"), Some(at("2026-05-17T10:00:00Z")));
        assert_eq!(next("2026-05-17", false, "UTC", "2026-05-17T10:00:00Z"), None);
        assert_eq!(next("05-17", false, "UTC", "2026-01-01T00:00:00Z"), None);
        assert_eq!(next("2030-05-17", true, "UTC", "2026-01-01T00:00:00Z"), Some(at("2030-05-17T10:00:00Z")));
    }

    #[test]
    fn who_was_born_on_a_leap_day_has_a_birthday_every_year() {
        assert_eq!(next("2000-02-29", true, "UTC", "2026-01-01T00:00:00Z"), Some(at("2026-02-28T10:00:00Z")));
        assert_eq!(next("2000-02-29", true, "UTC", "2028-01-01T00:00:00Z"), Some(at("2028-02-29T10:00:00Z")));
    }

    #[test]
    fn a_time_behind_the_date_says_nothing_and_what_is_no_date_is_none() {
        let date = CustomerDate::parse("1990-05-17");
        assert!(date.is_some());
        for text in ["1990-05-17T23:00:00.000Z", "1990-05-17 00:00", " 1990-05-17 ", "1990-05-17T00:00:00+02:00"] {
            assert_eq!(CustomerDate::parse(text), date, "{text}");
        }
        for text in ["", "17.05.1990", "1990-02-30", "13-01", "5-17", "tomorrow", "1990-05", "--02-30", "٠٥-17"] {
            assert_eq!(CustomerDate::parse(text), None, "{text}");
        }
    }
}
