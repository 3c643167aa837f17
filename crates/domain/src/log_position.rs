use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};

/// A place in the log of a data set, written `storefront.events/3@1200`: partition 3, offset 1200.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPosition {
    /// The data set, without the installation's prefix.
    pub dataset: String,
    /// The partition.
    pub partition: i32,
    /// The next offset to read.
    pub offset: i64,
}

/// Why a text is no place in a log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no place in a log: write it like storefront.events/3@1200, data set, partition and offset")]
pub struct ParseLogPositionError(String);

impl FromStr for LogPosition {
    type Err = ParseLogPositionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (dataset, place) = text.split_once('/')?;
            let (partition, offset) = place.split_once('@')?;
            let (partition, offset) = (partition.parse::<u16>().ok()?, offset.parse::<i64>().ok()?);
            let named = !dataset.is_empty() && offset >= 0;
            named.then(|| Self { dataset: dataset.to_owned(), partition: i32::from(partition), offset })
        };
        parse().ok_or_else(|| ParseLogPositionError(text.chars().take(80).collect()))
    }
}

impl fmt::Display for LogPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}", self.dataset, self.partition, self.offset)
    }
}

impl<'de> Deserialize<'de> for LogPosition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
