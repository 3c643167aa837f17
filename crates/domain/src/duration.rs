use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A length of time, at least zero, written as people write it: `90s`, `1h`, `2d`, `1h30m`, `250ms`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HumanDuration {
    millis: i64,
}

/// Why a text is no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a duration: {problem}; write it like 90s, 1h, 2d, 1h30m or 250ms")]
pub struct ParseDurationError {
    text: String,
    problem: &'static str,
}

/// The units, largest first: a duration names each at most once and in this order.
const UNITS: [(&str, i64); 6] =
    [("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Longer than any wait or window that makes sense (100 years); keeps sums far from overflow.
const MAX_MILLIS: i64 = 36_525 * 86_400_000;

impl HumanDuration {
    /// No time at all.
    pub const ZERO: Self = Self { millis: 0 };

    /// A duration of that many milliseconds; negative numbers count as zero.
    pub const fn from_millis(millis: i64) -> Self {
        Self { millis: if millis < 0 { 0 } else { millis } }
    }

    /// A duration of that many hours.
    pub const fn from_hours(hours: i64) -> Self {
        Self::from_millis(hours.saturating_mul(3_600_000))
    }

    /// Milliseconds.
    pub const fn as_millis(self) -> i64 {
        self.millis
    }

    /// The same length for the standard library.
    pub const fn as_std(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.millis.unsigned_abs())
    }
}

impl FromStr for HumanDuration {
    type Err = ParseDurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = |problem| ParseDurationError { text: text.chars().take(40).collect(), problem };
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err(refuse("it is empty"));
        }
        let mut units = UNITS.iter();
        let mut millis = 0_i64;
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (number, tail) = rest.split_at(digits);
            let number: i64 = number.parse().map_err(|_| refuse("a whole number is expected before each unit"))?;
            let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
            let (unit, tail) = tail.split_at(letters);
            let Some((_, unit_millis)) = units.find(|(name, _)| *name == unit) else {
                return Err(refuse("units are w, d, h, m, s and ms, each once, the largest first"));
            };
            millis = number
                .checked_mul(*unit_millis)
                .and_then(|part| part.checked_add(millis))
                .filter(|sum| *sum <= MAX_MILLIS)
                .ok_or_else(|| refuse("it is longer than 100 years"))?;
            rest = tail;
        }
        Ok(Self { millis })
    }
}

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.millis == 0 {
            return f.write_str("0s");
        }
        let mut rest = self.millis;
        for (unit, unit_millis) in UNITS {
            let count = rest / unit_millis;
            if count > 0 {
                write!(f, "{count}{unit}")?;
                rest %= unit_millis;
            }
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for HumanDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for HumanDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
