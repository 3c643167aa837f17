//! Drives the engine on Kafka: one thread, one worker, one transaction a batch.
//!
//! Wanted properties:
//! - the worker hears of every fact in an order that really happened;
//! - what the store is told was committed before; what it refuses is healed from the changelog;
//! - a broker, registry or store that is away pauses the work and nothing else: it goes on by itself.

mod broker_clock;
mod commit;
mod hear;
mod inputs;
mod membership;
mod options;
mod restore;
mod spans;
mod tables;
mod takeover;
mod transaction;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use domain::BootTime;
use schemas::Schemas;
use stream::{Decision, Partition, Service, StateStore, StorePosition, Topology, Worker, WorkerSettings};

use inputs::Inputs;
use membership::Membership;
pub use options::{Act, Done, NoShell, Shell, WorkerOptions, WorkerReport};
use restore::Restorer;
use spans::Spans;
use tables::Broadcasts;
pub(crate) use transaction::HEADER_KEY;
use transaction::Transactions;

use crate::port::{ClientError, Clients, Polled, Reader, Rebalance};
use crate::{KafkaFailure, Librdkafka};

/// How long the loop waits for a record before it looks at everything else.
const POLL: Duration = Duration::from_millis(5);
/// First and longest pause between two tries of what failed in passing.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
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
    run_worker_on(&Librdkafka::new(&options.cluster), options, schemas, policy, store, shell, report, stopped)
}

/// The same on other clients.
#[allow(clippy::too_many_arguments, reason = "each is a part of its own, put together by the host")]
pub fn run_worker_on<C: Clients, S: Service>(
    clients: &C,
    options: &WorkerOptions,
    schemas: &Schemas,
    policy: S::Policy,
    store: &mut dyn StateStore,
    shell: &mut dyn Shell<S>,
    report: &dyn WorkerReport,
    stopped: &dyn Fn() -> bool,
) -> Result<(), KafkaFailure> {
    report.ready(false, "starting");
    let result =
        Driver::new(clients, options, schemas, policy, store, shell, report, stopped).and_then(|mut driver| {
            let result = driver.run();
            driver.close();
            result
        });
    report.ready(false, "stopped");
    match result {
        // Whoever is to stop waits for nothing any more.
        Err(failure) if stopped() => {
            tracing::warn!(error = %chain(&failure), "stopped while waiting");
            Ok(())
        }
        result => result,
    }
}

struct Driver<'a, C: Clients, S: Service> {
    clients: &'a C,
    options: &'a WorkerOptions,
    topology: &'static Topology,
    schemas: Schemas,
    worker: Worker<S>,
    store: &'a mut dyn StateStore,
    shell: &'a mut dyn Shell<S>,
    report: &'a dyn WorkerReport,
    stopped: &'a dyn Fn() -> bool,
    group: Membership<C::Member>,
    group_id: String,
    slot_id: String,
    /// When the broker was last silent for a while, or the group did without us.
    disturbed_at: Option<Duration>,
    inputs: Inputs<C::Reader>,
    broadcasts: Broadcasts<C::Reader>,
    restorer: Restorer<'a, C>,
    transactions: Transactions<'a, C>,
    spans: Spans,
    positions: HashMap<Partition, StorePosition>,
    /// Those that stand still, and why.
    halted: BTreeMap<Partition, String>,
    /// When the commit of the last batch began: what it claimed is as old as that.
    claimed_at: BootTime,
    asked_for_ends: Duration,
    /// The broker was said to be away, and has not answered since.
    away: bool,
    /// A record of a table was read and not applied.
    tables_are_old: bool,
    /// Others may have written to our outputs since the bounds were raised.
    bounds_are_old: bool,
}

impl<'a, C: Clients, S: Service> Driver<'a, C, S> {
    #[allow(clippy::too_many_arguments, reason = "each is a part of its own, put together by the host")]
    fn new(
        clients: &'a C,
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
        let worker = Worker::new(settings, schemas.clone(), policy);
        Ok(Self {
            group: Membership::new(clients, cluster, &group_id, &slot_id, topology)?,
            inputs: Inputs::new(clients, cluster, &slot_id, topology)?,
            broadcasts: Broadcasts::new(clients, cluster, &slot_id, topology)?,
            restorer: Restorer::new(clients, options, topology.service, topology.changelog, &group_id)?,
            transactions: retry(clients, stopped, report, || {
                Transactions::begin(clients, cluster, topology, schemas, &slot_id)
            })?,
            spans: Spans::of(topology, &group_id),
            group_id,
            slot_id,
            disturbed_at: None,
            positions: HashMap::new(),
            halted: BTreeMap::new(),
            claimed_at: clients.boot_time(),
            asked_for_ends: clients.monotonic(),
            away: false,
            tables_are_old: false,
            bounds_are_old: true,
            clients,
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
        self.group.join()?;
        while !(self.stopped)() {
            match self.turn() {
                Ok(()) => {}
                Err(failure) if failure.is_passing() => {
                    self.is_away(&failure);
                    self.start_over()?;
                    self.clients.pause(BACKOFF.0.saturating_mul(4));
                }
                Err(failure) => return Err(failure),
            }
        }
        let owned: Vec<Partition> = self.worker.running().collect();
        if let Err(failure) = self.finish(&owned) {
            tracing::warn!(error = %chain(&failure), "the last batch is given up; the next process does it again");
        }
        Ok(())
    }

    /// Joins the group with a new client, under the same slot.
    fn join(&mut self) -> Result<(), KafkaFailure> {
        self.group.close();
        self.group =
            Membership::new(self.clients, &self.options.cluster, &self.group_id, &self.slot_id, self.topology)?;
        self.group.join()
    }

    /// One round: hear what happened, let the worker decide, do it.
    fn turn(&mut self) -> Result<(), KafkaFailure> {
        while let Some(event) = self.group.next() {
            self.rebalance(event)?;
        }
        self.group.settle()?;
        self.hear_broadcasts()?;
        while let Some(done) = self.shell.done() {
            self.worker.completed(done.partition, done.key, done.claim, done.completion);
        }
        // What can't be reached takes nothing: claims are not spent on it.
        self.worker.capacity(self.shell.capacity());
        self.hear_group()?;
        self.hear_records()?;
        self.ask_for_ends()?;
        self.decide()
    }

    fn decide(&mut self) -> Result<(), KafkaFailure> {
        while let Some(decision) = self.worker.poll(self.clients.now_ms()) {
            match decision {
                Decision::TakeOver(partition) => {
                    self.take_over(partition)?;
                    // Those that are taken over already go on between the others.
                    break;
                }
                Decision::Start { partition, positions } => self.inputs.start(partition, &positions)?,
                Decision::Load(requests) => {
                    let answers = self.load(&requests)?;
                    self.worker.loaded(answers);
                }
                Decision::Commit(batch) => self.commit(&batch)?,
                Decision::Act { partition, key, claim, action } => {
                    self.shell.perform(Act { partition, key, claim, action, claimed_at: self.claimed_at });
                }
                Decision::Halt { partition, reason } => {
                    self.report.halted(self.topology.service, partition, &reason);
                    self.halted.insert(partition, reason.to_string());
                    self.tell_readiness();
                    self.inputs.stop(&[partition])?;
                }
            }
        }
        self.spans.settle(&self.worker);
        Ok(())
    }

    fn rebalance(&mut self, event: Rebalance) -> Result<(), KafkaFailure> {
        let heard_all = self.group.heard_all(&event);
        // Whether or not the reader could be told: the group is answered.
        let forgotten = if heard_all { Ok(()) } else { self.begin_anew() };
        match event {
            Rebalance::Assigned(partitions) => {
                self.group.taken()?;
                // Whatever fails from here on is tried again by the takeover: an assignment is told only once.
                self.bounds_are_old = true;
                for partition in partitions {
                    self.worker.assigned(partition);
                }
                // With more processes than partitions some stand by.
                self.tell_readiness();
            }
            Rebalance::Revoked { partitions, lost } => {
                if lost {
                    self.disturbed_at = Some(self.clients.monotonic());
                }
                if !partitions.is_empty() {
                    tracing::info!(service = self.topology.service, ?partitions, lost, "giving partitions back");
                }
                if !lost
                    && heard_all
                    && !partitions.is_empty()
                    && let Err(failure) = self.finish(&partitions)
                {
                    tracing::warn!(error = %chain(&failure), "the last batch is given up; it will be done again");
                    self.start_over()?;
                }
                let given_up = self.give_up(&partitions);
                self.group.given_back(lost)?;
                given_up?;
            }
        }
        forgotten
    }

    /// The group may have done without us: what was held may have been another's, so that it is taken over once more.
    fn begin_anew(&mut self) -> Result<(), KafkaFailure> {
        let held: Vec<Partition> = self.worker.owned().collect();
        if held.is_empty() {
            return Ok(());
        }
        tracing::warn!(service = self.topology.service, ?held, "the group may have done without us: taking over anew");
        self.disturbed_at = Some(self.clients.monotonic());
        let given_up = self.give_up(&held);
        for partition in held {
            self.worker.assigned(partition);
        }
        given_up
    }

    /// These partitions are not ours any more.
    fn give_up(&mut self, partitions: &[Partition]) -> Result<(), KafkaFailure> {
        for partition in partitions {
            self.worker.revoked(*partition);
            self.positions.remove(partition);
            self.store.release(*partition);
            self.halted.remove(partition);
            self.report.given_up(self.topology.service, *partition);
        }
        self.spans.settle(&self.worker);
        self.inputs.stop(partitions)
    }

    /// Ready is who does all that is his: no partition stands still or waits for its takeover, and the broker answers.
    fn tell_readiness(&self) {
        if let Some((partition, reason)) = self.halted.first_key_value() {
            self.report.ready(false, &format!("partition {partition} stands still: {reason}"));
        } else if !self.away && self.worker.running().count() == self.worker.owned().count() {
            self.report.ready(true, "");
        }
    }

    /// Awaits what is in flight on these partitions, up to the deadline, and commits what is open.
    fn finish(&mut self, partitions: &[Partition]) -> Result<(), KafkaFailure> {
        let deadline = self.clients.monotonic() + self.options.drain_timeout;
        for partition in partitions {
            self.worker.draining(*partition);
        }
        loop {
            while let Some(done) = self.shell.done() {
                self.worker.completed(done.partition, done.key, done.claim, done.completion);
            }
            self.worker.finish();
            self.decide()?;
            let in_flight: usize = partitions.iter().map(|partition| self.worker.in_flight(*partition)).sum();
            if in_flight == 0 && self.worker.is_idle() || self.clients.monotonic() > deadline {
                return Ok(());
            }
            self.clients.pause(POLL);
        }
    }

    /// Forgets what is not in the log: every partition is taken over again.
    fn start_over(&mut self) -> Result<(), KafkaFailure> {
        self.worker.start_over();
        self.spans.settle(&self.worker);
        let owned: Vec<Partition> = self.worker.owned().collect();
        self.inputs.stop(&owned)
    }

    /// Leaves the group; the partitions are given back by the callback.
    fn close(mut self) {
        self.spans.give_up();
        self.group.leave();
    }
}

/// Tries again what failed in passing, with a growing pause, until it succeeds or the process stops.
fn retry<T>(
    clients: &impl Clients,
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
                clients.pause(backoff);
                backoff = (backoff * 2).min(BACKOFF.1);
            }
            result => return result,
        }
    }
}

/// What a reader hears within `wait`. A broker that is away is no failure of the reader's, which goes on by itself: what
/// does not come is for the caller's deadline.
fn poll<R: Reader>(reader: &R, wait: Duration) -> Result<Polled<R::Record<'_>>, ClientError> {
    match reader.poll(wait) {
        Err(error) if error.passing => {
            tracing::debug!(%error, "a reader waits");
            Ok(Polled::Nothing)
        }
        heard => heard,
    }
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
