//! Plays the driver by hand: several partitions, logs, a store that is the fold of what was committed.

use std::collections::BTreeMap;

use bytes::Bytes;
use domain::Timestamp;
use schemas::{ChangelogHeader, ChangelogRecord, Mark, MarkEntry, OutputBound, Schemas};
use stream::{
    Batch, ClaimId, Counts, DeadLetter, Decision, HaltReason, Index, Key, Labels, Lane, LoadRequest, Loaded, Partition,
    RecordRef, StateChange, StorePosition, Takeover, Worker, WorkerSettings,
};

use super::desk::{Desk, DeskState, ORDERS, Rules, Told, Wiring, schemas};

pub struct LogRecord {
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub stored_at: i64,
}

/// What is committed of a partition.
#[derive(Default)]
pub struct View {
    pub states: BTreeMap<Key, StateChange>,
    /// What the worker tells a store of labels.
    pub index: Index,
    /// How many changes told of labels.
    pub told_labels: usize,
    pub headers: Vec<ChangelogHeader>,
    /// Every change, in order: the changelog's bytes.
    pub changelog: Vec<(Key, Option<Bytes>)>,
}

impl View {
    /// The invariant of every watermark: all timers up to it have fired.
    fn holds_no_timer_by(&self, watermark: Timestamp) {
        let left = self.states.values().find(|change| change.due.timer.is_some_and(|due| due <= watermark));
        assert!(left.is_none(), "a timer is left behind the watermark {watermark}: {left:?}");
    }
}

pub struct Hand<W: Wiring> {
    pub worker: Worker<Desk<W>>,
    pub settings: WorkerSettings,
    pub schemas: Schemas,
    pub now_ms: i64,
    /// By input and partition.
    pub logs: BTreeMap<(usize, Partition), Vec<LogRecord>>,
    pub views: BTreeMap<Partition, View>,
    pub outputs: Vec<Told>,
    pub dead_letters: Vec<DeadLetter>,
    /// (when, partition, watermark)
    pub marks: Vec<(i64, Partition, Timestamp)>,
    pub counts: Counts,
    pub acts: Vec<(Partition, Key, ClaimId)>,
    pub halts: BTreeMap<Partition, HaltReason>,
    pub starts: Vec<(Partition, Vec<i64>)>,
    pub commits: usize,
    /// How many of the next commits fail.
    pub aborts: usize,
    /// How many keys the store was asked for.
    pub loaded_keys: usize,
}

impl<W: Wiring> Hand<W> {
    pub fn new(settings: WorkerSettings) -> Self {
        let mut worker = Worker::new(settings.clone(), schemas(), Rules::default());
        worker.check_steps();
        Self {
            worker,
            settings,
            schemas: schemas(),
            now_ms: 1_000_000,
            logs: BTreeMap::new(),
            views: BTreeMap::new(),
            outputs: Vec::new(),
            dead_letters: Vec::new(),
            marks: Vec::new(),
            counts: Counts::new(),
            acts: Vec::new(),
            halts: BTreeMap::new(),
            starts: Vec::new(),
            commits: 0,
            aborts: 0,
            loaded_keys: 0,
        }
    }

    /// Owns these partitions, taken over and begun.
    pub fn owning(settings: WorkerSettings, partitions: &[Partition]) -> Self {
        let mut hand = Self::new(settings);
        for partition in partitions {
            hand.worker.assigned(*partition);
        }
        hand.settle();
        hand
    }

    /// A record of the primary input, on its log and told.
    pub fn order(&mut self, partition: Partition, key: &str, text: &str) -> bool {
        let stored_at = text.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or_default();
        self.record(0, partition, Some(key.as_bytes()), Some(text.as_bytes()), stored_at)
    }

    pub fn record(
        &mut self,
        input: usize,
        partition: Partition,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        stored_at: i64,
    ) -> bool {
        let record = LogRecord { key: key.map(<[u8]>::to_vec), value: value.map(<[u8]>::to_vec), stored_at };
        let log = self.logs.entry((input, partition)).or_default();
        log.push(record);
        let offset = log.len() - 1;
        self.tell(input, partition, offset)
    }

    /// Tells a record that is on the log already.
    pub fn tell(&mut self, input: usize, partition: Partition, offset: usize) -> bool {
        let record = &self.logs[&(input, partition)][offset];
        self.worker.record(&RecordRef {
            input,
            partition,
            offset: offset as i64,
            timestamp: Timestamp::from_millis(record.stored_at),
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            traceparent: None,
            headers: None,
        })
    }

    pub fn rule(&mut self, offset: i64, name: &str) -> Result<(), stream::Poison> {
        self.rule_of(0, offset, name)
    }

    pub fn rule_of(&mut self, table: usize, offset: i64, name: &str) -> Result<(), stream::Poison> {
        self.worker.table_record(&RecordRef {
            input: table,
            partition: 0,
            offset,
            timestamp: Timestamp::from_millis(0),
            key: Some(name.as_bytes()),
            value: Some(b"in force"),
            traceparent: None,
            headers: None,
        })
    }

    /// A mark of upstream partition `from`: before `time` all is done, and lies below `bounds` of the orders.
    pub fn mark(&mut self, from: Partition, time: i64, bounds: &[i64]) {
        self.mark_of(ORDERS, from, time, bounds);
    }

    pub fn mark_of(&mut self, dataset: &str, from: Partition, time: i64, bounds: &[i64]) {
        let mark = Mark {
            service: "upstream".to_owned(),
            transactional_id: "upstream-0".to_owned(),
            entries: vec![MarkEntry { partition: from, time }],
            bounds: vec![OutputBound { dataset: dataset.to_owned(), offsets: bounds.to_vec() }],
        };
        self.worker.mark("upstream.marks", &mark);
    }

    /// What was told is looked at; then time goes on, and all is decided that there is to decide.
    pub fn after_ms(&mut self, ms: i64) {
        self.settle();
        self.now_ms += ms;
        self.settle();
    }

    /// Closes what is open, a batch after the other.
    pub fn finish(&mut self) {
        for _ in 0..10 {
            self.worker.finish();
            self.settle();
            if self.worker.is_idle() {
                break;
            }
        }
    }

    pub fn settle(&mut self) {
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

    pub fn carry_out(&mut self, decision: Decision<Desk<W>>) {
        match decision {
            Decision::TakeOver(partition) => {
                let takeover = self.takeover(partition);
                self.worker.taken_over(partition, takeover);
            }
            Decision::Start { partition, positions } => self.start(partition, positions),
            Decision::Load(requests) => {
                let answers = self.load(&requests);
                self.worker.loaded(answers);
            }
            Decision::Commit(batch) => self.commit(*batch),
            Decision::Act { partition, key, claim, action } => {
                assert_eq!(action, format!("do {claim}"));
                self.acts.push((partition, key, claim));
            }
            Decision::Halt { partition, reason } => {
                let before = self.halts.insert(partition, reason);
                assert_eq!(before, None, "a partition halts once");
            }
        }
    }

    pub fn takeover(&self, partition: Partition) -> Takeover {
        let header = self.views.get(&partition).and_then(|view| view.headers.last()).cloned();
        Takeover { header, log_starts: vec![0; W::topology().inputs.len()], ..Takeover::default() }
    }

    pub fn start(&mut self, partition: Partition, positions: Vec<i64>) {
        for (input, position) in positions.iter().enumerate() {
            let end = self.logs.get(&(input, partition)).map_or(0, Vec::len);
            for offset in *position as usize..end {
                self.tell(input, partition, offset);
            }
        }
        self.starts.push((partition, positions));
    }

    pub fn load(&mut self, requests: &[(Partition, LoadRequest)]) -> Vec<Loaded> {
        self.loaded_keys += requests.iter().map(|(_, request)| request.keys.len()).sum::<usize>();
        requests.iter().map(|(partition, request)| self.answer(*partition, request)).collect()
    }

    fn answer(&self, partition: Partition, request: &LoadRequest) -> Loaded {
        let empty = View::default();
        let view = self.views.get(&partition).unwrap_or(&empty);
        let states = request.keys.iter().map(|key| view.states.get(key).and_then(|change| change.value.clone()));
        let (mut due, mut held) = (Vec::new(), 0);
        if let Some(query) = request.due {
            due.extend(view.states.values().filter_map(|change| {
                let at = change.due.lane(query.lane).filter(|at| *at <= query.until)?;
                Some((at, Key::clone(&change.key), change.value.clone()))
            }));
            due.sort_unstable_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
            held = if query.lane == Lane::Held { due.len() as u64 } else { 0 };
            due.truncate(query.limit);
        }
        let position = StorePosition { generation: "g".to_owned(), log: "l".to_owned(), header_offset: 0 };
        Loaded { position, states: states.collect(), due, held }
    }

    /// Decides on until a batch is to be committed, and hands it out unanswered.
    pub fn next_commit(&mut self) -> Batch<Desk<W>> {
        loop {
            match self.worker.poll(self.now_ms).expect("a commit is to come") {
                Decision::Commit(batch) => return *batch,
                decision => self.carry_out(decision),
            }
        }
    }

    pub fn commit(&mut self, batch: Batch<Desk<W>>) {
        if self.aborts > 0 {
            self.aborts -= 1;
            self.worker.aborted();
            return;
        }
        self.write(batch);
        self.worker.committed();
    }

    pub fn write(&mut self, batch: Batch<Desk<W>>) {
        self.commits += 1;
        for commit in batch.partitions {
            let view = self.views.entry(commit.partition).or_default();
            assert!(commit.header.is_some() || commit.changes.is_empty(), "what changes is under a header");
            view.changelog.extend(commit.changes.iter().map(|change| (change.key.clone(), change.value.clone())));
            for change in commit.changes {
                view.index.apply(&change);
                view.told_labels += usize::from(change.labels != Labels::Same);
                if change.value.is_some() {
                    view.states.insert(change.key.clone(), change);
                } else {
                    view.states.remove(&change.key);
                }
            }
            if let Some(header) = &commit.header {
                assert_eq!(header.positions[0].next_offset, commit.primary_offset);
            }
            view.headers.extend(commit.header);
            let watermark = view.headers.last().map_or(i64::MIN, |header| header.watermark);
            view.holds_no_timer_by(Timestamp::from_millis(watermark));
        }
        for (partition, time) in &batch.marks {
            self.views[partition].holds_no_timer_by(*time);
        }
        self.outputs.extend(batch.outputs.into_iter().map(|emitted| emitted.output));
        self.dead_letters.extend(batch.dead_letters);
        self.marks.extend(batch.marks.into_iter().map(|(partition, time)| (self.now_ms, partition, time)));
        for (what, count) in batch.counts {
            *self.counts.entry(what).or_default() += count;
        }
    }

    /// The process dies; another owns these partitions, with an empty policy.
    pub fn restart(&mut self, partitions: &[Partition]) {
        self.worker = Worker::new(self.settings.clone(), schemas(), Rules::default());
        self.worker.check_steps();
        self.halts.clear();
        for partition in partitions {
            self.worker.assigned(*partition);
        }
        self.settle();
    }

    pub fn state(&self, partition: Partition, key: &str) -> Option<DeskState> {
        let value = self.views.get(&partition)?.states.get(key)?.value.as_ref()?;
        let record: ChangelogRecord<DeskState> = self.schemas.decode(value).unwrap();
        record.state
    }

    pub fn header(&self, partition: Partition) -> &ChangelogHeader {
        self.views[&partition].headers.last().unwrap()
    }

    pub fn headers(&self, partition: Partition) -> usize {
        self.views.get(&partition).map_or(0, |view| view.headers.len())
    }

    pub fn told(&mut self) -> Vec<Told> {
        std::mem::take(&mut self.outputs)
    }

    pub fn count(&self, what: &str, outcome: &str) -> u64 {
        let ended = self.counts.iter().filter(|((input, how, _), _)| *input == what && *how == outcome);
        ended.map(|(_, count)| *count).sum()
    }
}
