//! What all connections share: the core behind one lock, who waits for what, the clock.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::clock::Clock;
use crate::core::Core;
use crate::core::groups::{GroupReply, Step, Ticket};
use crate::core::topics::TopicPartition;

/// Bounds of the wire shell.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WireLimits {
    pub(crate) request_bytes: usize,
    pub(crate) fetch_bytes: usize,
    pub(crate) connections: usize,
}

/// Everything behind the one lock.
struct State {
    core: Core,
    waiting: HashMap<Ticket, oneshot::Sender<GroupReply>>,
    readers: HashMap<TopicPartition, Vec<Arc<Notify>>>,
}

/// What all connections share.
pub(crate) struct Shared {
    state: Mutex<State>,
    clock: Clock,
    /// Rung when memory may have become free.
    pub(crate) room: Notify,
    pub(crate) limits: WireLimits,
    /// What clients are told to connect to.
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) cluster_id: String,
}

impl Shared {
    pub(crate) fn new(core: Core, limits: WireLimits, host: String, port: u16, cluster_id: String) -> Self {
        let state = State { core, waiting: HashMap::new(), readers: HashMap::new() };
        let (clock, room) = (Clock::default(), Notify::new());
        Self { state: Mutex::new(state), clock, room, limits, host, port, cluster_id }
    }

    /// Calls the core with the present time, then wakes whoever waited for what changed.
    pub(crate) fn with_core<T>(&self, call: impl FnOnce(&mut Core, i64) -> T) -> T {
        let mut state = self.state.lock();
        let used_before = state.core.used_bytes();
        let result = call(&mut state.core, self.clock.now_ms());
        state.settle();
        if state.core.used_bytes() < used_before {
            self.room.notify_waiters();
        }
        result
    }

    /// Calls the core with a request that may have to wait for other members; the channel then brings the reply.
    pub(crate) fn with_core_step<T>(
        &self,
        call: impl FnOnce(&mut Core, i64) -> Step<T>,
    ) -> Result<T, oneshot::Receiver<GroupReply>> {
        let mut state = self.state.lock();
        let outcome = match call(&mut state.core, self.clock.now_ms()) {
            Step::Done(reply) => Ok(reply),
            Step::Wait(ticket) => {
                let (sender, receiver) = oneshot::channel();
                state.waiting.insert(ticket, sender);
                Err(receiver)
            }
        };
        state.settle();
        outcome
    }

    /// Reads if `due` says so; else the bell rings when one of the partitions has more to show.
    pub(crate) fn read_or_watch<T>(
        &self,
        partitions: &[TopicPartition],
        bell: &Arc<Notify>,
        read: impl FnOnce(&Core) -> Option<T>,
    ) -> Option<T> {
        let mut state = self.state.lock();
        let result = read(&state.core);
        if result.is_none() {
            for at in partitions {
                state.readers.entry(at.clone()).or_default().push(Arc::clone(bell));
            }
        }
        result
    }

    /// The bell is not needed any more.
    pub(crate) fn unwatch(&self, partitions: &[TopicPartition], bell: &Arc<Notify>) {
        let mut state = self.state.lock();
        for at in partitions {
            if let Some(bells) = state.readers.get_mut(at) {
                bells.retain(|other| !Arc::ptr_eq(other, bell));
                if bells.is_empty() {
                    state.readers.remove(at);
                }
            }
        }
    }
}

impl State {
    fn settle(&mut self) {
        for (ticket, reply) in self.core.take_replies() {
            if let Some(waiting) = self.waiting.remove(&ticket) {
                // Who hung up gets nothing; its session ends by itself.
                drop(waiting.send(reply));
            }
        }
        for at in self.core.take_progress() {
            for bell in self.readers.remove(&at).unwrap_or_default() {
                bell.notify_one();
            }
        }
    }
}
