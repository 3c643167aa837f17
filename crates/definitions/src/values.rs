//! Single values: names, numbers, durations, shares, times of day, time zones, one-or-many lists.

use std::fmt;
use std::sync::Arc;

use domain::HumanDuration;
use jiff::civil;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use crate::diagnostic::{Position, Report};
use crate::suggest;
use crate::yaml::{Content, Node};

/// A share in hundredths of a percent, 0 % to 100 %.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Percent(u32);

impl Percent {
    /// Nobody.
    pub const ZERO: Self = Self(0);

    /// A share of that many hundredths of a percent; none above 10,000.
    pub const fn from_basis_points(basis_points: u32) -> Option<Self> {
        if basis_points <= 10_000 { Some(Self(basis_points)) } else { None }
    }

    /// Hundredths of a percent.
    pub const fn basis_points(self) -> u32 {
        self.0
    }

    /// `10%`, `2.5%`; at most two digits after the point.
    fn parse(text: &str) -> Option<Self> {
        let number = text.strip_suffix('%')?.trim_end();
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || whole.len() > 3 || fraction.len() > 2 || !(fraction.is_empty() || digits(fraction)) {
            return None;
        }
        let whole: u32 = whole.parse().ok()?;
        let fraction: u32 = format!("{fraction:0<2}").parse().ok()?;
        Self::from_basis_points(whole * 100 + fraction)
    }
}

/// A zone by which a time of day is read.
#[derive(Clone, Debug, PartialEq)]
pub enum Zone {
    /// The customer's: her trait, else where she was last seen, else the shop's.
    Customer,
    /// The shop's.
    Shop,
    /// One of the tz database.
    Named(TimeZone),
}

/// The time zone of that name in the tz database that is compiled in; the machine's plays no part.
pub fn time_zone(name: &str) -> Option<TimeZone> {
    TimeZoneDatabase::bundled().get(name).ok()
}

/// A time of day, to the minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeOfDay {
    hour: i8,
    minute: i8,
}

impl TimeOfDay {
    /// `09:00` to `23:59`.
    pub fn parse(text: &str) -> Option<Self> {
        let (hour, minute) = text.split_once(':')?;
        let number = |part: &str, limit: i8| {
            let two_digits = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
            two_digits.then(|| part.parse::<i8>().ok()).flatten().filter(|number| *number < limit)
        };
        Some(Self { hour: number(hour, 24)?, minute: number(minute, 60)? })
    }

    /// The same for the calendar.
    pub const fn civil(self) -> civil::Time {
        civil::Time::constant(self.hour, self.minute, 0, 0)
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.hour, self.minute)
    }
}

/// The text of a node that has to be a single value.
pub(crate) fn text<'n>(node: &'n Node, what: &str, report: &mut Report<'_>) -> Option<&'n str> {
    let text = node.text();
    if text.is_none() {
        report.error(node.at, format!("{what} is a single value, not {}", node.kind()));
    }
    text
}

/// A text that people read, of a bounded length and with something in it.
pub(crate) fn phrase(node: &Node, what: &str, limit: usize, report: &mut Report<'_>) -> Option<Arc<str>> {
    let text = text(node, what, report)?;
    if text.trim().is_empty() {
        report.error(node.at, format!("{what} is empty"));
        return None;
    }
    if text.len() > limit {
        report.error(node.at, format!("{what} is longer than {limit} bytes"));
        return None;
    }
    Some(text.into())
}

/// A name: lower-case letters, digits and hyphens, at most 64.
pub(crate) fn name(node: &Node, what: &str, report: &mut Report<'_>) -> Option<Arc<str>> {
    let text = text(node, what, report)?;
    let good = text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if !good {
        let message = format!("`{}` is no name for {what}", shortened(text));
        report.error_with_help(node.at, message, "lower-case letters, digits and hyphens, at most 64");
        return None;
    }
    Some(text.into())
}

/// A duration, zero included.
pub(crate) fn duration(node: &Node, what: &str, report: &mut Report<'_>) -> Option<HumanDuration> {
    let text = text(node, what, report)?;
    if text.trim_start().starts_with('-') {
        report.error(node.at, format!("{what} can't be negative"));
        return None;
    }
    text.parse().map_err(|error| report.error(node.at, format!("{what}: {error}"))).ok()
}

/// A duration longer than nothing.
pub(crate) fn positive_duration(node: &Node, what: &str, report: &mut Report<'_>) -> Option<HumanDuration> {
    let duration = duration(node, what, report)?;
    if duration == HumanDuration::ZERO {
        report.error(node.at, format!("{what} has to be longer than nothing"));
        return None;
    }
    Some(duration)
}

/// A share such as `10%`.
pub(crate) fn percent(node: &Node, what: &str, report: &mut Report<'_>) -> Option<Percent> {
    let text = text(node, what, report)?;
    let percent = Percent::parse(text);
    if percent.is_none() {
        let message = format!("{what}: `{}` is no share", shortened(text));
        report.error_with_help(node.at, message, "write it as `10%` or `2.5%`, from 0% to 100%");
    }
    percent
}

/// A whole number in a range.
pub(crate) fn integer(
    node: &Node,
    what: &str,
    range: std::ops::RangeInclusive<i32>,
    report: &mut Report<'_>,
) -> Option<i32> {
    let text = text(node, what, report)?;
    let number = text.parse().ok().filter(|number| range.contains(number));
    if number.is_none() {
        let (low, high) = range.into_inner();
        report.error(node.at, format!("{what} is a whole number from {low} to {high}, not `{}`", shortened(text)));
    }
    number
}

/// How many an hour: `2000/h`.
pub(crate) fn per_hour(node: &Node, what: &str, report: &mut Report<'_>) -> Option<u32> {
    let text = text(node, what, report)?;
    let number = text.strip_suffix("/h").and_then(|number| number.trim_end().parse().ok()).filter(|number| *number > 0);
    if number.is_none() {
        let message = format!("{what}: `{}` is no number an hour", shortened(text));
        report.error_with_help(node.at, message, "write it as `2000/h`, at least `1/h`");
    }
    number
}

/// Yes or no.
pub(crate) fn boolean(node: &Node, what: &str, report: &mut Report<'_>) -> Option<bool> {
    let text = text(node, what, report)?;
    let value = text.parse().ok();
    if value.is_none() {
        report.error(node.at, format!("{what} is `true` or `false`, not `{}`", shortened(text)));
    }
    value
}

/// A time of day such as `09:00`.
pub(crate) fn time_of_day(node: &Node, what: &str, report: &mut Report<'_>) -> Option<TimeOfDay> {
    let text = text(node, what, report)?;
    let time = TimeOfDay::parse(text);
    if time.is_none() {
        let message = format!("{what}: `{}` is no time of day", shortened(text));
        report.error_with_help(node.at, message, "write it as `09:00`, in quotes, from 00:00 to 23:59");
    }
    time
}

/// `customer`, `shop` or a zone of the tz database.
pub(crate) fn zone(node: &Node, report: &mut Report<'_>) -> Option<Zone> {
    match text(node, "`time_zone`", report)? {
        "customer" => Some(Zone::Customer),
        "shop" => Some(Zone::Shop),
        name => {
            let zone = time_zone(name).map(Zone::Named);
            if zone.is_none() {
                let database = TimeZoneDatabase::bundled();
                let known: Vec<_> = database.available().map(|zone| zone.as_str().to_owned()).collect();
                let help = match suggest::nearest(name, known.iter().map(String::as_str)) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "write `customer`, `shop` or a zone such as `Europe/Madrid`".to_owned(),
                };
                report.error_with_help(node.at, format!("there is no time zone `{}`", shortened(name)), help);
            }
            zone
        }
    }
}

/// The items of a list, or the one value that stands in its place.
pub(crate) fn one_or_many(node: &Node) -> Vec<&Node> {
    match &node.content {
        Content::List(items) => items.iter().collect(),
        _ => vec![node],
    }
}

/// The start of a text, for messages.
pub(crate) fn shortened(text: &str) -> String {
    const LIMIT: usize = 60;
    if text.chars().count() <= LIMIT { text.to_owned() } else { text.chars().take(LIMIT).chain(['…']).collect() }
}

/// A place inside the text of a scalar, as a place in the file: `line` and `column` count from one.
pub(crate) fn inside(node: &Node, line: usize, column: usize) -> Position {
    use granit_parser::ScalarStyle::{DoubleQuoted, Folded, Literal, SingleQuoted};
    let Content::Scalar(scalar) = &node.content else { return node.at };
    let (line, column) = (line.max(1), column.max(1));
    match scalar.style {
        // A block begins at its first line of text; all its lines are indented as that one is.
        Literal | Folded => Position { line: node.at.line + line - 1, column: node.at.column + column - 1 },
        SingleQuoted | DoubleQuoted if line == 1 => Position { line: node.at.line, column: node.at.column + column },
        _ if line == 1 => Position { line: node.at.line, column: node.at.column + column - 1 },
        _ => Position { line: node.at.line + line - 1, column },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_have_at_most_two_digits_after_the_point_and_end_at_a_hundred() {
        assert_eq!(Percent::parse("10%").map(Percent::basis_points), Some(1000));
        assert_eq!(Percent::parse("2.5%").map(Percent::basis_points), Some(250));
        assert_eq!(Percent::parse("0.05 %").map(Percent::basis_points), Some(5));
        assert_eq!(Percent::parse("100%").map(Percent::basis_points), Some(10_000));
        for bad in ["101%", "10", "-1%", "%", "1.234%", "a%", "1.%x", ".5%"] {
            assert_eq!(Percent::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_time_of_day_has_two_digits_twice() {
        assert_eq!(TimeOfDay::parse("09:05").map(|time| time.to_string()).as_deref(), Some("09:05"));
        for bad in ["24:00", "9:00", "12:60", "12", "-1:00", "12:00:00", "+1:00"] {
            assert_eq!(TimeOfDay::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_place_inside_a_text_is_a_place_in_the_file() {
        let find = |source: &str, line, column| {
            let mut report = Report::new("test", source);
            let documents = crate::yaml::parse(&mut report);
            let Content::Map(entries) = &documents[0].root.content else { panic!("a map is expected") };
            let Position { line, column } = inside(&entries[0].1, line, column);
            source.lines().nth(line - 1).and_then(|text| text.chars().nth(column - 1))
        };
        assert_eq!(find("key: abXc\n", 1, 3), Some('X'));
        assert_eq!(find("key: 'abXc'\n", 1, 3), Some('X'));
        assert_eq!(find("key: |\n  ab\n    cXd\n", 2, 4), Some('X'));
        assert_eq!(find("key: >\n\n   aXb\n", 1, 2), Some('X'));
        assert_eq!(find("key:\n  abXc\n", 1, 3), Some('X'));
    }

    #[test]
    fn time_zones_come_from_the_compiled_in_database() {
        assert!(time_zone("Europe/Madrid").is_some());
        assert!(time_zone("America/Mexico_City").is_some());
        assert!(time_zone("Europe/Madird").is_none());
    }
}
