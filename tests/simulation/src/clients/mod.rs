//! The port's clients, in virtual time: every call that waits suspends its process into the scheduler.

pub mod member;
mod producer;
mod reader;

use std::sync::MutexGuard;
use std::time::Duration;

use corosensei::Yielder;
use domain::BootTime;
use kafka::KafkaFailure;
use kafka::port::{ClientError, Clients, Reading};

use crate::broken::Broken;
use crate::plan::{Coordinator, Point};
use crate::world::{MS, Micros, ProcessId, Shared, World};

pub use member::GroupMember;
pub use producer::TransactionalProducer;
pub(crate) use producer::due_of;
pub use reader::LogReader;

/// A process's hold on the world: how it looks at it, and how it waits.
#[derive(Clone)]
pub struct Handle<'y> {
    shared: Shared,
    yielder: &'y Yielder<(), Micros>,
    /// Whose.
    pub process: ProcessId,
}

impl<'y> Handle<'y> {
    /// Of a process that runs on this coroutine.
    pub fn new(shared: &Shared, yielder: &'y Yielder<(), Micros>, process: ProcessId) -> Self {
        Self { shared: shared.clone(), yielder, process }
    }

    /// The world, as of now. Not to be held while the process sleeps.
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.shared.lock()
    }

    /// The process does nothing for so long: anything may happen meanwhile, its death too.
    pub fn sleep(&self, duration: Micros) {
        let until = self.world().now + duration.max(1);
        self.yielder.suspend(until);
    }

    /// The same, for a time that the world draws.
    pub fn sleep_drawn(&self, draw: impl FnOnce(&mut World) -> Micros) {
        let duration = draw(&mut self.world());
        self.sleep(duration);
    }

    /// The process comes to a point at which something may strike it.
    pub(crate) fn reach(&self, point: Point) {
        if self.world().comes_to(self.process, point) {
            self.sleep(1);
        }
    }

    /// A request to a coordinator, which may have moved: it is looked for until the time-out.
    pub(crate) fn coordinated<T>(
        &self,
        coordinator: Coordinator,
        timeout: Duration,
        act: impl FnOnce(&mut World) -> T,
    ) -> Result<T, ClientError> {
        let deadline = self.world().now + micros(timeout);
        while !self.world().coordinates(coordinator) {
            if self.world().now >= deadline {
                return Err(ClientError::timed_out());
            }
            self.sleep(100 * MS);
        }
        self.request(timeout, act)
    }

    /// By how much the machine's wall clock is off.
    pub(crate) fn clock_offset_ms(&self) -> i64 {
        self.world().machines[self.process].clock_offset_ms
    }

    pub(crate) fn is_broken(&self, how: Broken) -> bool {
        self.world().broken == Some(how)
    }

    /// A request and its answer, each of which takes its time and may be lost; then the client waits until its time-out.
    pub(crate) fn request<T>(&self, timeout: Duration, act: impl FnOnce(&mut World) -> T) -> Result<T, ClientError> {
        let (asked_at, lost) = {
            let mut world = self.world();
            (world.now, world.loses())
        };
        let deadline = asked_at + micros(timeout);
        self.sleep_drawn(World::latency);
        let answer = {
            let mut world = self.world();
            let answers = world.broker_answers() && !lost;
            answers.then(|| {
                let answer = act(&mut world);
                world.deliver();
                (answer, world.loses())
            })
        };
        if let Some((answer, false)) = answer {
            self.sleep_drawn(World::latency);
            Ok(answer)
        } else {
            let now = self.world().now;
            self.sleep(deadline.saturating_sub(now).max(MS));
            Err(ClientError::timed_out())
        }
    }
}

pub(crate) fn micros(duration: Duration) -> Micros {
    duration.as_micros() as Micros
}

/// Makes the clients of a process.
pub struct SimulatedClients<'y> {
    handle: Handle<'y>,
    /// How long its transactions may be open, in milliseconds.
    transaction_timeout_ms: i64,
    session_timeout_ms: i64,
}

impl std::fmt::Debug for SimulatedClients<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimulatedClients").field("process", &self.handle.process).finish_non_exhaustive()
    }
}

impl<'y> SimulatedClients<'y> {
    /// Of a process.
    pub fn new(handle: Handle<'y>, cluster: &kafka::Cluster) -> Self {
        Self {
            handle,
            transaction_timeout_ms: cluster.transaction_timeout.as_millis() as i64,
            session_timeout_ms: cluster.session_timeout.as_millis() as i64,
        }
    }
}

impl<'y> Clients for SimulatedClients<'y> {
    type Member = GroupMember<'y>;
    type Reader = LogReader<'y>;
    type Producer = TransactionalProducer<'y>;

    fn member(&self, group_id: &str, slot_id: &str, primary: &str) -> Result<GroupMember<'y>, KafkaFailure> {
        Ok(GroupMember::new(self.handle.clone(), group_id, slot_id, primary, self.session_timeout_ms))
    }

    fn reader(&self, _client_id: &str, reading: Reading) -> Result<LogReader<'y>, KafkaFailure> {
        Ok(LogReader::new(self.handle.clone(), reading))
    }

    fn producer(&self, transactional_id: &str) -> Result<TransactionalProducer<'y>, KafkaFailure> {
        Ok(TransactionalProducer::new(self.handle.clone(), transactional_id, self.transaction_timeout_ms))
    }

    fn now_ms(&self) -> i64 {
        let world = self.handle.world();
        world.now_ms() + world.machines[self.handle.process].clock_offset_ms
    }

    fn boot_time(&self) -> BootTime {
        BootTime::after_start(Duration::from_micros(self.handle.world().now))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_micros(self.handle.world().now)
    }

    fn pause(&self, duration: Duration) {
        self.handle.sleep(micros(duration));
    }

    fn unique_name(&self) -> String {
        if self.handle.is_broken(Broken::SharesAGeneration) {
            return "shared".to_owned();
        }
        let mut world = self.handle.world();
        world.names += 1;
        format!("view-{}", world.names)
    }
}
