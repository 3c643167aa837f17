//! What a service is to the engine: how it reads a record, and one pure step.
//!
//! Wanted properties:
//! - a step's result depends on the policy, the state, the cause and `now` alone;
//! - a step that handles [`Cause::Timer`] or [`Cause::Abandoned`] changes what its state waits for, so that it ends;
//! - what a step wants done is in its [`Effects`]: it does nothing itself.

use std::fmt::Debug;
use std::sync::Arc;

use bytes::Bytes;
use domain::Timestamp;
use schemas::{Schemas, StateContract};

use crate::topology::{Dataset, Partition, Topology};

/// A customer id, or what else a service keeps its state by.
pub type Key = Arc<str>;

/// A W3C `traceparent`: carried from cause to effect, kept in state where a timer has to find it again.
pub type Trace = Arc<str>;

/// The headers of a record as it came. They are copied only where they are wanted: for a dead letter.
pub trait RecordHeaders: Debug {
    /// All of them, in their order: name and value.
    fn copied(&self) -> Vec<(String, Bytes)>;
}

/// A record as it came, borrowed from the client's buffers.
#[derive(Clone, Copy, Debug)]
pub struct RecordRef<'a> {
    /// Index of the input (or table) in the topology.
    pub input: usize,
    /// Its partition.
    pub partition: Partition,
    /// Its offset.
    pub offset: i64,
    /// The record's time: the broker's where the topic says `LogAppendTime`, else the producer's.
    pub timestamp: Timestamp,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value.
    pub value: Option<&'a [u8]>,
    /// The W3C trace context of the record, from its headers.
    pub traceparent: Option<&'a str>,
    /// Its headers; none where it has none.
    pub headers: Option<&'a dyn RecordHeaders>,
}

/// The longest customer id.
const MAX_CUSTOMER_BYTES: usize = 512;

impl RecordRef<'_> {
    /// A copy for the dead letters, for this reason. `dataset` is that of its input.
    pub fn dead_letter(&self, dataset: Dataset, poison: Poison) -> DeadLetter {
        DeadLetter {
            dataset,
            partition: self.partition,
            offset: self.offset,
            timestamp: self.timestamp,
            key: self.key.map(Bytes::copy_from_slice),
            value: self.value.map(Bytes::copy_from_slice),
            headers: self.headers.map_or_else(Vec::new, RecordHeaders::copied),
            poison,
        }
    }

    /// The customer whom the record's key names: text, not empty and not too long.
    pub fn customer(&self) -> Result<Key, Poison> {
        let key = self.key.and_then(|key| std::str::from_utf8(key).ok());
        let key = key.filter(|key| !key.is_empty() && key.len() <= MAX_CUSTOMER_BYTES);
        key.map(Key::from).ok_or_else(|| Poison {
            reason: "no_key",
            detail: format!("the record's key is no customer id: text of at most {MAX_CUSTOMER_BYTES} bytes"),
        })
    }
}

/// A record that was understood.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded<I> {
    /// The state that it concerns.
    pub key: Key,
    /// When it happened: event time. Only the primary input's moves the key's time.
    pub at: Timestamp,
    /// What it says.
    pub input: I,
}

/// Why a record can't be used: it goes to the dead letters, byte for byte, with this.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct Poison {
    /// A short word for metrics: `malformed`, `no_key`, …
    pub reason: &'static str,
    /// What is wrong, for people; holds no personal data.
    pub detail: String,
}

/// What makes a step happen.
#[derive(Clone, Debug, PartialEq)]
pub enum Cause<I, C> {
    /// A record of an input.
    Record(I),
    /// The time that the state's `due().timer` names has come; `now` is that time.
    Timer,
    /// There is room for a side effect, and the state's `due().ready` asked for it: the step claims one ([`Effects::act`]),
    /// or no longer asks. One that asks on and claims nothing keeps its place, and so may keep others from theirs.
    Claim,
    /// The side effect of a claim is done (or known not to be).
    Completed(ClaimId, C),
    /// A worker took over: of the claims that this state still holds, nobody will ever tell the outcome.
    Abandoned,
    /// The policy changed and the state's `due().held` asked to hear of it: it then holds no longer, or holds with the
    /// context's revision.
    PolicyChanged,
}

/// Names a claim within its key: unique, made by the service from its own state (a message id and an attempt).
pub type ClaimId = Arc<str>;

/// What a state waits for. The store keeps one entry a key and lane, so that a worker finds who is due without reading all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Due {
    /// When its earliest timer is due.
    pub timer: Option<Timestamp>,
    /// Since when it waits for room for a side effect (the eldest goes first).
    pub ready: Option<Timestamp>,
    /// Since when it has a claim without an outcome.
    pub claimed: Option<Timestamp>,
    /// It waits for a change of the policy, of which it has seen this revision ([`Context::revision`]).
    pub held: Option<Timestamp>,
}

/// One index of the store: who waits for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Timers.
    Timer,
    /// Waits for room for a side effect.
    Ready,
    /// Has a claim without an outcome.
    Claimed,
    /// Waits for a change of the policy.
    Held,
}

impl Lane {
    /// All lanes, in the order of their index.
    pub const ALL: [Self; 4] = [Self::Timer, Self::Ready, Self::Claimed, Self::Held];
}

impl Due {
    /// The entry of one lane.
    pub const fn lane(&self, lane: Lane) -> Option<Timestamp> {
        match lane {
            Lane::Timer => self.timer,
            Lane::Ready => self.ready,
            Lane::Claimed => self.claimed,
            Lane::Held => self.held,
        }
    }
}

/// A name under which states are found: a few names, each of many states.
pub type Label = Arc<str>;

/// A state is under so many labels at most.
pub const MAX_LABELS: usize = 256;
/// A label has so many bytes at most.
pub const MAX_LABEL_BYTES: usize = 256;

/// What a service keeps for one key. Its default is "nothing known", and a state equal to it is not stored.
pub trait State: Default + Clone + Debug + PartialEq + Send + StateContract + 'static {
    /// Which version of [`State::indexed_under`] this is: 0 where no state is under any label. It is raised whenever the same
    /// state is under other labels than before, so that stores do not answer from an index that was made by other rules.
    const INDEX: u32 = 0;

    /// What it waits for.
    fn due(&self) -> Due;

    /// Under which labels it is found: each once, at most [`MAX_LABELS`] of at most [`MAX_LABEL_BYTES`]. All states
    /// together are under hundreds of labels, not thousands: a store may look through them.
    fn indexed_under(&self) -> impl Iterator<Item = &Label> {
        std::iter::empty()
    }
}

/// An output: data that a test can compare, encoded by the engine's driver.
pub trait Output: Debug + Clone + PartialEq + Send + 'static {
    /// Which of the topology's outputs it goes to.
    fn dataset(&self) -> Dataset;
    /// Its record key: the customer id on every customer topic.
    fn key(&self) -> &str;
    /// Appends the framed Avro value. Returns false for a tombstone (no value).
    fn encode(&self, schemas: &Schemas, buffer: &mut Vec<u8>) -> Result<bool, schemas::EncodeError>;
}

/// How a record ended. The engine counts them by input; the sums equal what was read.
///
/// What is not emitted changes no state and claims nothing; it may still be told (an output).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Disposition {
    /// It had an effect: on the state, or an output.
    Emitted,
    /// It concerns nobody here.
    Ignored(&'static str),
    /// It can't be honoured.
    Rejected(&'static str),
    /// The same, and it was put among the dead letters ([`Effects::set_aside`]).
    DeadLettered(&'static str),
}

/// What a step is told beside its cause.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The key whose state this is.
    pub key: &'a Key,
    /// Her time: the later of her last and the cause's event time; a timer's due time. [`Timestamp::MIN`] where she has
    /// none: what is no record of the primary input, about a key without a state.
    pub now: Timestamp,
    /// The broker's time of the record; none for what is not a record.
    pub stored_at: Option<Timestamp>,
    /// The trace that the cause belongs to.
    pub trace: Option<&'a Trace>,
    /// All that the broker received before it is behind: the partition's watermark.
    pub watermark: Timestamp,
    /// Which revision of the policy is in force: rises with every record of a table that changes it for those who wait, whatever
    /// is compacted afterwards.
    pub revision: Timestamp,
}

/// What a step wants done, collected.
#[derive(Clone, Debug, PartialEq)]
pub struct Effects<O, A> {
    /// Records to write, in order.
    pub outputs: Vec<Emitted<O>>,
    /// Side effects to perform once the claims on them are committed.
    pub actions: Vec<(ClaimId, A)>,
    /// Records that can't be honoured and are kept among the dead letters.
    pub dead_letters: Vec<DeadLetter>,
    trace: Option<Trace>,
    by_timer: bool,
    partition: Partition,
}

/// An output and the trace that it belongs to.
#[derive(Clone, Debug, PartialEq)]
pub struct Emitted<O> {
    /// The record.
    pub output: O,
    /// The trace of its cause.
    pub trace: Option<Trace>,
    /// Its cause is a timer: the trace, if there is one, is that of what once set it.
    pub by_timer: bool,
    /// Where the state lives that it came of.
    pub partition: Partition,
}

impl<O, A> Default for Effects<O, A> {
    fn default() -> Self {
        Self {
            outputs: Vec::new(),
            actions: Vec::new(),
            dead_letters: Vec::new(),
            trace: None,
            by_timer: false,
            partition: 0,
        }
    }
}

impl<O, A> Effects<O, A> {
    /// Writes a record, in the trace of the cause.
    pub fn emit(&mut self, output: O) {
        self.emit_traced(output, self.trace.clone());
    }

    /// Writes a record in a trace that the state remembers (a timer has none of its own).
    pub fn emit_traced(&mut self, output: O, trace: Option<Trace>) {
        self.outputs.push(Emitted { output, trace, by_timer: self.by_timer, partition: self.partition });
    }

    /// Claims a side effect: once the claim is committed with the state, the shell performs it and its outcome
    /// comes back as [`Cause::Completed`].
    pub fn act(&mut self, claim: ClaimId, action: A) {
        self.actions.push((claim, action));
    }

    /// Keeps the record that is the cause among the dead letters, so that it can be redriven once it can be honoured: how it ends.
    pub fn set_aside(&mut self, letter: DeadLetter) -> Disposition {
        let reason = letter.poison.reason;
        self.dead_letters.push(letter);
        Disposition::DeadLettered(reason)
    }

    pub(crate) fn begin<I, C>(&mut self, partition: Partition, cause: &Cause<I, C>, trace: Option<Trace>) {
        self.partition = partition;
        self.trace = trace;
        self.by_timer = matches!(cause, Cause::Timer);
    }
}

/// A service: its topology, its state and its step.
pub trait Service: Sized + 'static {
    /// What is in force: definitions as compiled from the tables, and settings.
    type Policy: Send + 'static;
    /// What it keeps for one key.
    type State: State;
    /// What its inputs say.
    type Input: Clone + Debug + Send + 'static;
    /// What it writes.
    type Output: Output;
    /// A side effect for its shell ([`std::convert::Infallible`] where it has none).
    type Action: Clone + Debug + Send + 'static;
    /// How a side effect ended.
    type Completion: Clone + Debug + Send + 'static;

    /// What it reads, writes and keeps.
    fn topology() -> &'static Topology;

    /// Reads a record of an input.
    fn decode(schemas: &Schemas, record: &RecordRef<'_>) -> Result<Decoded<Self::Input>, Poison>;

    /// Applies a record of a table to the policy: `record.input` is the table's index. A refusal leaves the policy as it was.
    /// Returns whether the states that wait for a change ([`Due::held`]) are to hear of it.
    fn apply_table(policy: &mut Self::Policy, schemas: &Schemas, record: &RecordRef<'_>) -> Result<bool, Poison>;

    /// Decides.
    fn step(
        policy: &Self::Policy,
        state: &mut Self::State,
        cause: Cause<Self::Input, Self::Completion>,
        context: &Context<'_>,
        effects: &mut Effects<Self::Output, Self::Action>,
    ) -> Disposition;

    /// What others are to know of a state that has changed, or ended (none), as of its key's time: a record of a compacted
    /// topic. Asked once a batch for each key, however often it changed; most services tell nothing.
    fn summary(policy: &Self::Policy, key: &Key, state: Option<&Self::State>, time: Timestamp) -> Option<Self::Output> {
        let _ = (policy, key, state, time);
        None
    }
}

/// A record that could not be used, with its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The data set that it came from.
    pub dataset: Dataset,
    /// Its partition.
    pub partition: Partition,
    /// Its offset.
    pub offset: i64,
    /// Its time.
    pub timestamp: Timestamp,
    /// Its key, untouched.
    pub key: Option<Bytes>,
    /// Its value, untouched.
    pub value: Option<Bytes>,
    /// Its headers, untouched.
    pub headers: Vec<(String, Bytes)>,
    /// Why.
    pub poison: Poison,
}
