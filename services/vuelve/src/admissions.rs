//! Letting into journeys who is in their segments already (`existing: 2000/h`): over which time is worked out once, from all who
//! are there, and published; segmentation gives each her turn in it.
//!
//! Wanted properties:
//! - who is there is counted once everybody was judged by what is in force: also where the segment came with the journey;
//! - a journey and a segment are admitted to once, whatever versions of the journey follow; where the journey no longer asks for
//!   it, that is taken back, and who has not had her turn has none;
//! - an admission is published once, also where two processes count at once;
//! - it can be left off anywhere and begun again: what is published says what is done.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use definitions::Trigger;
use domain::Timestamp;
use kafka::NewRecord;
use schemas::Admission;
use segmentation::SegmentationState;

use crate::customers::Changelog;
use crate::definition_topic::{self, InForce};
use crate::headers;
use crate::hosting::Installation;

const DATASET: &str = "customer.admissions";
/// Who writes here shuts out whoever began to before.
const APPENDER: &str = "admissions";
const HOUR_MS: i64 = 3_600_000;

/// What came of a look.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Looked {
    /// Published.
    pub published: Vec<Admission>,
    /// Taken back: `journey/segment`.
    pub taken_back: Vec<String>,
    /// There are more, but not everybody was judged by what is in force yet.
    pub waits: bool,
}

/// Publishes what is asked for and was not published, and takes back what is no longer asked for. On a thread that may wait.
pub fn look(installation: &Installation, timeout: Duration, go_on: &dyn Fn() -> bool) -> anyhow::Result<Looked> {
    let in_force = InForce::read(installation, timeout)?;
    let published = published(installation, timeout)?;
    let asked = asked(&in_force);
    let mut looked = Looked::default();
    looked.taken_back.extend(published.iter().filter(|key| !asked.contains_key(*key)).cloned());
    let new: Vec<(&String, &Admission)> = asked.iter().filter(|(key, _)| !published.contains(*key)).collect();
    if !new.is_empty() {
        if headers::is_told(installation, "segmentation", (definition_topic::DATASET, in_force.offset), timeout)? {
            let now = Timestamp::from_millis(jiff::Timestamp::now().as_millisecond());
            let segments: Vec<&str> = new.iter().map(|(_, admission)| admission.segment.as_str()).collect();
            let members = members(installation, &segments, now, timeout, go_on)?;
            let counted = new.iter().zip(members).map(|((_, asked), members)| over(asked, members, now));
            looked.published.extend(counted);
        } else {
            looked.waits = true;
        }
    }
    if !looked.published.is_empty() || !looked.taken_back.is_empty() {
        // Counting takes long, and somebody else may have come first. A record that came twice would give everybody another turn.
        installation.append_alone(APPENDER, timeout, || still_to_write(installation, &mut looked, timeout))?;
    }
    Ok(looked)
}

/// What nobody has written by now.
fn still_to_write(
    installation: &Installation,
    looked: &mut Looked,
    timeout: Duration,
) -> anyhow::Result<Vec<NewRecord>> {
    let asked = asked(&InForce::read(installation, timeout)?);
    let published = published(installation, timeout)?;
    let key = |admission: &Admission| key_of(&admission.journey, &admission.segment);
    looked.published.retain(|new| asked.contains_key(&key(new)) && !published.contains(&key(new)));
    looked.taken_back.retain(|key| !asked.contains_key(key) && published.contains(key));
    let taken_back = looked.taken_back.iter().map(|key| (key.clone(), None));
    let new = looked.published.iter().map(|admission| (key(admission), Some(admission)));
    let record = |(key, admission)| installation.record(DATASET, Some(0), key, admission);
    Ok(taken_back.chain(new).map(record).collect::<Result<_, _>>()?)
}

fn key_of(journey: &str, segment: &str) -> String {
    format!("{journey}/{segment}")
}

/// What the journeys in force ask for, by key; nobody was counted.
fn asked(in_force: &InForce) -> BTreeMap<String, Admission> {
    let mut asked = BTreeMap::new();
    for journey in in_force.current_journeys() {
        for trigger in &journey.triggers {
            let Trigger::Entered { segment, existing_per_hour: Some(per_hour) } = trigger else { continue };
            let admission = Admission {
                journey: journey.name.to_string(),
                segment: segment.name.to_string(),
                per_hour: i32::try_from(*per_hour).unwrap_or(i32::MAX),
                ..Admission::default()
            };
            asked.insert(key_of(&journey.name, &segment.name), admission);
        }
    }
    asked
}

/// The time that so many take, from now on.
fn over(asked: &Admission, members: i64, now: Timestamp) -> Admission {
    let span = i128::from(members) * i128::from(HOUR_MS) / i128::from(asked.per_hour.max(1));
    let until = now.as_millis().saturating_add(i64::try_from(span).unwrap_or(i64::MAX));
    Admission { members, from: now.as_millis(), until, ..asked.clone() }
}

/// What is published, by key. What can't be read counts as published: segmentation has told of it.
fn published(installation: &Installation, timeout: Duration) -> anyhow::Result<BTreeSet<String>> {
    let mut published = BTreeSet::new();
    kafka::read_topic(&installation.cluster, &installation.cluster.topic(DATASET), timeout, |record| {
        let key = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default()).into_owned();
        match record.value {
            Some(_) => published.insert(key),
            None => published.remove(&key),
        };
        true
    })?;
    Ok(published)
}

/// How many were in each of these segments before a time, over all partitions.
fn members(
    installation: &Installation,
    segments: &[&str],
    before: Timestamp,
    timeout: Duration,
    go_on: &dyn Fn() -> bool,
) -> anyhow::Result<Vec<i64>> {
    let is_in = |state: &SegmentationState| -> Option<u64> {
        let member = |segment: &&str| {
            state.memberships.iter().any(|member| *member.segment == **segment && member.since < before)
        };
        // There are far fewer than 64: segmentation lets no more in at once.
        let places = segments.iter().take(64).enumerate().filter(|(_, segment)| member(segment));
        Some(places.map(|(place, _)| 1 << place).sum()).filter(|places| *places != 0)
    };
    let changelog = Changelog::read(installation, timeout, go_on, |_, _, state| is_in(state))?;
    let count = |place: usize| changelog.customers.values().filter(|is_in| **is_in & (1 << place) != 0).count();
    Ok((0..segments.len().min(64)).map(|place| count(place) as i64).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_take_as_long_as_there_are_members_for_the_hours() {
        let asked = Admission { per_hour: 2_000, ..Admission::default() };
        let now = Timestamp::from_millis(1_000_000);
        let minutes = |members| (over(&asked, members, now).until - now.as_millis()) * 60 / HOUR_MS;
        assert_eq!([0, 1_000, 2_000, 5_000_000].map(minutes), [0, 30, 60, 150_000]);
        assert_eq!(over(&asked, i64::MAX, now).until, i64::MAX);
    }
}
