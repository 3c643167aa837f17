//! Runs a service on the real worker with no I/O at all, both clocks in the test's hand (Kafka Streams'
//! `TopologyTestDriver`).
//!
//! Wanted properties:
//! - its store is the fold of the changelog, so a [`TestDriver::restart`] goes on from nothing else;
//! - records are processed, and after an abort or a restart processed again, in the order in which they were given, also
//!   across inputs;
//! - it finds keys by label as a store does, by what the worker tells of them; a worker that tells of another index than that
//!   of the states fails the test;
//! - a service that breaks a promise of its own (see [`Worker::check_steps`]) fails the test, with the promise's name.

use std::collections::BTreeMap;

use bytes::Bytes;
use domain::{HumanDuration, Timestamp};
use schemas::{ChangelogHeader, ChangelogRecord, Mark, MarkEntry, OutputBound, Schemas};

use crate::service::{ClaimId, DeadLetter, Emitted, Key, Label, Lane, Poison, RecordRef, Service, State as _};
use crate::settings::{TimeMode, WorkerSettings};
use crate::store::{Labels, LoadRequest, Loaded, StateChange, StorePosition};
use crate::topology::{Clock, Partition};
use crate::worker::{Batch, Counts, Decision, HaltReason, Takeover, Worker};

const PARTITION: Partition = 0;

/// A service under test: one partition, no broker, no store, no clock.
pub struct TestDriver<S: Service> {
    worker: Worker<S>,
    settings: WorkerSettings,
    schemas: Schemas,
    now_ms: i64,
    /// By input: the log.
    inputs: Vec<Vec<LoggedRecord>>,
    table_offsets: Vec<i64>,
    watermark: Timestamp,
    states: BTreeMap<Key, StateChange>,
    index: Index,
    header: Option<ChangelogHeader>,
    outputs: Vec<Emitted<S::Output>>,
    actions: Vec<(Key, ClaimId, S::Action)>,
    dead_letters: Vec<DeadLetter>,
    marks: Vec<Timestamp>,
    counts: Counts,
    halted: Option<HaltReason>,
    abort_next: bool,
    capacity: usize,
}

impl<S: Service> std::fmt::Debug for TestDriver<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TestDriver").field("header", &self.header).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct LoggedRecord {
    /// Its place among the records of all inputs.
    sequence: usize,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    timestamp: Timestamp,
    traceparent: Option<String>,
}

impl<S: Service> TestDriver<S> {
    /// A driver in replay mode: time moves only by [`TestDriver::advance_to`].
    pub fn new(policy: S::Policy) -> Self {
        let settings = WorkerSettings { time_mode: TimeMode::Replay, ..WorkerSettings::default() };
        Self::with_settings(policy, settings)
    }

    /// A driver with other settings; the number of partitions is always one.
    pub fn with_settings(policy: S::Policy, settings: WorkerSettings) -> Self {
        Self::with_schemas(policy, settings, Schemas::offline())
    }

    /// A driver that knows other schemas than the shipped ones.
    pub fn with_schemas(policy: S::Policy, settings: WorkerSettings, schemas: Schemas) -> Self {
        let settings = WorkerSettings { partitions: 1, commit_interval: HumanDuration::ZERO, ..settings };
        let topology = S::topology();
        let mut driver = Self {
            worker: Worker::new(settings.clone(), schemas.clone(), policy),
            settings,
            schemas,
            now_ms: 0,
            inputs: topology.inputs.iter().map(|_| Vec::new()).collect(),
            table_offsets: vec![0; topology.tables.len()],
            watermark: Timestamp::MIN,
            states: BTreeMap::new(),
            index: Index::default(),
            header: None,
            outputs: Vec::new(),
            actions: Vec::new(),
            dead_letters: Vec::new(),
            marks: Vec::new(),
            counts: Counts::new(),
            halted: None,
            abort_next: false,
            capacity: 0,
        };
        driver.worker.check_steps();
        driver.worker.assigned(PARTITION);
        driver.run();
        driver
    }

    /// What is in force.
    pub fn policy(&self) -> &S::Policy {
        self.worker.policy()
    }

    /// A record on a table.
    pub fn table(&mut self, table: usize, key: &str, value: Option<&[u8]>) -> Result<(), Poison> {
        let record = RecordRef {
            input: table,
            partition: 0,
            offset: self.table_offsets[table],
            timestamp: Timestamp::from_millis(self.now_ms),
            key: Some(key.as_bytes()),
            value,
            traceparent: None,
            headers: None,
        };
        self.table_offsets[table] += 1;
        let result = self.worker.table_record(&record);
        self.run();
        result
    }

    /// A record on an input, stored by the broker at `stored_at`; processed at once.
    pub fn input(&mut self, dataset: &str, key: &str, value: &[u8], stored_at: Timestamp) {
        self.input_traced(dataset, key, Some(value), stored_at, None);
    }

    /// The same with a trace context, or with no value.
    pub fn input_traced(
        &mut self,
        dataset: &str,
        key: &str,
        value: Option<&[u8]>,
        stored_at: Timestamp,
        traceparent: Option<&str>,
    ) {
        self.append(dataset, key, value, stored_at, traceparent);
        self.run();
    }

    /// A record on an input that is processed only with the next ones, so that they share a batch.
    pub fn append(
        &mut self,
        dataset: &str,
        key: &str,
        value: Option<&[u8]>,
        stored_at: Timestamp,
        traceparent: Option<&str>,
    ) {
        let Some(input) = S::topology().input_index(dataset) else {
            panic!("{dataset} is no input of {}", S::topology().service);
        };
        let sequence = self.inputs.iter().map(Vec::len).sum();
        self.inputs[input].push(LoggedRecord {
            sequence,
            key: Some(key.as_bytes().to_vec()),
            value: value.map(<[u8]>::to_vec),
            timestamp: stored_at,
            traceparent: traceparent.map(str::to_owned),
        });
        self.deliver(input, self.inputs[input].len() - 1);
    }

    /// Moves the watermark: all timers due by `time` fire, whatever clock the service's inputs have.
    pub fn advance_to(&mut self, time: Timestamp) {
        self.watermark = self.watermark.max(time);
        self.tell_time();
        self.now_ms += self.settings.mark_interval.as_millis();
        self.run();
        // What fired may have asked for more that is due already.
        self.now_ms += self.settings.mark_interval.as_millis();
        self.run();
    }

    /// The shell has room for so many side effects.
    pub fn capacity(&mut self, side_effects: usize) {
        self.capacity = side_effects;
        self.worker.capacity(side_effects);
        self.now_ms += self.settings.mark_interval.as_millis();
        self.run();
    }

    /// The side effects that were claimed, committed and handed to the shell since the last call.
    pub fn actions(&mut self) -> Vec<(Key, ClaimId, S::Action)> {
        std::mem::take(&mut self.actions)
    }

    /// A side effect ended.
    pub fn complete(&mut self, key: &Key, claim: &ClaimId, completion: S::Completion) {
        self.worker.completed(PARTITION, Key::clone(key), claim.clone(), completion);
        self.run();
    }

    /// The next commit is aborted: the worker has to come to the same result once more.
    pub fn abort_next_commit(&mut self) {
        self.abort_next = true;
    }

    /// The process dies, what was not committed with it; another takes over from the changelog. The policy is the new
    /// process's own: fill its tables before [`TestDriver::input`] goes on.
    pub fn restart(&mut self, policy: S::Policy) {
        let table_changes = self.worker.table_changes();
        self.worker = Worker::new(self.settings.clone(), self.schemas.clone(), policy);
        self.worker.check_steps();
        self.worker.capacity(self.capacity);
        for (table, offset) in self.table_offsets.iter().enumerate() {
            self.worker.table_read(table, *offset);
        }
        self.worker.resume_table_changes(table_changes);
        self.halted = None;
        self.worker.assigned(PARTITION);
        self.tell_time();
        self.now_ms += self.settings.mark_interval.as_millis();
        self.run();
    }

    /// The records written since the last call.
    pub fn outputs(&mut self) -> Vec<S::Output> {
        std::mem::take(&mut self.outputs).into_iter().map(|emitted| emitted.output).collect()
    }

    /// The same with their traces.
    pub fn traced_outputs(&mut self) -> Vec<Emitted<S::Output>> {
        std::mem::take(&mut self.outputs)
    }

    /// A key's committed state.
    pub fn state(&self, key: &str) -> Option<S::State> {
        let value = self.states.get(key)?.value.as_ref()?;
        let record: ChangelogRecord<S::State> =
            self.schemas.decode(value).unwrap_or_else(|error| panic!("the state of {key} does not decode: {error}"));
        record.state
    }

    /// A key's committed state as a store holds it: what lookups read.
    pub fn stored(&self, key: &str) -> Option<&[u8]> {
        self.states.get(key)?.value.as_deref()
    }

    /// The keys that are found under a label.
    pub fn found_under(&self, label: &str) -> Vec<Key> {
        self.index.found_under(label)
    }

    /// How many keys have a state.
    pub fn states(&self) -> usize {
        self.states.len()
    }

    /// The records that could not be used.
    pub fn dead_letters(&self) -> &[DeadLetter] {
        &self.dead_letters
    }

    /// (input, outcome, reason) → records.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The watermarks that were handed on.
    pub fn marks(&self) -> &[Timestamp] {
        &self.marks
    }

    /// The last header.
    pub fn header(&self) -> Option<&ChangelogHeader> {
        self.header.as_ref()
    }

    /// Why the partition stands still, if it does.
    pub fn halted(&self) -> Option<&HaltReason> {
        self.halted.as_ref()
    }

    fn deliver(&mut self, input: usize, index: usize) {
        let record = &self.inputs[input][index];
        self.worker.record(&RecordRef {
            input,
            partition: PARTITION,
            offset: index as i64,
            timestamp: record.timestamp,
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            traceparent: record.traceparent.as_deref(),
            headers: None,
        });
    }

    fn tell_time(&mut self) {
        for (index, input) in S::topology().inputs.iter().enumerate() {
            let end = self.inputs[index].len() as i64;
            match input.clock {
                Clock::Marks(dataset) => {
                    let mark = Mark {
                        service: "test".to_owned(),
                        transactional_id: "test".to_owned(),
                        entries: vec![MarkEntry { partition: PARTITION, time: self.watermark.as_millis() }],
                        bounds: vec![OutputBound { dataset: input.dataset.to_owned(), offsets: vec![end] }],
                    };
                    self.worker.mark(dataset, &mark);
                }
                Clock::Broker => {
                    let as_of = self.watermark + HumanDuration::from_millis(1000);
                    self.worker.end_reached(index, PARTITION, end, Some(as_of));
                }
                Clock::Unclocked => {}
            }
        }
        self.worker.advance_to(self.watermark);
    }

    /// Plays the driver until the worker wants nothing more at this time.
    fn run(&mut self) {
        self.now_ms += 1;
        loop {
            let mut answered = false;
            while let Some(decision) = self.worker.poll(self.now_ms) {
                answered |= matches!(decision, Decision::Commit(_));
                self.carry_out(decision);
            }
            if !answered {
                break;
            }
        }
    }

    fn carry_out(&mut self, decision: Decision<S>) {
        match decision {
            Decision::TakeOver(partition) => {
                let takeover = Takeover {
                    header: self.header.clone(),
                    log_starts: vec![0; self.inputs.len()],
                    ..Takeover::default()
                };
                self.worker.taken_over(partition, takeover);
            }
            Decision::Start { positions, .. } => self.start(&positions),
            Decision::Load(requests) => {
                let answers = requests.iter().map(|(_, request)| self.load(request)).collect();
                self.worker.loaded(answers);
            }
            Decision::Commit(batch) => self.commit(*batch),
            Decision::Act { key, claim, action, .. } => self.actions.push((key, claim, action)),
            Decision::Halt { reason, .. } => self.halted = Some(reason),
        }
    }

    fn start(&mut self, positions: &[i64]) {
        let mut again = Vec::new();
        for (input, position) in positions.iter().enumerate() {
            let from = usize::try_from(*position).unwrap_or(0);
            let records = self.inputs[input].iter().enumerate().skip(from);
            again.extend(records.map(|(index, record)| (record.sequence, input, index)));
        }
        again.sort_unstable();
        for (_, input, index) in again {
            self.deliver(input, index);
        }
        self.tell_time();
    }

    fn load(&self, request: &LoadRequest) -> Loaded {
        let states = request.keys.iter().map(|key| self.states.get(key).and_then(|change| change.value.clone()));
        let (mut due, mut held) = (Vec::new(), 0);
        if let Some(query) = request.due {
            let waiting = self.states.values().filter_map(|change| {
                let at = change.due.lane(query.lane).filter(|at| *at <= query.until)?;
                Some((at, Key::clone(&change.key), change.value.clone()))
            });
            due.extend(waiting);
            due.sort_unstable_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
            held = if query.lane == Lane::Held { due.len() as u64 } else { 0 };
            due.truncate(query.limit);
        }
        let position = StorePosition { generation: String::new(), log: String::new(), header_offset: 0 };
        Loaded { position, states: states.collect(), due, held }
    }

    fn commit(&mut self, batch: Batch<S>) {
        if std::mem::take(&mut self.abort_next) {
            self.worker.aborted();
            return;
        }
        for partition in batch.partitions {
            for change in partition.changes {
                let key = Key::clone(&change.key);
                self.index.apply(&change);
                if change.value.is_some() {
                    self.states.insert(Key::clone(&key), change);
                } else {
                    self.states.remove(&key);
                }
                let state = self.state(&key).unwrap_or_default();
                assert!(
                    state.indexed_under().eq(self.index.of(&key)),
                    "{key} is found under other labels than its state's"
                );
            }
            self.header = partition.header.or(self.header.take());
        }
        self.outputs.extend(batch.outputs);
        self.dead_letters.extend(batch.dead_letters);
        self.marks.extend(batch.marks.into_iter().map(|(_, time)| time));
        for (what, count) in batch.counts {
            *self.counts.entry(what).or_default() += count;
        }
        self.worker.committed();
    }
}

/// Under which labels keys are found, as a store keeps it.
#[derive(Debug, Default)]
pub struct Index(BTreeMap<Key, Vec<Label>>);

impl Index {
    /// Takes a change; one that does not know what there was before fails the test.
    pub fn apply(&mut self, change: &StateChange) {
        let labels = self.0.entry(Key::clone(&change.key)).or_default();
        if let Labels::Are { before, now } = &change.labels {
            let key = &change.key;
            assert!(
                before.as_ref().is_none_or(|before| before == labels),
                "{key} was under {labels:?}, not {before:?}"
            );
            labels.clone_from(now);
        }
        if change.value.is_none() {
            self.0.remove(&change.key);
        }
    }

    /// Under which labels a key is.
    pub fn of(&self, key: &str) -> &[Label] {
        self.0.get(key).map_or(&[], Vec::as_slice)
    }

    /// The keys under a label.
    pub fn found_under(&self, label: &str) -> Vec<Key> {
        let under = self.0.iter().filter(|(_, labels)| labels.iter().any(|known| **known == *label));
        under.map(|(key, _)| Key::clone(key)).collect()
    }
}

/// Encodes with the shipped schemas what a test feeds to [`TestDriver::input`].
pub fn encode<T: schemas::Contract>(dataset: &str, value: &T) -> Bytes {
    let mut buffer = Vec::new();
    Schemas::offline()
        .encode(dataset, value, &mut buffer)
        .unwrap_or_else(|error| panic!("the test's value does not fit {dataset}: {error}"));
    Bytes::from(buffer)
}
