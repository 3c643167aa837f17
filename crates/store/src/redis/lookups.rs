//! Lookups in Redis: a few connections, each used by one lookup at a time.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use ::redis::Client;
use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use stream::{Key, LoadRequest, Partition, StoreError, StorePosition};

use super::keys::Keys;
use super::link::{Deadline, Link};
use super::options::RedisOptions;
use super::read;
use crate::lookups::{Acknowledged, LookupError, Lookups, is_behind};

/// Lookups in [`super::Redis`]. Clones share the connections.
#[derive(Clone)]
pub struct RedisLookups {
    pool: Arc<Pool>,
    acknowledged: Acknowledged,
}

struct Pool {
    options: Arc<RedisOptions>,
    idle: Mutex<Vec<Link>>,
    returned: Condvar,
    /// The generations seen last: a guess that saves a round trip.
    generations: Mutex<HashMap<Partition, String>>,
}

impl RedisLookups {
    pub(super) fn new(options: Arc<RedisOptions>, client: &Client, acknowledged: Acknowledged) -> Self {
        let links = (0..options.lookup_connections).map(|_| Link::new(options.clone(), client.clone()));
        let idle = Mutex::new(links.collect());
        Self {
            pool: Arc::new(Pool { options, idle, returned: Condvar::new(), generations: Mutex::default() }),
            acknowledged,
        }
    }
}

impl Pool {
    /// Calls with a connection of the pool, once one is free.
    fn with<T>(&self, call: impl FnOnce(&mut Link) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let deadline = Deadline::after(self.options.deadline);
        let mut idle = self.idle.lock();
        let mut link = loop {
            if let Some(link) = idle.pop() {
                break link;
            }
            if self.returned.wait_for(&mut idle, deadline.left()).timed_out() && idle.is_empty() {
                return Err(StoreError::Unavailable(format!(
                    "all {} connections for lookups are in use",
                    self.options.lookup_connections
                )));
            }
        };
        drop(idle);
        let answer = call(&mut link);
        self.idle.lock().push(link);
        self.returned.notify_one();
        answer
    }
}

impl Lookups for RedisLookups {
    fn get(&self, partition: Partition, key: &str) -> Result<Option<(StorePosition, Bytes)>, LookupError> {
        let keys = Keys::new(&self.pool.options.prefix, &self.pool.options.service, partition);
        let request = LoadRequest { keys: vec![Key::from(key)], due: None };
        // Asked before the view is: what is acknowledged while it answers must not make its answer look old.
        let acknowledged = self.acknowledged.of(partition);
        let mut generation = self.pool.generations.lock().get(&partition).cloned();
        let loaded = self
            .pool
            .with(|link| link.run(|connection| read::load(&keys, &mut generation, &request, connection)))?
            .ok_or(LookupError::Restoring(partition))?;
        if let Some(generation) = generation {
            self.pool.generations.lock().insert(partition, generation);
        }
        if is_behind(&loaded.position, acknowledged.as_ref()) {
            return Err(LookupError::Restoring(partition));
        }
        let value = loaded.states.into_iter().next().flatten();
        Ok(value.map(|value| (loaded.position, value)))
    }
}

impl fmt::Debug for RedisLookups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisLookups").field("options", &self.pool.options).finish_non_exhaustive()
    }
}
