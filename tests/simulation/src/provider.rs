//! Who sends the messages: it notes what it was told to send, may refuse, and may lose its answer. And the shell that tells it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::{BootTime, Timestamp};
use kafka::{Act, Done, Shell};
use messaging::{Attempt, Completion, Email, Messaging, Refusal, RefusalKind};

use crate::broken::Broken;
use crate::wishes::BOUNCING;
use crate::world::{MS, ProcessId, SECOND, Shared, World};

/// A claim that is older is dropped.
const CLAIM_DEADLINE: Duration = Duration::from_secs(2);
/// A process has so many connections.
const CONNECTIONS: usize = 4;

/// What it says of an address that does not exist.
pub const NO_SUCH_ADDRESS: &str = "550 5.1.1";

/// What the provider has seen.
#[derive(Clone, Debug, Default)]
pub struct Provider {
    /// How often it took each message.
    pub taken: BTreeMap<String, u32>,
    /// How often it was asked under each claim.
    pub asked: BTreeMap<String, u32>,
    /// It refuses nothing and loses nothing.
    pub is_fair: bool,
    /// Time leaps by hours in less than a second: who sends is so far behind it, or most of what is asked for would have expired.
    pub behind_ms: i64,
}

impl World {
    /// A message arrives at the provider. Says how the shell hears of it.
    fn take_message(&mut self, email: &Email) -> Attempt {
        *self.provider.asked.entry(email.claim.to_string()).or_default() += 1;
        if email.customer_id.as_ref() == BOUNCING {
            return Attempt::Refused(Refusal { kind: RefusalKind::NoSuchAddress, reason: NO_SUCH_ADDRESS.to_owned() });
        }
        let drawn = if self.provider.is_fair { 100 } else { self.chance.below(100) };
        if drawn < 8 {
            return Attempt::Refused(Refusal { kind: RefusalKind::Temporary, reason: "451".to_owned() });
        }
        let taken = drawn >= 10;
        if taken {
            *self.provider.taken.entry(email.message_id.clone()).or_default() += 1;
        }
        let id = &email.message_id;
        self.trace_message(id, taken);
        if drawn < 18 { Attempt::Uncertain("no_answer".to_owned()) } else { Attempt::Sent }
    }

    fn trace_message(&mut self, id: &str, taken: bool) {
        self.tell(|| format!("the provider {} {id}", if taken { "takes" } else { "loses" }));
    }
}

type Told = Arc<Mutex<VecDeque<Done<Messaging>>>>;

/// Messaging's side effects, of one process.
pub struct SimulatedShell {
    shared: Shared,
    process: ProcessId,
    told: Told,
}

impl SimulatedShell {
    /// Of a process.
    pub fn new(shared: &Shared, process: ProcessId) -> Self {
        Self { shared: shared.clone(), process, told: Told::default() }
    }
}

impl Shell<Messaging> for SimulatedShell {
    fn capacity(&self) -> usize {
        CONNECTIONS
    }

    fn perform(&mut self, act: Act<Messaging>) {
        let mut world = self.shared.lock();
        let (partition, key, claim) = (act.partition, act.key.clone(), act.claim.clone());
        let (process, told) = (self.process, Arc::clone(&self.told));
        let finish = move |world: &World, attempt| {
            let at = Timestamp::from_millis(world.wall_ms());
            let done = Done { partition, key, claim, completion: Completion::new(at, attempt) };
            told.lock().unwrap_or_else(PoisonError::into_inner).push_back(done);
        };
        let begins = world.chance.between(100, 3 * MS);
        world.after(begins, move |world| begin(world, act, process, 1, Box::new(finish)));
    }

    fn done(&mut self) -> Option<Done<Messaging>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

type Finish = Box<dyn FnOnce(&World, Attempt) + Send>;

/// The task runs when its process does: it may find its claim too old.
fn begin(world: &mut World, act: Act<Messaging>, process: ProcessId, tries: u32, finish: Finish) {
    let frozen = world.machines[process].paused_until.saturating_sub(world.now);
    if frozen > 0 {
        return world.after(frozen, move |world| begin(world, act, process, tries, finish));
    }
    let present = BootTime::after_start(Duration::from_micros(world.now));
    if present.since(act.claimed_at) >= CLAIM_DEADLINE && tries == 1 {
        return finish(world, Attempt::Dropped);
    }
    if Timestamp::from_millis(world.wall_ms() - world.provider.behind_ms) >= act.action.expires_at {
        return finish(world, Attempt::Expired);
    }
    let there = world.latency().min(SECOND / 2);
    world.after(there, move |world| {
        let attempt = world.take_message(&act.action);
        let again = matches!(attempt, Attempt::Uncertain(_)) && tries == 1;
        if again && world.broken == Some(Broken::ReusesAClaim) {
            return begin(world, act, process, 2, finish);
        }
        let back = world.latency().min(SECOND / 2);
        world.after(back, move |world| finish(world, attempt));
    });
}
