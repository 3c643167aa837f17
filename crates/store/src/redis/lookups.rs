//! Lookups in Redis.

use std::fmt;
use std::sync::Arc;

use ::redis::Client;
use stream::{Key, Partition};

use super::glance::RedisGlance;
use super::options::RedisOptions;
use super::pool::Pool;
use crate::limits;
use crate::lookups::{Acknowledged, Glance, Looked, LookupError, Lookups, Members, MembersQuery, is_behind};

/// Lookups in [`super::Redis`]. Clones share the connections.
#[derive(Clone)]
pub struct RedisLookups {
    pool: Arc<Pool>,
    client: Client,
    acknowledged: Acknowledged,
}

impl RedisLookups {
    pub(super) fn new(options: Arc<RedisOptions>, client: &Client, acknowledged: Acknowledged) -> Self {
        Self { pool: Arc::new(Pool::new(options, client)), client: client.clone(), acknowledged }
    }
}

impl Lookups for RedisLookups {
    fn get_all(&self, wanted: &[(Partition, &str)]) -> Result<Vec<Looked>, LookupError> {
        limits::check_lookup(wanted)?;
        // Asked before the view is: what is acknowledged while it answers must not make its answer look old.
        let acknowledged = self.acknowledged.all_of(wanted.iter().map(|(partition, _)| *partition));
        let keys = wanted.iter().map(|(partition, key)| (*partition, Key::from(*key))).collect();
        let found = self.pool.states(keys)?;
        let mut answers = Vec::with_capacity(wanted.len());
        for ((found, known), (partition, _)) in found.into_iter().zip(&acknowledged).zip(wanted) {
            match found {
                Some(looked) if !is_behind(&looked.position, known.as_ref()) => answers.push(looked),
                _ => return Err(LookupError::Restoring(*partition)),
            }
        }
        Ok(answers)
    }

    fn members(&self, asked: &[(Partition, MembersQuery)]) -> Result<Vec<Members>, LookupError> {
        limits::check_members(asked)?;
        let acknowledged = self.acknowledged.all_of(asked.iter().map(|(partition, _)| *partition));
        let found = self.pool.members(asked.to_vec())?;
        let mut answers = Vec::with_capacity(asked.len());
        for ((found, known), (partition, _)) in found.into_iter().zip(&acknowledged).zip(asked) {
            let members = found.filter(|members| !is_behind(&members.position, known.as_ref()));
            answers.push(members.ok_or(LookupError::Restoring(*partition))?);
        }
        Ok(answers)
    }

    fn glance(&self) -> Option<Box<dyn Glance>> {
        Some(Box::new(RedisGlance::new(Arc::clone(&self.pool), self.client.clone(), self.acknowledged.clone())))
    }
}

impl fmt::Debug for RedisLookups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisLookups").field("options", &self.pool.options).finish_non_exhaustive()
    }
}
