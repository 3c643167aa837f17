//! One connection that comes back: each call is tried until its deadline, over lost connections and restarts of Redis.
//!
//! Wanted properties:
//! - a call ends: by an answer, by an error that trying again would not mend, or by its deadline;
//! - whatever is sent may be sent twice (an answer can be lost), so only calls that allow it go this way;
//! - no connection is used to a Redis that may evict what it was given.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ::redis::{Client, Connection, ErrorKind, RedisError, RedisResult};
use stream::StoreError;

use super::check::{self, Facts};
use super::faults::{Fault, judge};
use super::options::{RedisOptions, without_secrets};
use super::scripts;

/// A connection, made when it is first needed.
pub(super) struct Link {
    options: Arc<RedisOptions>,
    client: Client,
    connection: Option<Connection>,
}

/// Why an attempt has no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Redis(#[from] RedisError),
    #[error(transparent)]
    Store(StoreError),
}

impl Link {
    pub(super) fn new(options: Arc<RedisOptions>, client: Client) -> Self {
        Self { options, client, connection: None }
    }

    /// Calls until there is an answer, at most until the deadline.
    pub(super) fn run<T>(&mut self, mut call: impl FnMut(&mut Connection) -> RedisResult<T>) -> Result<T, StoreError> {
        let deadline = Deadline::after(self.options.deadline);
        let mut pause = self.options.first_pause;
        let mut attempts = 0_u32;
        loop {
            attempts += 1;
            let failure = match self.attempt(&deadline, &mut call) {
                Ok(answer) => {
                    if attempts > 1 {
                        tracing::info!(attempts, "the state store answers again");
                    }
                    return Ok(answer);
                }
                Err(failure) => failure,
            };
            let error = match failure {
                Failure::Store(error) => return Err(error),
                Failure::Redis(error) => error,
            };
            match judge(&error) {
                Fault::Final(error) => return Err(error),
                Fault::Busy => {}
                // What is to be taught again is taught with a new connection.
                Fault::Connection | Fault::Untaught => self.connection = None,
            }
            if deadline.left() <= pause {
                let place = without_secrets(&self.options.url);
                return Err(StoreError::Unavailable(format!(
                    "Redis at {place} did not answer within {:?}, after {attempts} attempts; the last error: {error}",
                    self.options.deadline
                )));
            }
            if attempts == 1 {
                tracing::warn!(%error, "the state store does not answer; trying again");
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(self.options.longest_pause);
        }
    }

    fn attempt<T>(
        &mut self,
        deadline: &Deadline,
        call: &mut impl FnMut(&mut Connection) -> RedisResult<T>,
    ) -> Result<T, Failure> {
        let left = deadline.left().max(Duration::from_millis(1));
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(connect(&self.options, &self.client, left)?),
        };
        let limit = Some(self.options.response_timeout.min(left));
        connection.set_read_timeout(limit)?;
        connection.set_write_timeout(limit)?;
        Ok(call(connection)?)
    }
}

fn connect(options: &RedisOptions, client: &Client, left: Duration) -> Result<Connection, Failure> {
    let timeout = options.connect_timeout.min(left);
    let client = with_password(options, client).map_err(Failure::Store)?;
    let mut connection = client.get_connection_with_timeout(timeout)?;
    connection.set_read_timeout(Some(timeout))?;
    connection.set_write_timeout(Some(timeout))?;
    let facts = check::ask(&mut connection)?;
    fit(&facts)?;
    scripts::teach(&mut connection)?;
    Ok(connection)
}

/// Whether this Redis may be used now.
pub(super) fn fit(facts: &Facts) -> Result<(), Failure> {
    facts.judge().map_err(Failure::Store)?;
    if facts.is_replica() {
        let replica =
            (ErrorKind::Io, "it is a replica, which takes no writes: if it stays one, give the primary's address");
        return Err(Failure::Redis(replica.into()));
    }
    Ok(())
}

/// The client with the password that its file holds now.
pub(super) fn with_password(options: &RedisOptions, client: &Client) -> Result<Client, StoreError> {
    let Some(file) = &options.password_file else { return Ok(client.clone()) };
    let place = file.display();
    let password = std::fs::read_to_string(file)
        .map_err(|error| StoreError::Unusable(format!("the Redis password file {place} can't be read: {error}")))?;
    let password = password.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err(StoreError::Unusable(format!("the Redis password file {place} is empty")));
    }
    let info = client.get_connection_info().clone();
    let redis = info.redis_settings().clone().set_password(password);
    Client::open(info.set_redis_settings(redis))
        .map_err(|_| StoreError::Unusable(format!("no Redis client can be made with the password in {place}")))
}

/// When a call has to end. The one place here that asks for the time.
pub(super) struct Deadline(Instant);

impl Deadline {
    pub(super) fn after(duration: Duration) -> Self {
        Self(Instant::now() + duration)
    }

    pub(super) fn left(&self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }
}
