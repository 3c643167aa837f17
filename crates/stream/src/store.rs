//! The port to the state store: a view of the changelog, fenced by how far it stands (promise 3).
//!
//! Wanted properties, for every implementation (one test suite runs on all):
//! - a view says by itself which log it stands for and how far: [`StorePosition`];
//! - [`StateStore::apply`] happens whole or not at all as seen by [`StateStore::load`], exactly once per header, and only by
//!   a caller that knows the position before it;
//! - a view that was emptied, or fell back to an older copy, is recognised by its position;
//! - a key is found under the labels of its state, and under no others: the index changes with the states, in the same step.

use std::fmt::Debug;
use std::ops::Range;

use bytes::Bytes;
use domain::Timestamp;

use crate::service::{Due, Key, Label, Lane};
use crate::topology::Partition;

/// Which log a view stands for, and how far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorePosition {
    /// Random, drawn when the view was begun: tells a rebuilt view from the one before.
    pub generation: String,
    /// The changelog's identity: cluster id and topic id.
    pub log: String,
    /// Offset of the header that the view stands for.
    pub header_offset: i64,
}

/// One key's change, as the changelog has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateChange {
    /// The key.
    pub key: Key,
    /// The framed changelog value; none ends the key.
    pub value: Option<Bytes>,
    /// What it waits for now.
    pub due: Due,
    /// Under which labels it is found now; a key that ends is under none.
    pub labels: Labels,
}

/// Under which labels a key is found after a change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Labels {
    /// As before: nothing is written.
    #[default]
    Same,
    /// Under these.
    Are {
        /// Those under which it was in the view that the change is applied to, where the caller knows them. Where nobody
        /// does (a changelog is read), the store finds out.
        before: Option<Vec<Label>>,
        /// Those under which it is from now on.
        now: Vec<Label>,
    },
}

impl Labels {
    /// These, whatever there was before.
    pub const fn are(now: Vec<Label>) -> Self {
        Self::Are { before: None, now }
    }

    /// None any more, where there were these.
    pub const fn no_longer(before: Vec<Label>) -> Self {
        Self::Are { before: Some(before), now: Vec::new() }
    }
}

/// State changes as they are collected, all values in one piece of memory.
#[derive(Debug, Default)]
pub struct StateChanges {
    changes: Vec<(Key, Option<Range<usize>>, Due, Labels)>,
    values: Vec<u8>,
}

impl StateChanges {
    /// The key ends.
    pub fn end(&mut self, key: Key, labels: Labels) {
        self.changes.push((key, None, Due::default(), labels));
    }

    /// The key has the value that `write` appends. Returns how many bytes that are.
    pub fn set<E>(
        &mut self,
        key: Key,
        due: Due,
        labels: Labels,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<usize, E> {
        let start = self.values.len();
        write(&mut self.values)?;
        self.changes.push((key, Some(start..self.values.len()), due, labels));
        Ok(self.values.len() - start)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Forgets all of them.
    pub fn clear(&mut self) {
        self.changes.clear();
        self.values.clear();
    }

    /// All of them, in their order; none is left.
    pub fn take(&mut self) -> Vec<StateChange> {
        let values = Bytes::copy_from_slice(&self.values);
        self.values.clear();
        let changes = self.changes.drain(..);
        changes
            .map(|(key, place, due, labels)| {
                let value = place.map(|place| values.slice(place));
                StateChange { key, value, due, labels }
            })
            .collect()
    }
}

/// What is asked of a view before a batch is computed: one round trip.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadRequest {
    /// The states wanted.
    pub keys: Vec<Key>,
    /// The keys that are due in a lane up to a time, eldest first, at most `limit`; with their states.
    pub due: Option<DueQuery>,
}

/// Who is due?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueQuery {
    /// In which lane.
    pub lane: Lane,
    /// Up to and with this time.
    pub until: Timestamp,
    /// At most so many.
    pub limit: usize,
}

/// The answer to a [`LoadRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// What the view stood for when it answered; a view behind what was acknowledged is not to be trusted.
    pub position: StorePosition,
    /// Per key asked: its framed changelog value.
    pub states: Vec<Option<Bytes>>,
    /// The due keys, eldest first: (due, key, framed value).
    pub due: Vec<(Timestamp, Key, Option<Bytes>)>,
    /// How many are due in all, where [`Lane::Held`] was asked for: how much of a change of the policy is still to be told.
    pub held: u64,
}

/// A step of a view: from the header at `expected` to the one at `header_offset`, with the changes between.
#[derive(Clone, Copy, Debug)]
pub struct Advance<'a> {
    /// Whose view.
    pub partition: Partition,
    /// Where it has to stand.
    pub expected: &'a StorePosition,
    /// Where it stands then.
    pub header_offset: i64,
    /// What lies between.
    pub changes: &'a [StateChange],
}

/// How an [`StateStore::apply`] ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// Written.
    Done,
    /// It had been written before (an answer was lost).
    AlreadyThere,
    /// The view stands elsewhere (none: it is empty): the owner heals it from the changelog.
    Refused(Option<StorePosition>),
}

/// Why a store did not answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// It can't be reached, or is loading: try again.
    #[error("the state store can't be reached: {0}")]
    Unavailable(String),
    /// It works, but not as required (an eviction policy, a script refused, memory full).
    #[error("the state store can't be used: {0}")]
    Unusable(String),
}

/// A state store of one service. Calls block; an implementation is owned by one worker (lookups have their own handle).
pub trait StateStore: Debug {
    /// What the partition's view stands for; none where there is no view.
    fn position(&mut self, partition: Partition) -> Result<Option<StorePosition>, StoreError>;

    /// Reads states, and who is due. `None` where there is no view.
    fn load(&mut self, partition: Partition, request: &LoadRequest) -> Result<Option<Loaded>, StoreError>;

    /// The same for several partitions, in their order: at once, where the store can.
    fn load_all(&mut self, requests: &[(Partition, LoadRequest)]) -> Result<Vec<Option<Loaded>>, StoreError> {
        requests.iter().map(|(partition, request)| self.load(*partition, request)).collect()
    }

    /// Moves the view from the header at `expected` to the one at `header_offset`, with the changes between.
    fn apply(
        &mut self,
        partition: Partition,
        expected: &StorePosition,
        header_offset: i64,
        changes: &[StateChange],
    ) -> Result<Applied, StoreError>;

    /// The same for several partitions, each once, in their order: at once, where the store can. After an error nobody
    /// knows which of them were moved.
    fn apply_all(&mut self, advances: &[Advance<'_>]) -> Result<Vec<Applied>, StoreError> {
        let each = |advance: &Advance<'_>| {
            self.apply(advance.partition, advance.expected, advance.header_offset, advance.changes)
        };
        advances.iter().map(each).collect()
    }

    /// Begins a new, empty view under `generation`, beside the one in use, to be filled by [`StateStore::fill`].
    fn begin_rebuild(&mut self, partition: Partition, generation: &str, log: &str) -> Result<(), StoreError>;

    /// Writes changes into the view that is being rebuilt.
    fn fill(&mut self, partition: Partition, generation: &str, changes: &[StateChange]) -> Result<(), StoreError>;

    /// Puts the rebuilt view, which stands for `header_offset`, in the place of the old one, whose keys are then dropped.
    /// An empty changelog has no header: `header_offset` is −1 then.
    fn switch(
        &mut self,
        partition: Partition,
        generation: &str,
        log: &str,
        header_offset: i64,
    ) -> Result<(), StoreError>;

    /// Forgets what this process caches of a partition that it no longer owns (a store in memory drops the view).
    fn release(&mut self, partition: Partition);
}
