//! How new an answer has to be: the places that a caller names, and whether a view has come so far.
//!
//! Wanted properties:
//! - an answer includes every place that was named for its partition, or there is none;
//! - what a header says of the inputs is asked of the log once for each state of the view, and not at all where what is known of
//!   an earlier or a later one decides: positions only rise.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use kafka::PlaceReader;
use parking_lot::Mutex;
use proto::segmentation::v1::AtLeast as Named;
use proto::segmentation::v1::at_least::Place as NamedPlace;
use proto::{Deadline, Extensions, Refusal};
use runtime::host::StopToken;
use store::Looked;
use stream::{Partition, StorePosition};

use super::RETRY;
use super::failure::Failure;
use crate::headers;
use crate::hosting::Installation;

const FIELD: &str = "at_least";
const SERVICE: &str = "segmentation";
const INPUT: &str = "storefront.events";
/// Of the time that a call has when it begins to wait, so much is left for its answer to arrive, and at most so long.
const ANSWER_SHARE: u32 = 10;
const ANSWER_TIME: Duration = Duration::from_millis(500);

/// A place that an answer has to include.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A header of the changelog, or a later one.
    AsOf(i64),
    /// A record of the primary input.
    Event(i64),
}

/// By partition, the place that an answer has to include.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct AtLeast(BTreeMap<Partition, Place>);

impl AtLeast {
    /// Those that a request names, each partition once, in an installation with so many partitions.
    pub(super) fn of(named: impl IntoIterator<Item = Named>, partitions: Partition) -> Result<Self, Refusal> {
        let invalid = |problem| Refusal::Invalid { field: FIELD, problem };
        let mut places = BTreeMap::new();
        for Named { partition, place } in named {
            if !(0..partitions).contains(&partition) {
                return Err(invalid(format!("there is no partition {partition}: there are {partitions}")));
            }
            let place = match place {
                Some(NamedPlace::AsOfOffset(offset)) => Place::AsOf(offset),
                Some(NamedPlace::EventOffset(offset)) => Place::Event(offset),
                None => return Err(invalid("names no place: set as_of_offset or event_offset".to_owned())),
            };
            if places.insert(partition, place).is_some() {
                return Err(invalid(format!("has partition {partition} twice")));
            }
        }
        Ok(Self(places))
    }

    /// Whether the log may have to be asked how far a view has come.
    pub(super) fn asks_the_log(&self) -> bool {
        self.0.values().any(|place| matches!(place, Place::Event(_)))
    }

    /// The same of one customer, who is in `hers`: another partition's place says nothing of her.
    pub(super) fn of_one(named: Option<Named>, hers: Partition, partitions: Partition) -> Result<Self, Refusal> {
        let at_least = Self::of(named, partitions)?;
        match at_least.0.keys().find(|partition| **partition != hers) {
            Some(other) => {
                let problem = format!("is of partition {other}, and this customer is in partition {hers}");
                Err(Refusal::Invalid { field: FIELD, problem })
            }
            None => Ok(at_least),
        }
    }
}

/// A view that has not come so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Behind {
    partition: Partition,
    place: Place,
    /// How far it has come, in what the place is counted; none where that can't be told just now.
    come: Option<i64>,
}

impl Behind {
    pub(super) fn refusal(self) -> Refusal {
        let Self { partition, place, come } = self;
        let come = come.map_or_else(|| "not so far".to_owned(), |come| come.to_string());
        let problem = match place {
            Place::AsOf(offset) => {
                format!("partition {partition} has come to the header at offset {come}, and {offset} was asked for")
            }
            Place::Event(offset) => format!(
                "of {INPUT}, partition {partition}, what lies before offset {come} is in the view, and {offset} was \
                 asked for"
            ),
        };
        Refusal::Unavailable { reason: "BEHIND", problem, retry_after: RETRY }
    }
}

/// How long a call takes: until a little before its deadline, so that its caller hears why there is no more; and how long it waits
/// for something, which it does no more once the server ends.
#[derive(Debug)]
pub(super) struct Patience {
    stop: Option<StopToken>,
    deadline: Option<Deadline>,
    kept: Duration,
}

impl Patience {
    pub(super) fn of(call: &Extensions) -> Self {
        let deadline = call.get::<Deadline>().copied();
        let left = deadline.map_or(Duration::ZERO, Deadline::remaining);
        Self { stop: call.get().cloned(), deadline, kept: (left / ANSWER_SHARE).min(ANSWER_TIME) }
    }

    /// What is left of it to wait in.
    pub(super) fn to_wait(&self) -> Duration {
        if self.stop.as_ref().is_some_and(StopToken::is_stopped) { Duration::ZERO } else { self.left() }
    }

    pub(super) fn left(&self) -> Duration {
        self.deadline.map_or(Duration::ZERO, |deadline| deadline.remaining().saturating_sub(self.kept))
    }
}

/// How far the views have come in the primary input, by what their headers say in the log.
#[derive(Debug)]
pub(super) struct Progress {
    installation: Installation,
    /// How long the broker may say nothing.
    timeout: Duration,
    reader: Mutex<Option<PlaceReader>>,
    /// By partition, what the header that was read last says.
    known: Mutex<HashMap<Partition, Known>>,
}

/// What a header says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    log: String,
    header_offset: i64,
    /// What lies before it in the primary input is included.
    next_offset: i64,
}

/// What is known of a view and an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Included,
    Behind(i64),
    /// Only its header says.
    Ask,
}

impl Known {
    fn judge(known: Option<&Self>, position: &StorePosition, event: i64) -> Verdict {
        let Some(known) = known.filter(|known| known.log == position.log) else { return Verdict::Ask };
        let is_included = known.next_offset > event;
        if is_included && position.header_offset >= known.header_offset {
            Verdict::Included
        } else if !is_included && position.header_offset <= known.header_offset {
            Verdict::Behind(known.next_offset)
        } else {
            Verdict::Ask
        }
    }
}

impl Progress {
    pub(super) fn new(installation: &Installation, timeout: Duration) -> Self {
        Self { installation: installation.clone(), timeout, reader: Mutex::default(), known: Mutex::default() }
    }

    /// Whether any of what was read is of a view that has not come as far as is asked for. It may wait for the broker.
    pub(super) fn behind(
        &self,
        at_least: &AtLeast,
        looked: &[(Partition, &Looked)],
    ) -> Result<Option<Behind>, Failure> {
        for (partition, looked) in looked {
            let Some(place) = at_least.0.get(partition).copied() else { continue };
            let position = &looked.position;
            let come = match place {
                Place::AsOf(offset) if position.header_offset >= offset => continue,
                Place::AsOf(_) => Some(position.header_offset),
                Place::Event(offset) => match self.judge(*partition, position, offset)? {
                    Verdict::Included => continue,
                    Verdict::Behind(next_offset) => Some(next_offset),
                    Verdict::Ask => None,
                },
            };
            return Ok(Some(Behind { partition: *partition, place, come }));
        }
        Ok(None)
    }

    fn judge(&self, partition: Partition, position: &StorePosition, event: i64) -> Result<Verdict, Failure> {
        let judge = || Known::judge(self.known.lock().get(&partition), position, event);
        let verdict = judge();
        if verdict != Verdict::Ask {
            return Ok(verdict);
        }
        // Whoever waited for the reader may find that the one before asked the same.
        let mut reader = self.reader.lock();
        let verdict = judge();
        if verdict != Verdict::Ask {
            return Ok(verdict);
        }
        let told = self.ask(&mut reader, partition, position);
        if told.is_err() {
            // Whatever has become of it, the next who asks begins with another.
            *reader = None;
        }
        let Some(next_offset) = told.map_err(Failure::Log)? else { return Ok(Verdict::Ask) };
        let known = Known { log: position.log.clone(), header_offset: position.header_offset, next_offset };
        let verdict = Known::judge(Some(&known), position, event);
        let mut all = self.known.lock();
        let is_newer = all
            .get(&partition)
            .is_none_or(|before| before.log != known.log || before.header_offset < known.header_offset);
        if is_newer {
            all.insert(partition, known);
        }
        Ok(verdict)
    }

    /// What the header at the view's position says; none where compaction has taken it: the view has gone on by then.
    fn ask(
        &self,
        reader: &mut Option<PlaceReader>,
        partition: Partition,
        position: &StorePosition,
    ) -> anyhow::Result<Option<i64>> {
        if position.header_offset < 0 {
            return Ok(Some(0));
        }
        let cluster = &self.installation.cluster;
        let reader = match reader {
            Some(reader) => reader,
            none => none.insert(PlaceReader::new(cluster, self.timeout)?),
        };
        let topic = cluster.topic(&format!("{SERVICE}.changelog"));
        let Some(record) = reader.at(&topic, partition, position.header_offset)? else { return Ok(None) };
        let header = headers::header_in(&self.installation, SERVICE, &record)?;
        Ok(header.map(|header| {
            let position = header.positions.iter().find(|position| position.dataset == INPUT);
            position.map_or(0, |position| position.next_offset)
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(header_offset: i64) -> StorePosition {
        StorePosition { generation: "g".to_owned(), log: "log".to_owned(), header_offset }
    }

    #[test]
    fn what_is_known_of_another_state_of_the_view_decides_where_positions_that_only_rise_allow_it() {
        // The header at 100 says that all before 50 is included.
        let known = Known { log: "log".to_owned(), header_offset: 100, next_offset: 50 };
        let judge = |header_offset, event| Known::judge(Some(&known), &at(header_offset), event);
        assert_eq!([judge(100, 49), judge(100, 50)], [Verdict::Included, Verdict::Behind(50)]);
        assert_eq!([judge(101, 49), judge(101, 50)], [Verdict::Included, Verdict::Ask]);
        assert_eq!([judge(99, 49), judge(99, 50)], [Verdict::Ask, Verdict::Behind(50)]);
        assert_eq!(Known::judge(None, &at(100), 0), Verdict::Ask);
        let other = StorePosition { log: "another".to_owned(), ..at(200) };
        assert_eq!(Known::judge(Some(&known), &other, 0), Verdict::Ask);
    }

    #[test]
    fn places_that_make_no_sense_are_refused_by_their_field() {
        let as_of = |partition, offset| Named { partition, place: Some(NamedPlace::AsOfOffset(offset)) };
        let of = |named: &[Named]| AtLeast::of(named.to_vec(), 4).map_err(|refusal| refusal.to_string());
        assert_eq!(of(&[]), Ok(AtLeast::default()));
        assert_eq!(of(&[as_of(3, 7)]), Ok(AtLeast([(3, Place::AsOf(7))].into())));
        assert_eq!(of(&[as_of(4, 7)]), Err("at_least: there is no partition 4: there are 4".to_owned()));
        assert_eq!(of(&[as_of(3, 7), as_of(3, 8)]), Err("at_least: has partition 3 twice".to_owned()));
        let none = Named { partition: 0, place: None };
        assert_eq!(of(&[none]), Err("at_least: names no place: set as_of_offset or event_offset".to_owned()));
        let of_one = AtLeast::of_one(Some(as_of(3, 7)), 2, 4).map_err(|refusal| refusal.to_string());
        assert_eq!(of_one, Err("at_least: is of partition 3, and this customer is in partition 2".to_owned()));
    }
}
