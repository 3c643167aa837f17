//! One run: the processes as coroutines, the scheduler that owns time, and its end.
//!
//! Wanted properties:
//! - a seed gives the same run, step by step, wherever and however often it is run;
//! - the faults stop, the shop comes to its end, and then the world has so long to come to rest.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ::definitions::ShopTimeZones;
use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult};
use domain::HumanDuration;
use ingestion::{Resolver, ResolverPolicy};
use journeys::Journeys;
use kafka::{Cluster, NoShell, WorkerOptions, WorkerReport, run_worker_on};
use links::Secret;
use messaging::Messaging;
use segmentation::Segmentation;
use stream::{Counts, HaltReason, Partition, WorkerSettings};

use crate::broken::Broken;
use crate::chance::Chance;
use crate::checker::{self, Breach};
use crate::clients::{Handle, SimulatedClients};
use crate::plan::{Plan, SERVICES};
use crate::provider::SimulatedShell;
use crate::redis::Connection;
use crate::wishes;
use crate::workload::{PARTITIONS, PREFIX, Workload};
use crate::world::{Directive, MS, Machine, Micros, ProcessId, SECOND, Shared, World};
use crate::{SCHEMAS, definitions};

/// The shop takes a step each so often.
const PACE: Micros = 600 * MS;
/// How long the world has to come to rest.
const REST_WITHIN: Micros = 150 * SECOND;
/// It is at rest if nothing is left to do for so long.
const RESTS: Micros = 3 * SECOND;
const LOOK: Micros = SECOND;
const TICK: Micros = 25 * MS;
/// So long a changelog that is compacted keeps what says that a key has ended.
const TOMBSTONES_KEPT: Duration = Duration::from_secs(4);
/// So old a view may be for a worker to go on from it: less, since clocks differ.
const VIEW_GOES_ON: Duration = Duration::from_secs(2);
const STACK_BYTES: usize = 1 << 20;
const INGESTION: usize = 0;
const SEGMENTATION: usize = 1;
const JOURNEYS: usize = 2;

/// How a run is made.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Faults that are left out, by their number.
    pub dropped: BTreeSet<usize>,
    /// How the engine is broken, if it is.
    pub broken: Option<Broken>,
    /// Whether to keep a trace.
    pub traced: bool,
}

/// How a run went.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What is wrong.
    pub breaches: Vec<Breach>,
    /// How much virtual time it took.
    pub lasted: Micros,
    /// Stands for every step of it.
    pub fingerprint: u64,
    /// What happened, if it was to be kept.
    pub trace: Vec<String>,
    /// What went wrong in it.
    pub plan: Plan,
    /// How many messages were asked for.
    pub messages: usize,
}

struct Process {
    service: usize,
    slot: usize,
    coroutine: Option<Coroutine<(), Micros, ()>>,
    wakes_at: Micros,
    stopped: Arc<AtomicBool>,
    starts_at: Micros,
}

struct Report {
    shared: Shared,
    name: String,
}

impl WorkerReport for Report {
    fn ready(&self, ready: bool, why: &str) {
        self.shared.lock().tell(|| format!("{}: {} {why}", self.name, if ready { "ready" } else { "not ready:" }));
    }

    fn committed(&self, _service: &'static str, _counts: &Counts, outputs: usize, _took: Duration) {
        self.shared.lock().tell(|| format!("{} committed, {outputs} outputs", self.name));
    }

    fn untold(&self, _service: &'static str, _partition: Partition, _untold: u64) {}

    fn aborted(&self, _service: &'static str, why: &str) {
        self.shared.lock().tell(|| format!("{} aborted: {why}", self.name));
    }

    fn taken_over(&self, _service: &'static str, partition: Partition, records: u64, _took: Duration) {
        self.shared.lock().tell(|| format!("{} took over {partition} after {records} records", self.name));
    }

    fn given_up(&self, _service: &'static str, partition: Partition) {
        self.shared.lock().tell(|| format!("{} gave up {partition}", self.name));
    }

    fn halted(&self, _service: &'static str, partition: Partition, reason: &HaltReason) {
        let detail = format!("{} {partition}: {reason}", self.name);
        self.shared.lock().breach("no_partition_stands_still", detail);
    }
}

fn cluster() -> Cluster {
    Cluster {
        bootstrap_servers: String::new(),
        prefix: PREFIX.to_owned(),
        partitions: PARTITIONS,
        security: std::collections::BTreeMap::new(),
        transaction_timeout: Duration::from_secs(8),
        session_timeout: Duration::from_secs(3),
    }
}

fn options(slot: usize) -> WorkerOptions {
    WorkerOptions {
        cluster: cluster(),
        slot: slot.to_string(),
        settings: WorkerSettings {
            header_refresh: HumanDuration::from_millis(1_000),
            cache_bytes: 20_000,
            max_batch_records: 8,
            ..WorkerSettings::default()
        },
        registry: None,
        drain_timeout: Duration::from_secs(4),
        blocked_after: Duration::from_millis(500),
        tombstone_retention: VIEW_GOES_ON,
    }
}

/// A process, from its start.
fn start(
    shared: &Shared,
    service: usize,
    slot: usize,
    id: ProcessId,
    stopped: &Arc<AtomicBool>,
    resolver: &ResolverPolicy,
) -> Coroutine<(), Micros, ()> {
    let (shared, stopped, resolver) = (shared.clone(), Arc::clone(stopped), resolver.clone());
    let stack = DefaultStack::new(STACK_BYTES).unwrap_or_default();
    Coroutine::with_stack(stack, move |yielder, ()| {
        let handle = Handle::new(&shared, yielder, id);
        let broken = handle.world().broken;
        let options = options(slot);
        let clients = SimulatedClients::new(handle.clone(), &options.cluster);
        let mut store = Connection::new(handle.clone(), SERVICES[service]);
        let name = format!("{}.{slot}", SERVICES[service]);
        let report = Report { shared: shared.clone(), name: name.clone() };
        let stopped = move || stopped.load(Ordering::Relaxed);
        let (store, report, stopped) = (&mut store, &report, &stopped);
        let result = match service {
            INGESTION => {
                let shell = &mut NoShell;
                run_worker_on::<_, Resolver>(&clients, &options, &SCHEMAS, resolver, store, shell, report, stopped)
            }
            SEGMENTATION => {
                let other = broken == Some(Broken::HashesOtherwise);
                let secret = if other { Secret::new(*b"other sixteen bytes").ok() } else { wishes::secret() };
                let Some(secret) = secret else { return };
                let policy = segmentation::Policy::new(ShopTimeZones::default(), secret).of(PARTITIONS);
                let shell = &mut NoShell;
                run_worker_on::<_, Segmentation>(&clients, &options, &SCHEMAS, policy, store, shell, report, stopped)
            }
            JOURNEYS => {
                let (policy, shell) = (journeys::Policy::new(journeys::Settings::default()), &mut NoShell);
                run_worker_on::<_, Journeys>(&clients, &options, &SCHEMAS, policy, store, shell, report, stopped)
            }
            _ => {
                let Some(secret) = wishes::secret() else { return };
                let policy = messaging::Policy::new(messaging::Settings::default(), secret);
                let mut shell = SimulatedShell::new(&shared, id);
                run_worker_on::<_, Messaging>(&clients, &options, &SCHEMAS, policy, store, &mut shell, report, stopped)
            }
        };
        if let Err(failure) = result {
            handle.world().tell(|| format!("{name} ends: {failure}"));
        }
    })
}

/// Runs a seed.
pub fn run(seed: u64, options: &Options) -> Outcome {
    let mut chance = Chance::new(seed);
    let workload = Workload::draw(&mut chance.fork());
    let mut drawn = chance.fork();
    let workers = [(1, 3), (1, 3), (1, 4), (1, 3)].map(|(least, below)| drawn.between(least, below) as usize);
    let shop_ends = PACE * workload.steps.len() as Micros;
    let plan = Plan::draw(&mut drawn, workers.iter().sum(), shop_ends);
    let shared = Shared::new(World::new(seed, &plan, options.broken, options.traced));
    let mut simulation = Simulation::new(shared.clone(), workers, resolver_of(&workload, options.broken));
    {
        let mut world = shared.lock();
        world.create_topics(plan.compacts);
        definitions::append(&mut world);
        workload.begin(&mut world, PACE);
        plan.begin(&mut world, &options.dropped);
        world.after(shop_ends, World::calm_down);
    }
    let end = catch_unwind(AssertUnwindSafe(|| simulation.go(&workload, shop_ends)));
    let mut world = shared.lock();
    let mut breaches: Vec<Breach> =
        world.breaches.iter().map(|(invariant, detail)| Breach::new(invariant, detail.clone())).collect();
    match end {
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or_default();
            breaches.push(Breach::new("nothing_panics", text.to_owned()));
        }
        Ok(restless) => {
            breaches.extend(restless.map(|why| Breach::new("the_world_comes_to_rest", why)));
            breaches.extend(checker::check(&world, &workload));
        }
    }
    for breach in &breaches {
        let line = breach.to_string();
        world.tell(|| format!("BREACH {line}"));
    }
    Outcome {
        breaches,
        lasted: world.now,
        fingerprint: simulation.fingerprint,
        trace: world.trace.take().unwrap_or_default(),
        plan,
        messages: crate::expected::reminders(&workload).len(),
    }
}

/// The resolver remembers for as long as the shop counts on.
fn resolver_of(workload: &Workload, broken: Option<Broken>) -> ResolverPolicy {
    let forgets = broken == Some(Broken::ForgetsMessages);
    let window = if forgets { HumanDuration::ZERO } else { workload.window };
    let remembered_ids = if forgets { 1 } else { ResolverPolicy::default().remembered_ids };
    ResolverPolicy { window, remembered_ids, partitions: PARTITIONS, ..ResolverPolicy::default() }
}

struct Simulation {
    shared: Shared,
    resolver: ResolverPolicy,
    processes: Vec<Process>,
    fingerprint: u64,
}

impl Simulation {
    fn new(shared: Shared, workers: [usize; SERVICES.len()], resolver: ResolverPolicy) -> Self {
        let mut processes = Vec::new();
        for (service, count) in workers.into_iter().enumerate() {
            for slot in 0..count {
                let name = format!("{}.{slot}", SERVICES[service]);
                shared.lock().machines.push(Machine { name, service, ..Machine::default() });
                processes.push(Process {
                    service,
                    slot,
                    coroutine: None,
                    wakes_at: 0,
                    stopped: Arc::default(),
                    starts_at: processes.len() as Micros * 70 * MS,
                });
            }
        }
        Self { shared, resolver, processes, fingerprint: 0xcbf2_9ce4_8422_2325 }
    }

    /// Until it is at rest, or should be.
    fn go(&mut self, workload: &Workload, shop_ends: Micros) -> Option<String> {
        let (mut next_tick, mut next_look) = (TICK, shop_ends + LOOK);
        let (mut at_rest_since, mut written) = (None, 0);
        loop {
            let process = self.next_process();
            let (member, happening) = {
                let world = self.shared.lock();
                (world.next_member(), world.next_happening())
            };
            let times =
                [process.map(|(at, _)| at), member.map(|(at, _)| at), happening, Some(next_tick), Some(next_look)];
            let now = times.into_iter().flatten().min().unwrap_or(next_tick);
            {
                let mut world = self.shared.lock();
                world.now = world.now.max(now);
                if next_tick <= now {
                    world.tick();
                    next_tick = now + TICK;
                }
                world.happen();
                if let Some((at, number)) = member
                    && at <= now
                {
                    world.step_member(number);
                }
            }
            self.obey(now);
            if let Some((at, id)) = process
                && at <= now
            {
                self.resume(id, now);
            }
            if next_look <= now {
                next_look = now + LOOK;
                let (left, total) = {
                    let world = self.shared.lock();
                    (checker::left_to_do(&world, workload), checker::written(&world))
                };
                if std::mem::replace(&mut written, total) != total {
                    at_rest_since = None;
                }
                // What is only under way ends by itself, and ends sooner if time does not begin more of it.
                let waits_for_time = left.as_ref().is_some_and(|why| !why.ends_with("has an open transaction"));
                self.let_time_go_on(waits_for_time, now);
                match (&left, at_rest_since) {
                    (None, None) => at_rest_since = Some(now),
                    (None, Some(since)) if now - since >= RESTS => return None,
                    (None, Some(_)) => {}
                    (Some(_), _) => at_rest_since = None,
                }
                if now > shop_ends + REST_WITHIN {
                    return left;
                }
            }
        }
    }

    /// Time comes from the resolver, which hands it on for as long as it runs. Somebody may have missed how far it came.
    fn let_time_go_on(&mut self, goes_on: bool, now: Micros) {
        for process in self.processes.iter_mut().filter(|process| process.service == INGESTION) {
            if !goes_on {
                process.stopped.store(true, Ordering::Relaxed);
                process.starts_at = Micros::MAX;
            } else if process.starts_at == Micros::MAX {
                process.starts_at = now;
            }
        }
    }

    fn next_process(&self) -> Option<(Micros, ProcessId)> {
        let world = self.shared.lock();
        let at = |(id, process): (ProcessId, &Process)| {
            let at = if process.coroutine.is_some() { process.wakes_at } else { process.starts_at };
            (at.max(world.machines[id].paused_until), id)
        };
        self.processes.iter().enumerate().map(at).min()
    }

    fn resume(&mut self, id: ProcessId, now: Micros) {
        for part in [now, id as u64] {
            self.fingerprint = (self.fingerprint ^ part).wrapping_mul(0x0100_0000_01b3);
        }
        let process = &mut self.processes[id];
        if process.coroutine.is_none() {
            process.stopped = Arc::default();
            self.shared.lock().machines[id].incarnation += 1;
            process.coroutine =
                Some(start(&self.shared, process.service, process.slot, id, &process.stopped, &self.resolver));
            let name = format!("{}.{}", SERVICES[process.service], process.slot);
            self.shared.lock().tell(|| format!("{name} starts"));
        }
        let Some(coroutine) = &mut process.coroutine else { return };
        match coroutine.resume(()) {
            CoroutineResult::Yield(until) => process.wakes_at = until,
            CoroutineResult::Return(()) => {
                process.coroutine = None;
                // Whoever looks after processes starts it again.
                process.starts_at = process.starts_at.max(now + SECOND);
                self.shared.lock().members.retain(|_, member| member.process != id);
            }
        }
    }

    fn obey(&mut self, now: Micros) {
        let directives: Vec<Directive> = self.shared.lock().directives.drain(..).collect();
        for directive in directives {
            match directive {
                Directive::Kill(id, back_after) => {
                    // Unwinds its stack, in which nothing talks to the world.
                    drop(self.processes[id].coroutine.take());
                    self.processes[id].starts_at = now + back_after;
                    let mut world = self.shared.lock();
                    world.members.retain(|_, member| member.process != id);
                    world.machines[id].paused_until = 0;
                    world.machines[id].armed = None;
                }
                Directive::Stop(id, back_after) => {
                    self.processes[id].stopped.store(true, Ordering::Relaxed);
                    self.processes[id].starts_at = now + back_after;
                }
            }
        }
    }
}

impl World {
    fn create_topics(&mut self, compacts: bool) {
        for spec in schemas::topics(PREFIX, PARTITIONS.unsigned_abs()) {
            let config = spec.config.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
            let mut config: std::collections::BTreeMap<String, String> = config.collect();
            if compacts && spec.name.ends_with(".changelog.v1") {
                let kept = TOMBSTONES_KEPT.as_millis().to_string();
                config.extend([("delete.retention.ms".to_owned(), kept)]);
                config.extend([("min.cleanable.dirty.ratio".to_owned(), "0.01".to_owned())]);
            }
            let partitions = Some(spec.partition_count as i32);
            if let Err(refusal) = self.core.create_topic(&spec.name, partitions, config, false) {
                self.breach("the_simulation_is_sound", format!("{}: {refusal}", spec.name));
            }
        }
    }
}
