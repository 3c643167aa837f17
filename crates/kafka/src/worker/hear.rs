//! What happened, told to the worker: rebalances, records, marks, tables, ends of logs.

use std::time::Duration;

use domain::Timestamp;
use schemas::{Mark, Schemas};
use stream::{Clock, Dataset, HaltReason, Input, Partition, RecordRef, Service, TimeMode, Topology, Worker};

use super::inputs::{Heard, Inputs};
use super::restore::Restorer;
use super::spans::Spans;
use super::tables::Broadcast;
use super::transaction::{TRACE_HEADER, Transactions};
use super::{Driver, POLL, WorkerOptions, chain, retry};
use crate::port::{ClientError, Clients, ErrorKind, Record};
use crate::{KafkaFailure, Registry};

/// At most so many records are told before the worker decides and everything else is looked at.
const HEARD_AT_ONCE: usize = 10_000;
/// So much that went wrong is heard at once. A broker that was away leaves hundreds of errors in a client's queue, and what it
/// says once it is back stands behind them: one a round, and each round a commit that the group refuses, took minutes.
const ERRORS_AT_ONCE: usize = 10_000;
/// For so long after a disturbance a process takes it for its own echo that its slot was joined again.
const DISTURBED: Duration = Duration::from_mins(1);
/// After so many it is asked whether it wants more.
const HEARD_BETWEEN_LOOKS: usize = 500;

impl<'a, C: Clients, S: Service> Driver<'a, C, S> {
    pub(super) fn read_tables(&mut self) -> Result<(), KafkaFailure> {
        let (worker, schemas, options) = (&mut self.worker, &self.schemas, self.options);
        let (broadcasts, clients, stopped) = (&self.broadcasts, self.clients, self.stopped);
        retry(clients, stopped, self.report, || {
            broadcasts.read_tables(clients, Duration::from_secs(10), |table, message| {
                // However long a table is: who asks is alive.
                if stopped() {
                    return Err(KafkaFailure::Installation("stopped while reading the tables".to_owned()));
                }
                apply_table(worker, schemas, options, table, message)
            })
        })?;
        self.tables_are_old = false;
        Ok(())
    }

    pub(super) fn hear_broadcasts(&mut self) -> Result<(), KafkaFailure> {
        if self.tables_are_old {
            self.read_tables()?;
        }
        let mut away = None;
        for _ in 0..ERRORS_AT_ONCE {
            let failure = match self.broadcasts.poll() {
                Ok(None) => break,
                Ok(Some(broadcast)) => {
                    let heard = hear_broadcast(&mut self.worker, &self.schemas, self.options, &broadcast);
                    if let Err(failure) = heard {
                        // It will not be told again: the tables are read anew, as far as they are new.
                        self.tables_are_old = true;
                        return Err(failure);
                    }
                    continue;
                }
                Err(failure) => failure,
            };
            if !failure.is_passing() {
                return Err(failure);
            }
            away = Some(failure);
        }
        if let Some(failure) = away {
            self.is_away(&failure);
        }
        Ok(())
    }

    /// Lets the group's client speak: of rebalances, which wait in its context, and of what went wrong.
    pub(super) fn hear_group(&mut self) -> Result<(), KafkaFailure> {
        let mut away = None;
        for _ in 0..ERRORS_AT_ONCE {
            let error = self.group.poll();
            if self.group.is_fenced() {
                return self.fenced();
            }
            let Some(error) = error else { break };
            // The partitions are lost, which the next poll tells; then the group is joined again.
            if error.kind == ErrorKind::PollExceeded {
                continue;
            }
            let failure = KafkaFailure::of("as a member of the group", error);
            if !failure.is_passing() {
                return Err(failure);
            }
            away = Some(failure);
        }
        if let Some(failure) = away {
            self.is_away(&failure);
        }
        Ok(())
    }

    /// Our slot was joined once more, and the client is of no use any more. By ourselves, if the broker was silent a while
    /// ago: it then answers a request to join that the client has repeated meanwhile. Else by another process.
    fn fenced(&mut self) -> Result<(), KafkaFailure> {
        if self.disturbed_at.is_none_or(|at| self.clients.elapsed(at) > DISTURBED) {
            return Err(KafkaFailure::SlotTaken { service: self.topology.service, slot: self.options.slot.clone() });
        }
        tracing::warn!(service = self.topology.service, "the group is joined anew");
        self.join()?;
        let lost: Vec<Partition> = self.worker.owned().collect();
        self.give_up(&lost)
    }

    pub(super) fn hear_records(&mut self) -> Result<(), KafkaFailure> {
        let (mut wait, mut left) = (POLL, HEARD_AT_ONCE);
        let (mut ears, ..) = self.apart();
        while left > 0 && ears.worker.wants_records() {
            let heard = ears.hear(wait)?;
            left = if heard < HEARD_BETWEEN_LOOKS { 0 } else { left.saturating_sub(heard) };
            wait = Duration::ZERO;
        }
        let said = ears.said;
        self.note(said)
    }

    /// What it hears records with, apart from what it commits with: so that it hears while a commit is under way.
    pub(super) fn apart(&mut self) -> (Ears<'_, C, S>, &mut Transactions<'a, C>, &Restorer<'a, C>) {
        let ears = Ears {
            inputs: &self.inputs,
            topology: self.topology,
            options: self.options,
            schemas: &self.schemas,
            worker: &mut self.worker,
            spans: &mut self.spans,
            said: Said::default(),
        };
        (ears, &mut self.transactions, &self.restorer)
    }

    /// What was heard beside records.
    pub(super) fn note(&mut self, said: Said) -> Result<(), KafkaFailure> {
        for (partition, dataset) in said.by_writers_clock {
            self.worker.halted(partition, HaltReason::NotBrokerTime { dataset, partition });
        }
        if let Some(time) = said.latest {
            self.transactions.read_time(time);
        }
        if let Some(error) = said.away {
            self.is_away(&KafkaFailure::of("reading the inputs", error));
        }
        said.failure.map_or(Ok(()), Err)
    }

    /// The client goes on by itself once the broker is back, so nothing is given up; readiness says so meanwhile.
    pub(super) fn is_away(&mut self, failure: &KafkaFailure) {
        if !self.away {
            tracing::warn!(service = self.topology.service, error = %chain(failure), "paused");
        }
        self.away = true;
        self.disturbed_at = Some(self.clients.monotonic());
        self.report.ready(false, &failure.to_string());
    }

    /// Asks where the inputs end: so that time goes on where nothing comes, and positions step past trailing markers.
    pub(super) fn ask_for_ends(&mut self) -> Result<(), KafkaFailure> {
        if self.clients.elapsed(self.asked_for_ends) < self.options.settings.mark_interval.as_std() {
            return Ok(());
        }
        self.asked_for_ends = self.clients.monotonic();
        for (input, partition, position) in self.inputs.positions()? {
            // What lies before it was heard of, so what the worker has not heard of are markers.
            if self.worker.position(input, partition).is_some_and(|heard| heard < position) {
                self.worker.end_reached(input, partition, position, None);
            }
        }
        match self.ask_for_time() {
            Err(failure) if failure.is_passing() => self.is_away(&failure),
            Err(failure) => return Err(failure),
            Ok(()) if self.away => {
                self.away = false;
                self.tell_readiness();
            }
            Ok(()) => {}
        }
        Ok(())
    }

    /// Where an input was read to its end its time is the broker's present: as of before it was asked for the end.
    fn ask_for_time(&mut self) -> Result<(), KafkaFailure> {
        let running: Vec<Partition> = self.worker.running().collect();
        let live = self.options.settings.time_mode == TimeMode::Live;
        let mut asked = false;
        for (index, input) in self.topology.inputs.iter().enumerate() {
            if !live || input.clock != Clock::Broker {
                continue;
            }
            let topic = self.options.cluster.topic(input.dataset);
            for partition in &running {
                let as_of = self.transactions.broker_time();
                let end = self.restorer.end(&topic, *partition)?;
                let (_, stable) = self.restorer.stable_range(&topic, *partition)?;
                asked = true;
                // Behind an open transaction there may be records that nobody sees yet.
                if stable == end && self.worker.position(index, *partition) == Some(end) {
                    self.worker.end_reached(index, *partition, end, as_of);
                }
            }
        }
        if self.away && !asked {
            self.restorer.end(&self.options.cluster.topic(self.topology.changelog), 0)?;
        }
        Ok(())
    }
}

/// Hears records.
pub(super) struct Ears<'a, C: Clients, S: Service> {
    inputs: &'a Inputs<C::Reader>,
    topology: &'static Topology,
    options: &'a WorkerOptions,
    schemas: &'a Schemas,
    worker: &'a mut Worker<S>,
    pub(super) spans: &'a mut Spans,
    pub(super) said: Said,
}

/// What was heard beside records, and is told once nothing is under way.
#[derive(Default)]
pub(super) struct Said {
    /// The broker was away.
    away: Option<ClientError>,
    /// Hearing failed, and nothing was heard since.
    failure: Option<KafkaFailure>,
    /// The latest time that the broker wrote on a record.
    latest: Option<Timestamp>,
    /// Whose records carry the times of who wrote them.
    by_writers_clock: Vec<(Partition, Dataset)>,
}

impl<C: Clients, S: Service> Ears<'_, C, S> {
    /// Hears what is there, while something else is waited for: not what it would have to wait for. Returns whether there
    /// may be more.
    pub(super) fn hear_meanwhile(&mut self) -> bool {
        if self.said.failure.is_some() || !self.worker.wants_records() {
            return false;
        }
        match self.hear(Duration::ZERO) {
            Ok(heard) => heard == HEARD_BETWEEN_LOOKS,
            Err(failure) => {
                self.said.failure = Some(failure);
                false
            }
        }
    }

    /// Tells the worker of the next records, waiting at most so long for the first. Returns how much came: less than
    /// [`HEARD_BETWEEN_LOOKS`] where there is no more for now.
    pub(super) fn hear(&mut self, mut wait: Duration) -> Result<usize, KafkaFailure> {
        for heard in 0..HEARD_BETWEEN_LOOKS {
            match self.inputs.poll(wait)? {
                None => return Ok(heard),
                Some(Heard::Record(input, message)) => {
                    learn_of(self.schemas, self.options, &message)?;
                    if by_its_writers_clock(&self.topology.inputs[input], &message) {
                        self.said.by_writers_clock.push((message.partition(), self.topology.inputs[input].dataset));
                        return Ok(heard);
                    }
                    // Nobody else asks for the broker's time.
                    if self.topology.inputs[input].clock == Clock::Broker {
                        self.said.latest = self.said.latest.max(Some(message.timestamp()));
                    }
                    hear(self.worker, self.spans, input, &message);
                }
                Some(Heard::Other) => {}
                Some(Heard::Away(error)) => self.said.away = Some(error),
            }
            wait = Duration::ZERO;
        }
        Ok(HEARD_BETWEEN_LOOKS)
    }
}

fn hear_broadcast<S: Service>(
    worker: &mut Worker<S>,
    schemas: &Schemas,
    options: &WorkerOptions,
    broadcast: &Broadcast<impl Record>,
) -> Result<(), KafkaFailure> {
    match broadcast {
        Broadcast::Table(table, message) => apply_table(worker, schemas, options, *table, message),
        Broadcast::Mark(dataset, message) => {
            let Some(value) = message.value() else { return Ok(()) };
            learn(schemas, options.registry.as_ref(), value)?;
            match schemas.decode::<Mark>(value) {
                Ok(mark) => worker.mark(dataset, &mark),
                Err(error) => tracing::error!(dataset, offset = message.offset(), %error, "a mark can't be read"),
            }
            Ok(())
        }
    }
}

/// Whether the broker did not write down when it got the record, where time hangs on that.
fn by_its_writers_clock(input: &Input, message: &impl Record) -> bool {
    input.clock == Clock::Broker && !message.is_broker_time()
}

fn hear<S: Service>(worker: &mut Worker<S>, spans: &mut Spans, input: usize, message: &impl Record) {
    let trace = message.header(TRACE_HEADER).and_then(|bytes| std::str::from_utf8(bytes).ok());
    let expected = worker.expects(input, message.partition(), message.offset());
    let span =
        trace.filter(|_| expected).and_then(|trace| spans.process(input, message.partition(), message.offset(), trace));
    let headers = message.headers();
    let mut record = record_ref(input, message, span.as_deref().or(trace));
    record.headers = headers.as_ref().map(|headers| headers as &dyn stream::RecordHeaders);
    worker.record(&record);
}

fn record_ref<'a>(input: usize, message: &'a impl Record, traceparent: Option<&'a str>) -> RecordRef<'a> {
    RecordRef {
        input,
        partition: message.partition(),
        offset: message.offset(),
        timestamp: message.timestamp(),
        key: message.key(),
        value: message.value(),
        traceparent,
        headers: None,
    }
}

fn apply_table<S: Service>(
    worker: &mut Worker<S>,
    schemas: &Schemas,
    options: &WorkerOptions,
    table: usize,
    message: &impl Record,
) -> Result<(), KafkaFailure> {
    learn_of(schemas, options, message)?;
    if let Err(poison) = worker.table_record(&record_ref(table, message, None)) {
        // The policy stays as it was; the record stays where it is, for everybody to see.
        tracing::error!(topic = message.topic(), offset = message.offset(), %poison, "a table's record is refused");
    }
    Ok(())
}

fn learn_of(schemas: &Schemas, options: &WorkerOptions, message: &impl Record) -> Result<(), KafkaFailure> {
    message.value().map_or(Ok(()), |value| learn(schemas, options.registry.as_ref(), value))
}

/// Fetches the writer's schema of a value, if it is new here. A registry that does not know it either makes the record a
/// dead letter; one that is away makes us wait.
pub(super) fn learn(schemas: &Schemas, registry: Option<&Registry>, value: &[u8]) -> Result<(), KafkaFailure> {
    let (Some(id), Some(registry)) = (schemas.missing(value), registry) else { return Ok(()) };
    match registry.learn(schemas, id) {
        Err(error) if error.is_passing() => Err(error.into()),
        Err(error) => {
            tracing::warn!(id, %error, "a record names a schema that can't be had");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}
