//! Lookups from an async thread: each a glance at the states over one connection, without a script.
//!
//! Wanted properties:
//! - nothing is tried twice and nothing waits longer than one answer may take, a new connection's time included: what can't be
//!   told (Redis does not answer, a view changes or is built anew, its generation is not known) is left to the connections that
//!   try until their deadline;
//! - while Redis can't be reached, not every lookup waits for a connection to it;
//! - no connection is used to a Redis that may evict what it was given.

use std::pin::Pin;
use std::sync::Arc;

use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, Client, Value};
use stream::{Key, LoadRequest, Loaded, Partition, StorePosition};

use super::check;
use super::link::{Deadline, Failure, fit, with_password};
use super::pool::{InOrder, Pool, by_partition};
use super::read::{AtAGlance, Reading};
use crate::lookups::{Acknowledged, Glance, Looked, is_behind};

/// A connection, made when it is first needed.
pub(super) struct RedisGlance {
    /// What else reads for lookups.
    pool: Arc<Pool>,
    client: Client,
    acknowledged: Acknowledged,
    connection: Option<MultiplexedConnection>,
    /// Before then no new connection is tried.
    not_before: Option<Deadline>,
}

impl RedisGlance {
    pub(super) const fn new(pool: Arc<Pool>, client: Client, acknowledged: Acknowledged) -> Self {
        Self { pool, client, acknowledged, connection: None, not_before: None }
    }

    async fn look(&mut self, wanted: &[(Partition, &str)]) -> Vec<Option<Looked>> {
        // Asked before the view is: what is acknowledged while it answers must not make its answer look old.
        let acknowledged = self.acknowledged.all_of(wanted.iter().map(|(partition, _)| *partition));
        let requests = by_partition(wanted.iter().map(|(partition, key)| (*partition, Key::from(*key))));
        let asked: Vec<(Partition, &LoadRequest)> =
            requests.iter().map(|(partition, request)| (*partition, request)).collect();
        let readings = self.pool.readings(&asked);
        let limit = self.pool.options.response_timeout;
        let failure = match tokio::time::timeout(limit, self.ask(&readings)).await {
            Ok(Ok(loaded)) => return told(wanted, &acknowledged, &requests, loaded),
            Ok(Err(failure)) => failure.to_string(),
            Err(_) => format!("no answer within {limit:?}"),
        };
        tracing::debug!(failure, "the state store could not be read at a glance");
        // The next glance is over a new connection, but not at once.
        self.connection = None;
        self.not_before = Some(Deadline::after(self.pool.options.longest_pause));
        wanted.iter().map(|_| None).collect()
    }

    async fn ask(&mut self, readings: &[Reading<'_, LoadRequest>]) -> Result<Vec<Option<Loaded>>, Failure> {
        let glance = AtAGlance::new(readings);
        let commands = glance.commands();
        if commands.is_empty() || self.not_before.as_ref().is_some_and(|pause| !pause.left().is_zero()) {
            return Ok(readings.iter().map(|_| None).collect());
        }
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(connect(&self.pool, &self.client).await?),
        };
        let answers = connection.send_packed_commands(commands, 0, commands.len()).await?;
        let answers = answers.into_iter().map(Value::extract_error).collect::<Result<_, _>>()?;
        Ok(glance.tell(readings, answers)?)
    }
}

/// What was read, in the order in which it was wanted.
fn told(
    wanted: &[(Partition, &str)],
    acknowledged: &[Option<StorePosition>],
    requests: &[(Partition, LoadRequest)],
    loaded: Vec<Option<Loaded>>,
) -> Vec<Option<Looked>> {
    let mut found = InOrder::new(requests, loaded);
    let looked = |((partition, _), known): (&(Partition, &str), &Option<StorePosition>)| {
        let (position, value) = found.next(*partition)?;
        (!is_behind(&position, known.as_ref())).then_some(Looked { position, value })
    };
    wanted.iter().zip(acknowledged).map(looked).collect()
}

impl Glance for RedisGlance {
    fn get_all<'a>(
        &'a mut self,
        wanted: &'a [(Partition, &'a str)],
    ) -> Pin<Box<dyn Future<Output = Vec<Option<Looked>>> + Send + 'a>> {
        Box::pin(self.look(wanted))
    }
}

async fn connect(pool: &Pool, client: &Client) -> Result<MultiplexedConnection, Failure> {
    let options = &pool.options;
    // Whoever asks waits no longer than one answer may take, this included.
    let config =
        AsyncConnectionConfig::new().set_connection_timeout(Some(options.connect_timeout)).set_response_timeout(None);
    let client = with_password(options, client).map_err(Failure::Store)?;
    let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
    let info: String = ::redis::cmd("INFO").query_async(&mut connection).await?;
    fit(&check::read(&info))?;
    Ok(connection)
}
