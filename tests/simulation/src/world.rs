//! The world of one run: the broker, the stores, the provider, what is under way between them, and the time.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use devbroker::core::groups::{GroupReply, Ticket};
use devbroker::core::log::Appended;
use devbroker::core::topics::{Refusal, TopicPartition};
use devbroker::core::{Core, CoreConfig};

use crate::broken::Broken;
use crate::chance::Chance;
use crate::clients::member::MemberThread;
use crate::plan::{Blow, Coordinator, Network, Plan, Point};
use crate::provider::Provider;
use crate::redis::Redis;

/// Microseconds of virtual time.
pub type Micros = u64;
/// Which process.
pub type ProcessId = usize;

/// A millisecond.
pub const MS: Micros = 1_000;
/// A second.
pub const SECOND: Micros = 1_000 * MS;

/// What happens at a time, to the world.
pub type Happening = Box<dyn FnOnce(&mut World) + Send>;

/// What somebody wants of the scheduler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Directive {
    /// `kill -9`, and started again after so long.
    Kill(ProcessId, Micros),
    /// Asked to stop, and started again after so long.
    Stop(ProcessId, Micros),
}

/// A machine's view of a process.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    /// The name of its slot.
    pub name: String,
    /// The service that runs on it, by its number.
    pub service: usize,
    /// By how much its wall clock is off.
    pub clock_offset_ms: i64,
    /// It is not scheduled before this.
    pub paused_until: Micros,
    /// It does not look how far a changelog reaches that is not decided yet: an engine that is broken.
    pub looks_away: bool,
    /// What strikes it at which point.
    pub armed: Option<(Point, Blow)>,
    /// Counts its starts: what was under way for an earlier one reaches nobody.
    pub incarnation: u64,
}

/// The world.
pub struct World {
    /// The present.
    pub now: Micros,
    /// The broker.
    pub core: Core,
    /// When the broker answers again.
    pub broker_away_until: Micros,
    /// When the coordinators of groups and of transactions can be found again.
    coordinators_away_until: [Micros; 2],
    /// Decides what the network and the machines do.
    pub chance: Chance,
    /// What the network does.
    pub network: Network,
    /// How the engine is broken, if it is.
    pub broken: Option<Broken>,
    /// By service.
    pub redis: BTreeMap<&'static str, Redis>,
    /// Sends the messages.
    pub provider: Provider,
    /// By process.
    pub machines: Vec<Machine>,
    /// By its number: the threads behind group members.
    pub members: BTreeMap<u64, MemberThread>,
    /// By how much the broker's wall clock is ahead of the one that counts its time-outs: it runs as that does, and leaps.
    wall_ahead_ms: i64,
    /// By message: when the broker stored it first.
    pub stored_at: BTreeMap<String, i64>,
    /// What was seen to be wrong while it ran: invariant and detail.
    pub breaches: Vec<(&'static str, String)>,
    /// For the scheduler.
    pub directives: VecDeque<Directive>,
    /// Told, if somebody wants to read it.
    pub trace: Option<Vec<String>>,
    pub(crate) names: u64,
    happenings: BTreeMap<(Micros, u64), Happening>,
    posted: u64,
    tickets: BTreeMap<Ticket, u64>,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").field("now", &self.now).finish_non_exhaustive()
    }
}

/// A handle of the world.
#[derive(Clone, Debug)]
pub struct Shared(Arc<Mutex<World>>);

impl Shared {
    /// Of a world.
    pub fn new(world: World) -> Self {
        Self(Arc::new(Mutex::new(world)))
    }

    /// Never held while a process is suspended.
    pub fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When virtual time begins: 2026-01-01T00:00:00Z.
pub const BEGIN_MS: i64 = 1_767_225_600_000;

impl World {
    /// An empty one.
    pub fn new(seed: u64, plan: &Plan, broken: Option<Broken>, traced: bool) -> Self {
        let network = plan.network;
        let mut chance = Chance::new(seed ^ 0x6e65_7477_6f72_6b00);
        let behind_ms = *chance.one_of(&[0, 36, 36, 72]) * 3_600_000;
        let config = CoreConfig {
            seed,
            min_session_timeout_ms: 100,
            marker_delay_ms: network.marker_delay_ms,
            compaction_min_dirty_bytes: if plan.compacts { 500 } else { 1 << 30 },
            housekeeping_interval_ms: 1_000,
            ..CoreConfig::default()
        };
        Self {
            now: 0,
            core: Core::new(config),
            broker_away_until: 0,
            coordinators_away_until: [0; 2],
            chance,
            network,
            broken,
            redis: BTreeMap::new(),
            provider: Provider { behind_ms, ..Provider::default() },
            machines: Vec::new(),
            members: BTreeMap::new(),
            wall_ahead_ms: 0,
            stored_at: BTreeMap::new(),
            breaches: Vec::new(),
            directives: VecDeque::new(),
            trace: traced.then(Vec::new),
            names: 0,
            happenings: BTreeMap::new(),
            posted: 0,
            tickets: BTreeMap::new(),
        }
    }

    /// The clock that counts the broker's time-outs.
    pub fn now_ms(&self) -> i64 {
        BEGIN_MS + (self.now / MS) as i64
    }

    /// The broker's wall clock, which its records have: the shop's time.
    pub fn wall_ms(&self) -> i64 {
        self.now_ms() + self.wall_ahead_ms
    }

    /// Wall clocks come to a time, at once.
    pub fn wall_comes_to(&mut self, time_ms: i64) {
        self.wall_ahead_ms = self.wall_ahead_ms.max(time_ms - self.now_ms());
    }

    /// A batch arrives at the broker.
    pub fn produce(&mut self, at: &TopicPartition, batch: &Bytes) -> Result<Appended, Refusal> {
        let by_broker = self.core.topic(&at.topic).is_some_and(|topic| topic.config.log_append_time);
        let now_ms = if by_broker { self.wall_ms() } else { self.now_ms() };
        self.core.produce(at, batch, now_ms)
    }

    /// A line of the trace.
    pub fn tell(&mut self, line: impl FnOnce() -> String) {
        let now = self.now;
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>10.3} {}", now as f64 / SECOND as f64, line()));
        }
    }

    /// An invariant is broken.
    pub fn breach(&mut self, invariant: &'static str, detail: String) {
        self.tell(|| format!("BREACH {invariant}: {detail}"));
        self.breaches.push((invariant, detail));
    }

    /// Something happens in so long.
    pub fn after(&mut self, delay: Micros, happening: impl FnOnce(&mut World) + Send + 'static) {
        self.posted += 1;
        self.happenings.insert((self.now + delay, self.posted), Box::new(happening));
    }

    /// When the next thing happens by itself.
    pub fn next_happening(&self) -> Option<Micros> {
        self.happenings.first_key_value().map(|((at, _), _)| *at)
    }

    /// Lets happen what is due.
    pub fn happen(&mut self) {
        while let Some(entry) = self.happenings.first_entry()
            && entry.key().0 <= self.now
        {
            let happening = entry.remove();
            happening(self);
        }
        self.deliver();
    }

    /// Lets time pass for the broker.
    pub fn tick(&mut self) {
        let now_ms = self.now_ms();
        self.core.tick(now_ms);
        self.deliver();
    }

    /// Whether the broker answers.
    pub fn broker_answers(&self) -> bool {
        self.now >= self.broker_away_until
    }

    /// A coordinator moves: what its book says is kept, but for so long nobody can ask it.
    pub(crate) fn moves(&mut self, coordinator: Coordinator, lasts: Micros) {
        self.coordinators_away_until[coordinator as usize] = self.now + lasts;
    }

    /// Whether a coordinator can be found, and has loaded its book.
    pub(crate) fn coordinates(&self, coordinator: Coordinator) -> bool {
        self.now >= self.coordinators_away_until[coordinator as usize]
    }

    /// A process comes to a point. True if it is struck there.
    pub(crate) fn comes_to(&mut self, process: ProcessId, point: Point) -> bool {
        let Some((_, blow)) = self.machines[process].armed.take_if(|(armed, _)| *armed == point) else { return false };
        self.tell(|| format!("STRUCK at {point:?}: process {process}, {blow:?}"));
        match blow {
            Blow::Kill(back_after) => self.directives.push_back(Directive::Kill(process, back_after)),
            Blow::Freeze(lasts) => self.machines[process].paused_until = self.now + lasts,
        }
        true
    }

    /// A member waits for this answer.
    pub fn await_ticket(&mut self, ticket: Ticket, member: u64) {
        self.tickets.insert(ticket, member);
    }

    /// Group replies find their members.
    pub fn deliver(&mut self) {
        let _ = self.core.take_progress();
        for (ticket, reply) in self.core.take_replies() {
            let delay = self.latency();
            let now = self.now;
            if let Some(number) = self.tickets.remove(&ticket)
                && let Some(member) = self.members.get_mut(&number)
            {
                member.reply(ticket, reply, now + delay);
            }
        }
    }

    /// How long a message takes.
    pub fn latency(&mut self) -> Micros {
        let network = self.network;
        if self.chance.parts_per_million(network.slow_ppm) {
            self.chance.between(50 * MS, network.slowest)
        } else {
            self.chance.between(200, 3 * MS)
        }
    }

    /// Whether a message is lost.
    pub fn loses(&mut self) -> bool {
        let parts = self.network.lost_ppm;
        self.chance.parts_per_million(parts)
    }

    /// No more faults.
    pub fn calm_down(&mut self) {
        self.network = Network { marker_delay_ms: self.network.marker_delay_ms, ..Network::default() };
        self.provider.is_fair = true;
        for machine in &mut self.machines {
            machine.armed = None;
        }
        for redis in self.redis.values_mut() {
            redis.calm_down();
        }
        self.tell(|| "the faults stop".to_owned());
    }
}

/// A reply that somebody waits for.
pub type Reply = (Ticket, GroupReply);
