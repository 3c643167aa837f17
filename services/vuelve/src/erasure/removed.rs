//! The second stage: nothing of hers that was written before is left in any place.
//!
//! A topic whose records are deleted is empty of her once its log begins behind what was written by then. A compacted one is
//! read raw: no value of hers is left but the last of its key, which was written when she was erased, or since.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::Context;
use domain::{HumanDuration, Timestamp};
use ingestion::{ResolverState, partition_of};
use kafka::{NewRecord, Section, read_section};
use messaging::MessagingState;
use schemas::{CustomerProfile, PrivacyMeans, PrivacyPlace, PrivacyReceipt, PrivacyStage};
use segmentation::SegmentationState;
use store::Lookups;

use super::book::{Book, Key};
use super::forgotten::{now, receipt};
use super::states::{Patience, Said, fold, is_told_of, knows_nobody, said};
use super::whose::has_erased;
use crate::hosting::Installation;

/// What is compacted and is not a changelog, which its engine keeps writing to: an idle segment does not close by itself.
const IDLE: [&str; 2] = ["customer.profiles", "customer.reachability"];
/// A key that is no customer's: no event is taken under it.
const NOBODY: &[u8] = b"none";
/// After how long what is compacted is read again, where something was left: at first, and at last; each time twice as long.
const READ_AGAIN: HumanDuration = HumanDuration::from_millis(1_000);
const READ_AGAIN_AT_MOST: HumanDuration = HumanDuration::from_hours(1);

/// When what is compacted was read for requests, and after how long it is read again. No more than a memory: whoever has none
/// reads once more.
pub(super) type ReadAt = HashMap<Key, (Timestamp, HumanDuration)>;

/// The stores of all services, where they are to be asked.
pub(super) type Stores = HashMap<String, std::sync::Arc<dyn Lookups>>;

/// What came of it.
#[derive(Default)]
pub(super) struct Looked {
    pub(super) receipts: Vec<PrivacyReceipt>,
    /// Records that let idle segments be closed.
    pub(super) ticks: Vec<NewRecord>,
    /// How many places may still hold something.
    pub(super) left: usize,
    /// Of how many.
    pub(super) places: usize,
    /// The first of them.
    pub(super) first_left: Option<String>,
}

impl Looked {
    fn count(&mut self, open: &Open<'_>) {
        self.left += left(open);
        self.places += open.places.len();
        let first = open.places.iter().find(|place| place.removed_at.is_none());
        let shown = |place: &PrivacyPlace| {
            format!("{}[{}], by {}", place.dataset, place.partition, crate::written::word(&place.means))
        };
        self.first_left = self.first_left.take().or_else(|| first.map(shown));
    }
}

/// Looks at the places of those who are forgotten.
pub(super) struct Removal<'a> {
    pub(super) installation: &'a Installation,
    pub(super) stores: &'a Stores,
    pub(super) patience: Patience<'a>,
}

/// A request, its forgotten receipt, and which of its places are empty of her.
struct Open<'b> {
    wish: &'b super::Wish,
    ids: BTreeSet<&'b str>,
    places: Vec<PrivacyPlace>,
}

impl Removal<'_> {
    pub(super) fn look(&self, book: &Book, read_at: &mut ReadAt) -> anyhow::Result<Looked> {
        let mut looked = Looked::default();
        let mut open: Vec<Open<'_>> = book
            .to_remove()
            .into_iter()
            .map(|(wish, forgotten)| Open {
                wish,
                ids: forgotten.ids.iter().map(String::as_str).collect(),
                places: forgotten.places.clone(),
            })
            .collect();
        self.look_at_what_is_deleted(&mut open)?;
        let now = now();
        let lag = compacted_within();
        open.retain(|open| {
            let forgotten = book.receipt(open.wish, PrivacyStage::Forgotten).map_or(0, |receipt| receipt.at);
            let deleted =
                open.places.iter().all(|place| place.means != PrivacyMeans::Retention || place.removed_at.is_some());
            let compacted = now >= Timestamp::from_millis(forgotten) + lag;
            let is_due = read_at.get(&open.wish.key()).is_none_or(|(read, wait)| now >= *read + *wait);
            let reads = (deleted || compacted) && is_due;
            if !reads {
                looked.count(open);
            }
            reads
        });
        if open.is_empty() {
            return Ok(looked);
        }
        self.add_unnamed(book, &mut open)?;
        let back = self.who_came_back(&open)?;
        self.look_at_what_is_compacted(&back, &mut open)?;
        self.look_into_stores(&back, &mut open)?;
        let mut ticks = BTreeSet::new();
        for open in open {
            if left(&open) == 0 {
                read_at.remove(&open.wish.key());
                let forgotten = book.receipt(open.wish, PrivacyStage::Forgotten).context("it was forgotten")?;
                looked.receipts.push(receipt(open.wish, PrivacyStage::Erased, forgotten.ids.clone(), open.places));
                continue;
            }
            looked.count(&open);
            let wait = read_at.get(&open.wish.key()).map_or(READ_AGAIN, |(_, wait)| {
                HumanDuration::from_millis(wait.as_millis().saturating_mul(2)).min(READ_AGAIN_AT_MOST)
            });
            read_at.insert(open.wish.key(), (now, wait));
            let left = open.places.into_iter().filter(|place| place.removed_at.is_none());
            let idle = left.filter(|place| IDLE.contains(&place.dataset.as_str()));
            ticks.extend(idle.map(|place| (place.dataset, place.partition)));
        }
        let ticks = ticks.into_iter().map(|(dataset, partition)| self.tick(&dataset, partition));
        looked.ticks = ticks.collect::<Result<_, _>>()?;
        Ok(looked)
    }

    /// Adds ids that the receipt has no room for: those that were asked for and that segmentation has erased.
    fn add_unnamed<'b>(&self, book: &'b Book, open: &mut [Open<'b>]) -> anyhow::Result<()> {
        let mut unnamed = Vec::new();
        for (place, open) in open.iter().enumerate() {
            let asked = book.asked(open.wish).into_iter().filter(|asked| !open.ids.contains(asked.about()));
            unnamed.extend(asked.map(|asked| (place, asked)));
        }
        if unnamed.is_empty() {
            return Ok(());
        }
        let ids: BTreeSet<&str> = unnamed.iter().map(|(_, asked)| asked.about()).collect();
        let of = |id: &&str| partition_of(id.as_bytes(), self.installation.cluster.partitions);
        let partitions = ids.iter().map(of).collect();
        let states = fold(self.installation, "segmentation", Some(&partitions), self.patience, {
            |id: &str, state: &SegmentationState| ids.contains(id) && state.erased_at.is_some()
        })?;
        for (place, asked) in unnamed {
            if states.get(asked.about()).is_some_and(|state| has_erased(asked, state)) {
                open[place].ids.insert(asked.about());
            }
        }
        Ok(())
    }

    /// A record that says nothing, for the segment to be closed that lies open in a partition where nobody writes.
    fn tick(&self, dataset: &str, partition: i32) -> Result<NewRecord, schemas::EncodeError> {
        self.installation.record::<CustomerProfile>(dataset, Some(partition), NOBODY, None)
    }

    fn look_at_what_is_deleted(&self, open: &mut [Open<'_>]) -> anyhow::Result<()> {
        let cluster = &self.installation.cluster;
        for (dataset, partitions) in by_dataset(open, PrivacyMeans::Retention) {
            let bounds = kafka::bounds(cluster, &cluster.topic(&dataset), partitions, self.patience.timeout)?;
            let seen = now().as_millis();
            for place in open.iter_mut().flat_map(|open| &mut open.places) {
                let begins = bounds.get(&place.partition).map(|(begins, _)| *begins);
                if place.dataset == dataset && begins.is_some_and(|begins| begins >= place.until_offset) {
                    place.removed_at = Some(seen);
                }
            }
        }
        Ok(())
    }

    fn look_at_what_is_compacted(&self, back: &Back, open: &mut [Open<'_>]) -> anyhow::Result<()> {
        for (dataset, partitions) in by_dataset(open, PrivacyMeans::Compaction) {
            for partition in partitions {
                let is_here = |place: &PrivacyPlace| {
                    place.dataset == dataset && place.partition == partition && place.means == PrivacyMeans::Compaction
                };
                let until = open.iter().flat_map(|open| &open.places).filter(|place| is_here(place));
                let until = until.map(|place| place.until_offset).max().unwrap_or_default();
                let ids: BTreeSet<&str> = open.iter().flat_map(|open| open.ids.iter().copied()).collect();
                let values = self.values(&dataset, partition, until, &ids)?;
                let seen = now().as_millis();
                for open in open.iter_mut() {
                    for place in open.places.iter_mut().filter(|place| is_here(place)) {
                        let is_left = open.ids.iter().any(|id| {
                            let of_id = values.get(*id).map_or(&[][..], Vec::as_slice);
                            is_left(of_id, place.until_offset, back.may_be_said_of(id))
                        });
                        place.removed_at = (!is_left).then_some(seen);
                    }
                }
            }
        }
        Ok(())
    }

    /// The records of these ids in a partition, raw as they lie there: the offset of each, and what it says.
    fn values(
        &self,
        dataset: &str,
        partition: i32,
        until: i64,
        ids: &BTreeSet<&str>,
    ) -> anyhow::Result<HashMap<String, Vec<(i64, Said)>>> {
        let cluster = &self.installation.cluster;
        let section = Section { partition: Some(partition), uncommitted: true, ..Section::default() };
        let (mut values, mut failure): (HashMap<String, Vec<_>>, _) = (HashMap::new(), None);
        read_section(cluster, &cluster.topic(dataset), section, self.patience.timeout, |record, _| {
            failure = self.patience.check().err();
            if failure.is_some() || record.offset >= until {
                return false;
            }
            let key = record.key.as_deref().and_then(|key| std::str::from_utf8(key).ok());
            let Some(key) = key.filter(|key| ids.contains(key)) else { return true };
            let said =
                record.value.as_deref().map_or(Ok(Said::Nothing), |value| said(self.installation, dataset, value));
            match said {
                Ok(said) => values.entry(key.to_owned()).or_default().push((record.offset, said)),
                Err(error) => failure = Some(error),
            }
            failure.is_none()
        })?;
        failure.map_or(Ok(values), Err)
    }

    fn who_came_back(&self, open: &[Open<'_>]) -> anyhow::Result<Back> {
        let ids: BTreeSet<&str> = open.iter().flat_map(|open| open.ids.iter().copied()).collect();
        let of = |id: &&str| partition_of(id.as_bytes(), self.installation.cluster.partitions);
        let partitions = ids.iter().map(of).collect();
        let is_known =
            |id: &str, state: &SegmentationState| ids.contains(id) && state.erased_at.is_some() && is_told_of(state);
        let known = fold(self.installation, "segmentation", Some(&partitions), self.patience, is_known)?;
        let is_used = |id: &str, state: &ResolverState| {
            ids.contains(id) && state.erased_at.max(state.device_erased_at).is_some() && !knows_nobody(state)
        };
        let used = fold(self.installation, "ingestion", Some(&partitions), self.patience, is_used)?;
        // Messaging has read past the request: what it published before is not in its state.
        let is_unreachable = |id: &str, state: &MessagingState| ids.contains(id) && !state.unreachable.is_empty();
        let unreachable = fold(self.installation, "messaging", Some(&partitions), self.patience, is_unreachable)?;
        let mut back: HashMap<String, Said> = unreachable.into_keys().map(|id| (id, Said::Unreachable)).collect();
        back.extend(known.into_keys().chain(used.into_keys()).map(|id| (id, Said::More)));
        Ok(Back(back))
    }

    fn look_into_stores(&self, back: &Back, open: &mut [Open<'_>]) -> anyhow::Result<()> {
        for open in open {
            for place in open.places.iter_mut().filter(|place| place.means == PrivacyMeans::Store) {
                let service = place.dataset.trim_end_matches(".changelog");
                let mut is_left = false;
                match self.stores.get(service) {
                    Some(store) => {
                        let of = |id: &&str| partition_of(id.as_bytes(), self.installation.cluster.partitions);
                        let wanted: Vec<(i32, &str)> = open
                            .ids
                            .iter()
                            .copied()
                            .filter(|id| of(id) == place.partition)
                            .map(|id| (place.partition, id))
                            .collect();
                        for ((_, id), looked) in wanted.iter().zip(store.get_all(&wanted)?) {
                            let Some(value) = looked.value else { continue };
                            is_left |= said(self.installation, &place.dataset, &value)? > back.may_be_said_of(id);
                        }
                    }
                    // The states lie in the processes by now, and nothing outside of them is asked any more.
                    None if self.stores.is_empty() => {}
                    None => continue,
                }
                place.removed_at = (!is_left).then_some(now().as_millis());
            }
        }
        Ok(())
    }
}

/// Who came back since they were erased, and what may be said of them again. Of whom something is known, or whose device is
/// somebody's (theirs, or another's), that is anything; of who followed an old link, which addresses are not written to.
struct Back(HashMap<String, Said>);

impl Back {
    fn may_be_said_of(&self, id: &str) -> Said {
        self.0.get(id).copied().unwrap_or_default()
    }
}

/// Whether something is left among the values of one key, each with its offset and what it says. The last of them was written when
/// she was erased or later: then it may say as much as may be said of her again.
fn is_left(values: &[(i64, Said)], until: i64, again: Said) -> bool {
    let before: Vec<_> = values.iter().filter(|(offset, _)| *offset < until).collect();
    let last = values.len().saturating_sub(1);
    let may_be_said = |number: usize| if number == last { again } else { Said::Nothing };
    before.iter().enumerate().any(|(number, (_, said))| *said > may_be_said(number))
}

fn left(open: &Open<'_>) -> usize {
    open.places.iter().filter(|place| place.removed_at.is_none()).count()
}

/// In which partitions of which datasets something may still lie that is removed so.
fn by_dataset(open: &[Open<'_>], means: PrivacyMeans) -> BTreeMap<String, BTreeSet<i32>> {
    let mut found: BTreeMap<String, BTreeSet<i32>> = BTreeMap::new();
    for place in open.iter().flat_map(|open| &open.places).filter(|place| place.means == means) {
        if place.removed_at.is_none() {
            found.entry(place.dataset.clone()).or_default().insert(place.partition);
        }
    }
    found
}

/// After how long what is compacted is gone.
fn compacted_within() -> HumanDuration {
    let specs = schemas::topics("any", 1);
    let compacted = specs.iter().filter(|spec| spec.holds_customers() && spec.cleanup == schemas::Cleanup::Compact);
    let longest = compacted.filter_map(schemas::TopicSpec::gone_within).max().unwrap_or_default();
    HumanDuration::from_millis(i64::try_from(longest.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_lies_behind_another_is_left_and_the_last_one_if_it_says_more_than_is_known_of_her_again() {
        let (nothing, unreachable, more) = (Said::Nothing, Said::Unreachable, Said::More);
        for (values, again, expected) in [
            (&[][..], nothing, false),
            (&[(3, nothing)], nothing, false),
            (&[(3, more)], nothing, true),
            (&[(3, more)], more, false),
            (&[(3, unreachable)], nothing, true),
            (&[(3, unreachable)], unreachable, false),
            (&[(3, more)], unreachable, true),
            (&[(3, more), (5, nothing)], nothing, true),
            (&[(3, more), (5, more)], more, true),
            (&[(3, unreachable), (5, unreachable)], unreachable, true),
            // Written since: no matter what.
            (&[(12, more)], nothing, false),
            (&[(3, more), (12, more)], more, true),
        ] {
            assert_eq!(is_left(values, 10, again), expected, "{values:?}, again: {again:?}");
        }
    }
}
