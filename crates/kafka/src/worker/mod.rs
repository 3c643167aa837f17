//! Drives the engine on Kafka: one thread, one worker, one transaction a batch.
//!
//! Wanted properties:
//! - the worker hears of every fact in an order that really happened;
//! - what the store is told was committed before; what it refuses is healed from the changelog;
//! - a broker, registry or store that is away pauses the work and nothing else: it goes on by itself.

mod options;
mod rebalance;
mod restore;
mod spans;
mod tables;
mod transaction;

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use domain::Timestamp;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};
use schemas::{Mark, Schemas};
use stream::{
    Applied, Batch, Clock, Decision, LoadRequest, Loaded, Partition, RecordRef, Service, StateStore, StoreError,
    StorePosition, Takeover, TimeMode, Topology, Worker, WorkerSettings,
};

pub use options::{Act, Done, NoShell, Shell, WorkerOptions, WorkerReport};
use rebalance::{GroupContext, Rebalance};
use restore::{Restorer, header_bytes, now_ms};
use spans::Spans;
use tables::{Broadcast, Broadcasts};
pub(crate) use transaction::HEADER_KEY;
use transaction::{Outcome, TRACE_HEADER, Transactions};

use crate::KafkaFailure;
use crate::clients::{Logged, create};
use crate::dead_letters::HeadersOf;

/// How long the loop waits for a record before it looks at everything else.
const POLL: Duration = Duration::from_millis(5);
/// First and longest pause between two tries of what failed in passing.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// How often ends of logs are asked for: for the watermark, and to step past trailing markers.
const STEP_PAST_MARKERS: Duration = Duration::from_secs(10);

/// Runs one worker until `stopped` says so; then finishes what it holds, and returns.
pub fn run_worker<S: Service>(
    options: &WorkerOptions,
    schemas: &Schemas,
    policy: S::Policy,
    store: &mut dyn StateStore,
    shell: &mut dyn Shell<S>,
    report: &dyn WorkerReport,
    stopped: &dyn Fn() -> bool,
) -> Result<(), KafkaFailure> {
    report.ready(false, "starting");
    let mut driver = Driver::new(options, schemas, policy, store, shell, report, stopped)?;
    let result = driver.run();
    report.ready(false, "stopped");
    driver.close();
    result
}

struct Driver<'a, S: Service> {
    options: &'a WorkerOptions,
    topology: &'static Topology,
    schemas: Schemas,
    worker: Worker<S>,
    store: &'a mut dyn StateStore,
    shell: &'a mut dyn Shell<S>,
    report: &'a dyn WorkerReport,
    stopped: &'a dyn Fn() -> bool,
    group: BaseConsumer<GroupContext>,
    /// By input but the first, which the group has.
    others: Vec<BaseConsumer<Logged>>,
    broadcasts: Broadcasts,
    restorer: Restorer,
    transactions: Transactions,
    spans: Spans,
    positions: HashMap<Partition, StorePosition>,
    asked_for_ends: Instant,
    stepped_past_markers: Instant,
    /// Ends that were not reached at the last look: (input, partition) → end.
    suspected: BTreeMap<(usize, Partition), i64>,
    /// Others may have written to our outputs since the bounds were raised.
    bounds_are_old: bool,
    /// Partitions or positions changed since the other inputs were assigned.
    others_are_old: bool,
}

impl<'a, S: Service> Driver<'a, S> {
    fn new(
        options: &'a WorkerOptions,
        schemas: &Schemas,
        policy: S::Policy,
        store: &'a mut dyn StateStore,
        shell: &'a mut dyn Shell<S>,
        report: &'a dyn WorkerReport,
        stopped: &'a dyn Fn() -> bool,
    ) -> Result<Self, KafkaFailure> {
        let topology = S::topology();
        let cluster = &options.cluster;
        let group_id = format!("{}.{}", cluster.prefix, topology.service);
        let slot_id = format!("{group_id}.{}", options.slot);
        let settings = WorkerSettings {
            partitions: cluster.partitions,
            transactional_id: slot_id.clone(),
            ..options.settings.clone()
        };
        let mut others = Vec::new();
        for input in &topology.inputs[1..] {
            let reader = cluster.reader(&format!("{slot_id}-{}", input.dataset), true);
            others.push(create(&reader, Logged, "an input's reader")?);
        }
        let worker = Worker::new(settings, schemas.clone(), policy);
        let now = Instant::now();
        Ok(Self {
            group: create(
                &cluster.group_consumer(&group_id, &slot_id),
                GroupContext::default(),
                "the group's consumer",
            )?,
            others,
            broadcasts: Broadcasts::new(cluster, &slot_id, topology)?,
            restorer: Restorer::new(options, topology.service, topology.changelog, &group_id)?,
            transactions: retry(stopped, report, || Transactions::begin(cluster, topology, schemas, &slot_id))?,
            spans: Spans::of(topology, &group_id),
            positions: HashMap::new(),
            asked_for_ends: now,
            stepped_past_markers: now,
            suspected: BTreeMap::new(),
            bounds_are_old: true,
            others_are_old: false,
            options,
            topology,
            schemas: schemas.clone(),
            worker,
            store,
            shell,
            report,
            stopped,
        })
    }

    fn run(&mut self) -> Result<(), KafkaFailure> {
        self.read_tables()?;
        let primary = self.options.cluster.topic(self.topology.primary().dataset);
        self.group
            .subscribe(&[&primary])
            .map_err(|source| KafkaFailure::of(format!("subscribing to {primary}"), source))?;
        while !(self.stopped)() {
            match self.turn() {
                Ok(()) => {}
                Err(failure) if failure.is_passing() => {
                    self.report.ready(false, &failure.to_string());
                    tracing::warn!(service = self.topology.service, error = %chain(&failure), "paused");
                    self.start_over();
                    pause(BACKOFF.0.saturating_mul(4));
                }
                Err(failure) => return Err(self.slot_taken().unwrap_or(failure)),
            }
        }
        let owned: Vec<Partition> = self.worker.running().collect();
        self.finish(&owned);
        Ok(())
    }

    /// One round: hear what happened, let the worker decide, do it.
    fn turn(&mut self) -> Result<(), KafkaFailure> {
        while let Some(event) = self.group.context().next() {
            self.rebalance(event)?;
        }
        self.hear_broadcasts()?;
        while let Some(done) = self.shell.done() {
            self.worker.completed(done.partition, done.key, done.claim, done.completion);
        }
        // What can't be reached takes nothing: claims are not spent on it.
        self.worker.capacity(self.shell.capacity());
        self.assign_others()?;
        self.hear_records()?;
        self.ask_for_ends()?;
        self.decide()
    }

    fn decide(&mut self) -> Result<(), KafkaFailure> {
        while let Some(decision) = self.worker.poll(now_ms()) {
            match decision {
                Decision::TakeOver(partition) => self.take_over(partition)?,
                Decision::Start { partition, positions } => self.start(partition, &positions)?,
                Decision::Load(requests) => {
                    let answers = self.load(&requests)?;
                    self.worker.loaded(answers);
                }
                Decision::Commit(batch) => self.commit(&batch)?,
                Decision::Act { partition, key, claim, action } => {
                    self.shell.perform(Act { partition, key, claim, action, claimed_at: Instant::now() });
                }
                Decision::Halt { partition, reason } => {
                    self.report.halted(self.topology.service, partition, &reason);
                    self.pause_inputs(partition);
                }
            }
        }
        self.spans.settle(&self.worker);
        Ok(())
    }

    // ---- facts ----

    fn rebalance(&mut self, event: Rebalance) -> Result<(), KafkaFailure> {
        let primary = self.options.cluster.topic(self.topology.primary().dataset);
        let list = |partitions: &[Partition], offset: Offset| {
            let mut list = TopicPartitionList::new();
            for partition in partitions {
                let added = list.add_partition_offset(&primary, *partition, offset);
                added.map_err(|source| KafkaFailure::of("naming partitions", source))?;
            }
            Ok::<_, KafkaFailure>(list)
        };
        match event {
            Rebalance::Assigned(partitions) => {
                // Paused, and sought once the partition is taken over: what is fetched before is refused by the worker.
                let list = list(&partitions, Offset::End)?;
                self.group.incremental_assign(&list).map_err(|source| KafkaFailure::of("assigning", source))?;
                self.group.pause(&list).map_err(|source| KafkaFailure::of("pausing", source))?;
                // Whatever fails from here on is tried again by the takeover: an assignment is told only once.
                self.bounds_are_old = true;
                for partition in partitions {
                    self.worker.assigned(partition);
                }
            }
            Rebalance::Revoked { partitions, lost } => {
                if !lost {
                    self.finish(&partitions);
                }
                for partition in &partitions {
                    self.worker.revoked(*partition);
                    self.positions.remove(partition);
                    self.store.release(*partition);
                }
                self.spans.settle(&self.worker);
                self.suspected.retain(|(_, partition), _| !partitions.contains(partition));
                let list = list(&partitions, Offset::Invalid)?;
                self.others_are_old = true;
                self.group.incremental_unassign(&list).map_err(|source| KafkaFailure::of("unassigning", source))?;
            }
        }
        Ok(())
    }

    /// Awaits what is in flight on these partitions, up to the deadline, and commits what is open.
    fn finish(&mut self, partitions: &[Partition]) {
        let deadline = Instant::now() + self.options.drain_timeout;
        for partition in partitions {
            self.worker.draining(*partition);
        }
        loop {
            while let Some(done) = self.shell.done() {
                self.worker.completed(done.partition, done.key, done.claim, done.completion);
            }
            self.worker.finish();
            if let Err(failure) = self.decide() {
                tracing::warn!(error = %chain(&failure), "the last batch is given up; it will be done again");
                return;
            }
            let in_flight: usize = partitions.iter().map(|partition| self.worker.in_flight(*partition)).sum();
            if in_flight == 0 && self.worker.is_idle() || Instant::now() > deadline {
                return;
            }
            pause(POLL);
        }
    }

    fn read_tables(&mut self) -> Result<(), KafkaFailure> {
        let (worker, schemas, options) = (&mut self.worker, &self.schemas, self.options);
        let broadcasts = &self.broadcasts;
        retry(self.stopped, self.report, || {
            broadcasts.read_tables(Duration::from_secs(10), |table, message| {
                apply_table(worker, schemas, options, table, message)
            })
        })
    }

    fn hear_broadcasts(&mut self) -> Result<(), KafkaFailure> {
        while let Some(broadcast) = self.broadcasts.poll()? {
            match broadcast {
                Broadcast::Table(table, message) => {
                    apply_table(&mut self.worker, &self.schemas, self.options, table, &message)?;
                }
                Broadcast::Mark(dataset, message) => {
                    let Some(value) = message.payload() else { continue };
                    learn(&self.schemas, self.options, value)?;
                    match self.schemas.decode::<Mark>(value) {
                        Ok(mark) => self.worker.mark(dataset, &mark),
                        Err(error) => {
                            tracing::error!(dataset, offset = message.offset(), %error, "a mark can't be read");
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn hear_records(&mut self) -> Result<(), KafkaFailure> {
        let mut wait = POLL;
        let mut room = self.options.settings.max_batch_records;
        while room > 0 {
            match self.group.poll(wait) {
                None => break,
                Some(Ok(message)) => {
                    learn_of(&self.schemas, self.options, &message)?;
                    hear(&mut self.worker, &mut self.spans, 0, &message);
                }
                Some(Err(KafkaError::PartitionEOF(_))) => {}
                Some(Err(error)) => self.group_failed(error)?,
            }
            wait = Duration::ZERO;
            room -= 1;
        }
        for (index, reader) in self.others.iter().enumerate() {
            for _ in 0..self.options.settings.max_batch_records {
                match reader.poll(Duration::ZERO) {
                    None => break,
                    Some(Ok(message)) => {
                        learn_of(&self.schemas, self.options, &message)?;
                        hear(&mut self.worker, &mut self.spans, index + 1, &message);
                    }
                    Some(Err(KafkaError::PartitionEOF(_))) => {}
                    Some(Err(source)) => {
                        return Err(KafkaFailure::of(
                            format!("reading {}", self.topology.inputs[index + 1].dataset),
                            source,
                        ));
                    }
                }
            }
        }
        Ok(())
    }

    fn group_failed(&self, error: KafkaError) -> Result<(), KafkaFailure> {
        if let Some(taken) = self.slot_taken() {
            return Err(taken);
        }
        let fatal = self.group.client().fatal_error();
        match error.rdkafka_error_code() {
            // The partitions are lost, which the next poll tells; then the group is joined again.
            Some(RDKafkaErrorCode::PollExceeded) if fatal.is_none() => Ok(()),
            _ => Err(KafkaFailure::of(format!("reading {}", self.topology.primary().dataset), error)),
        }
    }

    /// Another process joined the group under this slot: whatever fails after that fails because of it.
    fn slot_taken(&self) -> Option<KafkaFailure> {
        let fenced = matches!(self.group.client().fatal_error(), Some((RDKafkaErrorCode::FencedInstanceId, _)));
        let slot = || self.options.slot.clone();
        fenced.then(|| KafkaFailure::SlotTaken { service: self.topology.service, slot: slot() })
    }

    /// Asks where the inputs end: so that time goes on where nothing comes, and positions step past trailing markers.
    fn ask_for_ends(&mut self) -> Result<(), KafkaFailure> {
        if self.asked_for_ends.elapsed() < self.options.settings.mark_interval.as_std() {
            return Ok(());
        }
        self.asked_for_ends = Instant::now();
        // A replay waits for positions to come to the ends, so they are looked after each time.
        let replay = self.options.settings.time_mode == TimeMode::Replay;
        let all = replay || self.stepped_past_markers.elapsed() >= STEP_PAST_MARKERS;
        if all {
            self.stepped_past_markers = Instant::now();
        }
        let running: Vec<Partition> = self.worker.running().collect();
        for (index, input) in self.topology.inputs.iter().enumerate() {
            let tells_time = input.clock == Clock::Broker && self.options.settings.time_mode == TimeMode::Live;
            if !(all || tells_time) {
                continue;
            }
            let topic = self.options.cluster.topic(input.dataset);
            for partition in &running {
                let as_of = Timestamp::from_millis(now_ms());
                let (_, end) = self.restorer.stable_range(&topic, *partition)?;
                let Some(position) = self.worker.position(index, *partition) else { continue };
                // Between our position and the end there may be records on their way to us, or markers only: where it is
                // the same at the second look, a reader of its own finds out.
                let step = end > position && self.suspected.insert((index, *partition), end) == Some(end) && {
                    self.restorer.nothing_between(&topic, *partition, position)?
                };
                if end == position || step {
                    self.suspected.remove(&(index, *partition));
                    self.worker.end_reached(index, *partition, end, tells_time.then_some(as_of));
                }
            }
        }
        Ok(())
    }

    // ---- decisions ----

    fn take_over(&mut self, partition: Partition) -> Result<(), KafkaFailure> {
        let began = Instant::now();
        self.raise_bounds()?;
        let known = self.has_committed_offset(partition);
        let had_view = self.store.position(partition)?.is_some_and(|position| position.header_offset >= 0);
        let restored = self.restore(partition)?;
        if restored.header.is_none() && (known || had_view) {
            return Err(KafkaFailure::Installation(format!(
                "{} partition {partition} has {} but its changelog {} has no header: it was deleted, or the prefix is \
                 another installation's; restore the topic, or begin anew under another prefix",
                self.topology.service,
                if known { "committed offsets" } else { "a view in the store" },
                self.options.cluster.topic(self.topology.changelog),
            )));
        }
        let mut log_starts = Vec::new();
        for input in self.topology.inputs {
            let (start, _) = self.restorer.stable_range(&self.options.cluster.topic(input.dataset), partition)?;
            log_starts.push(start);
        }
        self.worker.taken_over(partition, Takeover { header: restored.header, log_starts });
        self.report.taken_over(self.topology.service, partition, restored.records, began.elapsed());
        self.report.ready(true, "");
        Ok(())
    }

    /// Asks for the group's stable offset; whether there is one.
    fn has_committed_offset(&self, partition: Partition) -> bool {
        let topic = self.options.cluster.topic(self.topology.primary().dataset);
        let mut list = TopicPartitionList::new();
        list.add_partition(&topic, partition);
        // While a dead worker's transaction is open this fails in passing; the changelog then says whose it is.
        match self.group.committed_offsets(list, Duration::from_millis(500)) {
            Ok(list) => list.elements().iter().any(|element| matches!(element.offset(), Offset::Offset(_))),
            Err(error) => {
                tracing::debug!(%error, partition, "the group's offsets are not stable yet");
                false
            }
        }
    }

    fn restore(&mut self, partition: Partition) -> Result<restore::Restored, KafkaFailure> {
        let stopped = self.stopped;
        let restored = self.restorer.restore::<S>(partition, self.store, &self.schemas, &|| !stopped())?;
        self.positions.insert(partition, restored.position.clone());
        Ok(restored)
    }

    fn start(&mut self, partition: Partition, positions: &[i64]) -> Result<(), KafkaFailure> {
        let topic = self.options.cluster.topic(self.topology.primary().dataset);
        let failed = |source| KafkaFailure::of(format!("seeking {topic}[{partition}] to {}", positions[0]), source);
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            // A partition that was assigned a moment ago can't be sought yet.
            let sought = self.group.seek(&topic, partition, Offset::Offset(positions[0]), Duration::from_secs(2));
            match sought {
                Ok(()) => break,
                Err(error) if Instant::now() > deadline || self.slot_taken().is_some() => return Err(failed(error)),
                Err(_) => pause(POLL),
            }
        }
        let mut list = TopicPartitionList::new();
        list.add_partition(&topic, partition);
        self.group.resume(&list).map_err(failed)?;
        self.others_are_old = true;
        Ok(())
    }

    fn pause_inputs(&mut self, partition: Partition) {
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.options.cluster.topic(self.topology.primary().dataset), partition);
        if let Err(error) = self.group.pause(&list) {
            tracing::debug!(%error, partition, "pausing a halted partition");
        }
        self.others_are_old = true;
    }

    /// The other inputs are read on the same partitions, from where the worker expects them. Once for all that changed in
    /// a round: the client does not bear many changes in a row.
    fn assign_others(&mut self) -> Result<(), KafkaFailure> {
        if !self.others_are_old {
            return Ok(());
        }
        for (index, reader) in self.others.iter().enumerate() {
            let topic = self.options.cluster.topic(self.topology.inputs[index + 1].dataset);
            let failed = |source| KafkaFailure::of(format!("assigning {topic}"), source);
            let mut list = TopicPartitionList::new();
            for partition in self.worker.running() {
                let position = self.worker.position(index + 1, partition).unwrap_or_default();
                list.add_partition_offset(&topic, partition, Offset::Offset(position)).map_err(failed)?;
            }
            reader.assign(&list).map_err(failed)?;
        }
        self.others_are_old = false;
        Ok(())
    }

    fn load(&mut self, requests: &[(Partition, LoadRequest)]) -> Result<Vec<Loaded>, KafkaFailure> {
        let mut answers = Vec::with_capacity(requests.len());
        for (partition, request) in requests {
            let mut healed = 0;
            let answer = loop {
                let expected = self.positions.get(partition).cloned();
                match self.store.load(*partition, request)? {
                    Some(loaded) if Some(&loaded.position) == expected.as_ref() => break loaded,
                    found => {
                        let found = found.map(|loaded| loaded.position);
                        tracing::warn!(partition, ?expected, ?found, "the store is not where it should be: healing");
                        self.heal(*partition, &mut healed)?;
                    }
                }
            };
            answers.push(answer);
        }
        Ok(answers)
    }

    fn heal(&mut self, partition: Partition, tries: &mut u32) -> Result<(), KafkaFailure> {
        *tries += 1;
        if *tries > 5 {
            return Err(KafkaFailure::Store(StoreError::Unavailable(format!(
                "the view of partition {partition} keeps changing under its owner"
            ))));
        }
        self.restore(partition).map(drop)
    }

    fn commit(&mut self, batch: &Batch<S>) -> Result<(), KafkaFailure> {
        let Some(group) = self.group.group_metadata() else {
            self.worker.aborted();
            return Ok(());
        };
        let began = Instant::now();
        match self.transactions.commit(batch, &group, &mut self.spans) {
            Outcome::Committed(headers) => {
                self.store_changes(batch, &headers)?;
                self.worker.committed();
                self.spans.dead_lettered(batch);
                self.report.committed(self.topology.service, &batch.counts, batch.outputs.len(), began.elapsed());
            }
            Outcome::Aborted(error) => {
                self.report.aborted(self.topology.service, &error.to_string());
                self.worker.aborted();
                self.spans.settle(&self.worker);
                pause(BACKOFF.0);
            }
            Outcome::Rebuild(error) => {
                self.report.aborted(self.topology.service, &error.to_string());
                self.start_over();
                let transactions = &mut self.transactions;
                retry(self.stopped, self.report, || transactions.rebuild())?;
            }
        }
        Ok(())
    }

    /// After the commit: the store follows, however long it takes to come back.
    fn store_changes(
        &mut self,
        batch: &Batch<S>,
        headers: &HashMap<Partition, Option<i64>>,
    ) -> Result<(), KafkaFailure> {
        for commit in batch.partitions.iter().filter(|commit| commit.header.is_some()) {
            let partition = commit.partition;
            let header = headers.get(&partition).copied().flatten();
            let mut backoff = BACKOFF.0;
            loop {
                let applied = match (header, self.positions.get(&partition)) {
                    (Some(offset), Some(position)) => self.store.apply(partition, position, offset, &commit.changes),
                    // The broker did not say where the header is, or nobody knows the view: the changelog does.
                    _ => Ok(Applied::Refused(None)),
                };
                let result = match applied {
                    Ok(Applied::Done | Applied::AlreadyThere) => {
                        if let (Some(offset), Some(position)) = (header, self.positions.get_mut(&partition)) {
                            position.header_offset = offset;
                        }
                        break;
                    }
                    Ok(Applied::Refused(found)) => {
                        tracing::warn!(partition, ?found, "the store refused a batch: healing");
                        self.restore(partition).map(drop)
                    }
                    Err(error) => Err(KafkaFailure::Store(error)),
                };
                match result {
                    Ok(()) => break,
                    Err(failure) if failure.is_passing() && !(self.stopped)() => {
                        self.report.ready(false, &failure.to_string());
                        tracing::warn!(partition, error = %chain(&failure), "waiting for the store");
                        pause(backoff);
                        backoff = (backoff * 2).min(BACKOFF.1);
                    }
                    Err(failure) => return Err(failure),
                }
            }
        }
        self.report.ready(true, "");
        Ok(())
    }

    /// Forgets what is not in the log: every partition is taken over again.
    fn start_over(&mut self) {
        let owned: Vec<Partition> = self.worker.owned().collect();
        for partition in owned {
            self.worker.revoked(partition);
            self.worker.assigned(partition);
        }
        self.spans.settle(&self.worker);
    }

    /// What others wrote to our outputs before a takeover lies below their ends as of now.
    fn raise_bounds(&mut self) -> Result<(), KafkaFailure> {
        if self.topology.marks.is_none() || !self.bounds_are_old {
            return Ok(());
        }
        for dataset in self.topology.outputs {
            let topic = self.options.cluster.topic(dataset);
            for partition in 0..self.options.cluster.partitions {
                let end = self.restorer.end(&topic, partition)?;
                self.transactions.raise_bound(dataset, partition, end);
            }
        }
        self.bounds_are_old = false;
        Ok(())
    }

    /// Leaves the group; the partitions are given back by the callback.
    fn close(mut self) {
        self.spans.give_up();
        self.group.context().close();
        self.group.unsubscribe();
    }
}

fn hear<S: Service>(worker: &mut Worker<S>, spans: &mut Spans, input: usize, message: &BorrowedMessage<'_>) {
    let trace = header_bytes(message, TRACE_HEADER).and_then(|bytes| std::str::from_utf8(bytes).ok());
    let expected = worker.expects(input, message.partition(), message.offset());
    let span = trace.filter(|_| expected).and_then(|trace| spans.process(input, message, trace));
    let headers = message.headers().map(HeadersOf);
    let mut record = record_ref(input, message, span.as_deref().or(trace));
    record.headers = headers.as_ref().map(|headers| headers as &dyn stream::RecordHeaders);
    worker.record(&record);
}

fn record_ref<'a>(input: usize, message: &'a BorrowedMessage<'_>, traceparent: Option<&'a str>) -> RecordRef<'a> {
    RecordRef {
        input,
        partition: message.partition(),
        offset: message.offset(),
        timestamp: Timestamp::from_millis(message.timestamp().to_millis().unwrap_or_default()),
        key: message.key(),
        value: message.payload(),
        traceparent,
        headers: None,
    }
}

fn apply_table<S: Service>(
    worker: &mut Worker<S>,
    schemas: &Schemas,
    options: &WorkerOptions,
    table: usize,
    message: &BorrowedMessage<'_>,
) -> Result<(), KafkaFailure> {
    learn_of(schemas, options, message)?;
    if let Err(poison) = worker.table_record(&record_ref(table, message, None)) {
        // The policy stays as it was; the record stays where it is, for everybody to see.
        tracing::error!(topic = message.topic(), offset = message.offset(), %poison, "a table's record is refused");
    }
    Ok(())
}

fn learn_of(schemas: &Schemas, options: &WorkerOptions, message: &BorrowedMessage<'_>) -> Result<(), KafkaFailure> {
    message.payload().map_or(Ok(()), |value| learn(schemas, options, value))
}

/// Fetches the writer's schema of a value, if it is new here. A registry that does not know it either makes the record a
/// dead letter; one that is away makes us wait.
fn learn(schemas: &Schemas, options: &WorkerOptions, value: &[u8]) -> Result<(), KafkaFailure> {
    let (Some(id), Some(registry)) = (schemas.missing(value), &options.registry) else { return Ok(()) };
    match registry.learn(schemas, id) {
        Err(error) if error.is_passing() => Err(error.into()),
        Err(error) => {
            tracing::warn!(id, %error, "a record names a schema that can't be had");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

/// Tries again what failed in passing, with a growing pause, until it succeeds or the process stops.
fn retry<T>(
    stopped: &dyn Fn() -> bool,
    report: &dyn WorkerReport,
    mut call: impl FnMut() -> Result<T, KafkaFailure>,
) -> Result<T, KafkaFailure> {
    let mut backoff = BACKOFF.0;
    loop {
        match call() {
            Err(failure) if failure.is_passing() && !stopped() => {
                report.ready(false, &failure.to_string());
                tracing::warn!(error = %chain(&failure), "trying again");
                pause(backoff);
                backoff = (backoff * 2).min(BACKOFF.1);
            }
            result => return result,
        }
    }
}

/// The worker's thread has nothing else to do.
fn pause(duration: Duration) {
    std::thread::sleep(duration);
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
