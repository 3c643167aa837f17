//! How a client finds its cluster again.
//!
//! Where a cluster says for a moment that it has no brokers (all were fenced, or it is being upgraded), librdkafka gives up all
//! that it knew, and never asks anybody again (2.12, issue 5301): a reader then reads nothing any more, and says nothing.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::Client;
use rdkafka::{ClientConfig, ClientContext};
use serde::Deserialize;

/// How often a client says in what state its brokers are. Only one that is polled all the time: what it says waits for that
/// in memory, without bound.
pub(crate) const STATISTICS_INTERVAL_MS: &str = "5000";
/// So often in a row it says that it turns to no broker, until it is told where they are.
const LOST_AFTER: u32 = 2;
/// First and longest pause between two times that it is told: each time it remembers the list once more.
const PAUSE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_mins(5));

/// Where a client's cluster is, and whether it has lost sight of it.
#[derive(Debug)]
pub(crate) struct Bearings {
    bootstrap_servers: String,
    lost: AtomicU32,
    /// When it was told last, and how long from then on it is not.
    told: Mutex<Option<(Instant, Duration)>>,
}

impl Bearings {
    /// Of a client with this configuration.
    pub(crate) fn of(config: &ClientConfig) -> Self {
        let bootstrap_servers = config.get("bootstrap.servers").unwrap_or_default().to_owned();
        Self { bootstrap_servers, lost: AtomicU32::new(0), told: Mutex::new(None) }
    }

    /// What the client says of itself.
    pub(crate) fn heard(&self, statistics: &[u8]) {
        match turns_to_a_broker(statistics) {
            Ok(true) => {
                if self.lost.swap(0, Ordering::Relaxed) >= LOST_AFTER {
                    self.answered();
                }
            }
            Ok(false) => drop(self.lost.fetch_add(1, Ordering::Relaxed)),
            Err(error) => tracing::debug!(%error, "a client's statistics can't be read"),
        }
    }

    fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed) >= LOST_AFTER
    }

    /// Whether it is time to tell it; the next time is a while away then.
    fn is_to_be_told(&self) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let pause = match *told {
            None => PAUSE.0,
            Some((at, pause)) if at.elapsed() > pause => (pause * 2).min(PAUSE.1),
            Some(_) => return false,
        };
        *told = Some((Instant::now(), pause));
        true
    }

    /// The broker has answered.
    pub(crate) fn answered(&self) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        *told = None;
    }

    /// Tells the client, if it has lost sight of its cluster, where that is. To be called where a client is polled.
    pub(crate) fn find_again<C: ClientContext>(&self, client: &Client<C>) {
        if self.is_lost() {
            self.tell(client);
        }
    }

    /// The same after a question that was not answered, for a client that is seldom polled.
    pub(crate) fn tell<C: ClientContext>(&self, client: &Client<C>) {
        if !self.is_to_be_told() {
            return;
        }
        tracing::info!(bootstrap_servers = self.bootstrap_servers, "a client is told once more where its cluster is");
        if let Err(error) = rebootstrap::add_brokers(client, &self.bootstrap_servers) {
            tracing::warn!(%error, "a client can't be told where its cluster is");
        }
    }
}

/// Whether there is a broker that the client speaks to or tries to reach. Brokers that stand for roles, like a group's
/// coordinator, don't count: they are reached through others.
fn turns_to_a_broker(statistics: &[u8]) -> serde_json::Result<bool> {
    #[derive(Deserialize)]
    struct Statistics {
        #[serde(default)]
        brokers: HashMap<String, Broker>,
    }
    #[derive(Deserialize)]
    struct Broker {
        source: String,
        state: String,
    }
    let statistics: Statistics = serde_json::from_slice(statistics)?;
    let mut brokers = statistics.brokers.values();
    Ok(brokers.any(|broker| {
        matches!(broker.source.as_str(), "learned" | "configured") && !matches!(broker.state.as_str(), "INIT" | "DOWN")
    }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by it")]
mod tests {
    use super::*;

    fn says(brokers: &str) -> Vec<u8> {
        format!(r#"{{"name":"a","client_id":"a","brokers":{{{brokers}}},"topics":{{}}}}"#).into_bytes()
    }

    const COORDINATOR: &str =
        r#""GroupCoordinator":{"name":"GroupCoordinator","nodeid":1,"source":"logical","state":"UP"}"#;

    #[test]
    fn who_twice_in_a_row_turns_to_no_broker_is_told_where_they_are_and_not_again_at_once() {
        let bearings = Bearings::of(ClientConfig::new().set("bootstrap.servers", "a:1,b:2"));
        assert_eq!(bearings.bootstrap_servers, "a:1,b:2");
        let given_up = r#""a:1/1":{"name":"a:1/1","nodeid":1,"source":"learned","state":"INIT","rtt":{"avg":0}}"#;
        let away = given_up.replace("INIT", "TRY_CONNECT");
        for lost in [String::new(), COORDINATOR.to_owned(), format!("{given_up},{COORDINATOR}")] {
            bearings.heard(&says(&away));
            assert!(!bearings.is_lost());
            bearings.heard(&says(&lost));
            assert!(!bearings.is_lost(), "{lost}");
            bearings.heard(&says(&lost));
            assert!(bearings.is_lost(), "{lost}");
            bearings.heard(&says(&given_up.replace("INIT", "UP")));
            assert!(!bearings.is_lost());
        }
        assert!(bearings.is_to_be_told());
        assert!(!bearings.is_to_be_told());
    }

    #[test]
    fn statistics_that_can_not_be_read_change_nothing() {
        let bearings = Bearings::of(&ClientConfig::new());
        bearings.heard(&says(COORDINATOR));
        bearings.heard(b"{\"brokers\":[]}");
        assert!(!bearings.is_lost());
        bearings.heard(&says(COORDINATOR));
        assert!(bearings.is_lost());
    }
}
