//! Lookups from an async thread: each a glance at the states over one connection, without a script.
//!
//! Wanted properties:
//! - nothing waits longer than one answer may take, a new connection's time included: what can't be told (Redis does not answer,
//!   a view changes all the time or is built anew) is left to the connections that try until their deadline;
//! - while Redis can't be reached, not every lookup waits for a connection to it;
//! - no connection is used to a Redis that may evict what it was given.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, Client, Value};
use stream::{Key, LoadRequest, Loaded, Partition};

use super::check;
use super::link::{Deadline, Failure, fit, with_password};
use super::pool::{InOrder, Pool, by_partition};
use super::read::{AtAGlance, GLANCES, Reading};
use crate::lookups::{Acknowledged, Glance, Looked, is_behind};

/// So long after a view was looked at it is not looked at before the states are. A view that is written to moves every hundred
/// milliseconds or so: after much longer it would have gone on, and the states would have to be read once more.
const JUST_NOW: Duration = Duration::from_millis(10);

/// A connection, made when it is first needed.
pub(super) struct RedisGlance {
    /// What else reads for lookups.
    pool: Arc<Pool>,
    client: Client,
    acknowledged: Acknowledged,
    connection: Option<MultiplexedConnection>,
    /// What views said of themselves over this connection, and until when that counts as just now.
    said: HashMap<Partition, (Value, Deadline)>,
    /// Before then no new connection is tried.
    not_before: Option<Deadline>,
}

impl RedisGlance {
    pub(super) fn new(pool: Arc<Pool>, client: Client, acknowledged: Acknowledged) -> Self {
        Self { pool, client, acknowledged, connection: None, said: HashMap::new(), not_before: None }
    }

    async fn look(&mut self, wanted: &[(Partition, &str)]) -> Vec<Option<Looked>> {
        let requests = by_partition(wanted.iter().map(|(partition, key)| (*partition, Key::from(*key))));
        // Asked before the view is: what is acknowledged while it answers must not make its answer look old.
        let acknowledged = self.acknowledged.all_of(requests.iter().map(|(partition, _)| *partition));
        let asked: Vec<(Partition, &LoadRequest)> =
            requests.iter().map(|(partition, request)| (*partition, request)).collect();
        let mut readings = self.pool.readings(&asked);
        let mut said: Vec<Option<Value>> = asked.iter().map(|(partition, _)| self.just_said(*partition)).collect();
        let limit = self.pool.options.response_timeout;
        let failure = match tokio::time::timeout(limit, self.ask(&mut readings, &mut said)).await {
            Ok(Ok(mut loaded)) => {
                for ((partition, _), said) in asked.iter().zip(said) {
                    self.said.extend(said.map(|said| (*partition, (said, Deadline::after(JUST_NOW)))));
                }
                self.pool.keep(&asked, readings);
                for (loaded, known) in loaded.iter_mut().zip(&acknowledged) {
                    loaded.take_if(|loaded| is_behind(&loaded.position, known.as_ref()));
                }
                let mut found = InOrder::new(&requests, loaded);
                return wanted.iter().map(|(partition, _)| found.next(*partition)).collect();
            }
            Ok(Err(failure)) => failure.to_string(),
            Err(_) => format!("no answer within {limit:?}"),
        };
        tracing::debug!(failure, "the state store could not be read at a glance");
        // The next glance is over a new connection, but not at once.
        self.connection = None;
        self.said.clear();
        self.not_before = Some(Deadline::after(self.pool.options.longest_pause));
        wanted.iter().map(|_| None).collect()
    }

    /// What the view of a partition said of itself just now.
    fn just_said(&mut self, partition: Partition) -> Option<Value> {
        let (said, until) = self.said.remove(&partition)?;
        (!until.left().is_zero()).then_some(said)
    }

    async fn ask(
        &mut self,
        readings: &mut [Reading<'_, LoadRequest>],
        said: &mut [Option<Value>],
    ) -> Result<Vec<Option<Loaded>>, Failure> {
        let mut told: Vec<Option<Loaded>> = readings.iter().map(|_| None).collect();
        if self.not_before.as_ref().is_some_and(|pause| !pause.left().is_zero()) {
            return Ok(told);
        }
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(connect(&self.pool, &self.client).await?),
        };
        for _ in 0..GLANCES {
            let Some(glance) = AtAGlance::new(readings, said, &told) else { break };
            let commands = glance.commands();
            let answers = connection.send_packed_commands(commands, 0, commands.len()).await?;
            let answers = answers.into_iter().map(Value::extract_error).collect::<Result<_, _>>()?;
            glance.tell(readings, answers, said, &mut told)?;
        }
        Ok(told)
    }
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
