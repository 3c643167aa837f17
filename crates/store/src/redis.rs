//! The store in Redis.
//!
//! Wanted properties, beside the port's:
//! - every batch is one script that checks generation, log and header before it writes and writes the header last; a script
//!   that Redis broke off midway leaves a mark, and what it left is never read;
//! - a rebuild is counted, so that one whose beginning Redis lost is never switched to;
//! - what a generation leaves behind is dropped, also where a process died in between.

mod check;
mod faults;
mod glance;
mod keys;
mod link;
mod lookups;
mod moves;
mod options;
mod plan;
mod pool;
mod read;
mod rebuild;
mod reply;
mod scripts;
mod store;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use ::redis::Client;
use stream::{Partition, StoreError};

pub use check::CheckReport;
pub use lookups::RedisLookups;
pub use options::{OptionsError, RedisOptions};

use crate::lookups::Acknowledged;
use keys::Keys;
use link::Link;
use rebuild::Progress;

/// A store in Redis: one worker's handle, with a connection of its own. Clones have connections of their own, and share what
/// was acknowledged.
pub struct Redis {
    options: Arc<RedisOptions>,
    client: Client,
    acknowledged: Acknowledged,
    link: Link,
    partitions: HashMap<Partition, Known>,
}

/// What this handle knows of a partition.
struct Known {
    keys: Keys,
    /// The generation seen last, to name the keys of a load; a wrong one is told by the answer.
    generation: Option<String>,
    /// How far this handle's rebuild is.
    rebuild: Option<Progress>,
}

impl Redis {
    /// A store that is not connected yet.
    pub fn new(options: RedisOptions) -> Result<Self, OptionsError> {
        let client = options.client()?;
        let options = Arc::new(options);
        Ok(Self::with(options, client, Acknowledged::default()))
    }

    fn with(options: Arc<RedisOptions>, client: Client, acknowledged: Acknowledged) -> Self {
        let link = Link::new(options.clone(), client.clone());
        Self { options, client, acknowledged, link, partitions: HashMap::new() }
    }

    /// Connects, and says whether this Redis is fit to hold state: an eviction policy other than `noeviction`, an old version,
    /// a cluster or a replica is an error that says what to do.
    pub fn check(&mut self) -> Result<CheckReport, StoreError> {
        self.link.run(check::ask_all).map(check::Facts::report)
    }

    /// How far the writes of this handle and its clones were acknowledged.
    pub fn acknowledged(&self) -> &Acknowledged {
        &self.acknowledged
    }

    /// A handle for lookups, with connections of its own; it compares with what this handle and its clones wrote.
    pub fn lookups(&self) -> RedisLookups {
        RedisLookups::new(self.options.clone(), &self.client, self.acknowledged.clone())
    }

    fn known(&mut self, partition: Partition) -> &mut Known {
        let options = &self.options;
        self.partitions.entry(partition).or_insert_with(|| Known {
            keys: Keys::new(options, partition),
            generation: None,
            rebuild: None,
        })
    }
}

impl Clone for Redis {
    fn clone(&self) -> Self {
        Self::with(self.options.clone(), self.client.clone(), self.acknowledged.clone())
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("options", &self.options).finish_non_exhaustive()
    }
}
