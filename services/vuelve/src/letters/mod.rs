//! Dead letters: what could not be processed, looked at and sent again.
//!
//! Wanted properties:
//! - a letter stays on its topic, whatever is done with it;
//! - it goes back as it came: a record with its bytes, key and headers onto its topic, an event through the door;
//! - it does not go round for ever: what came back too often is sent only where an operator names it.

mod redrive;

use std::collections::BTreeMap;
use std::time::Duration;

use domain::Timestamp;
use kafka::{LetterHead, ReadRecord, Section, read_section};

pub use redrive::{Door, MAX_REDRIVES, Redriven, Redriver};

use crate::hosting::Installation;

const DATASET: &str = "platform.deadletters";

/// Which letters.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Of this topic (in full or by its data set) or of this path of the door.
    pub topic: Option<String>,
    /// With this reason.
    pub reason: Option<String>,
    /// Written at this time or later.
    pub since: Option<Timestamp>,
}

/// A letter and what it says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// As the topic holds it.
    pub record: ReadRecord,
    /// Where it came from and why; none where its headers do not say.
    pub head: Option<LetterHead>,
    /// How large its value is, in bytes.
    pub size_bytes: usize,
}

impl Letter {
    fn of(record: ReadRecord) -> Self {
        let size_bytes = record.value.as_ref().map_or(0, Vec::len);
        Self { head: LetterHead::read(&record), record, size_bytes }
    }

    /// `topic[partition]@offset` of the letter itself.
    pub fn place(&self) -> String {
        format!("{}[{}]@{}", self.record.topic, self.record.partition, self.record.offset)
    }
}

impl Filter {
    fn takes(&self, installation: &Installation, letter: &Letter) -> bool {
        let (topic, reason) = letter.head.as_ref().map_or(("", ""), |head| (&head.topic, &head.reason));
        let of_topic =
            self.topic.as_ref().is_none_or(|wanted| topic == wanted || topic == installation.cluster.topic(wanted));
        let of_reason = self.reason.as_ref().is_none_or(|wanted| reason == wanted);
        let late = self.since.is_none_or(|since| letter.record.timestamp >= since);
        of_topic && of_reason && late
    }
}

/// Hands every letter that the filter takes to `each`, partition by partition, until it says `false`.
pub fn each(
    installation: &Installation,
    filter: &Filter,
    timeout: Duration,
    mut each: impl FnMut(Letter) -> bool,
) -> anyhow::Result<()> {
    let section = Section { since: filter.since, ..Section::default() };
    let topic = installation.cluster.topic(DATASET);
    read_section(&installation.cluster, &topic, section, timeout, |record, _| {
        let letter = Letter::of(record);
        !filter.takes(installation, &letter) || each(letter)
    })?;
    Ok(())
}

/// The newest letters, the oldest of them first, and how many the filter takes in all. Without `values` only their sizes
/// are held.
pub fn newest(
    installation: &Installation,
    filter: &Filter,
    limit: usize,
    values: bool,
    timeout: Duration,
) -> anyhow::Result<(Vec<Letter>, u64)> {
    let (mut kept, mut count) = (BTreeMap::new(), 0);
    each(installation, filter, timeout, |mut letter| {
        count += 1;
        if !values {
            letter.record.value = None;
        }
        kept.insert((letter.record.timestamp, letter.record.partition, letter.record.offset), letter);
        if kept.len() > limit {
            kept.pop_first();
        }
        true
    })?;
    Ok((kept.into_values().collect(), count))
}

/// The letter at a place; none where there is none.
pub fn at(
    installation: &Installation,
    partition: i32,
    offset: i64,
    timeout: Duration,
) -> anyhow::Result<Option<Letter>> {
    let section = Section { partition: Some(partition), from: Some(offset), ..Section::default() };
    let mut found = None;
    read_section(&installation.cluster, &installation.cluster.topic(DATASET), section, timeout, |record, _| {
        found = (record.offset == offset).then(|| Letter::of(record));
        false
    })?;
    Ok(found)
}
