//! Waiting until what was asked for has gone through all services.

use std::time::Duration;

use kafka::Follower;

use super::REQUESTS;
use crate::headers;
use crate::hosting::Installation;

/// Who hears of an erasure from whom: each service, and what it reads it in. The resolver is to have read what came before, too.
const CHAIN: [(&str, &[&str]); 4] = [
    ("ingestion", &[REQUESTS, "storefront.received"]),
    ("segmentation", &["storefront.events"]),
    ("journeys", &["customer.events"]),
    ("messaging", &["messaging.requests"]),
];
/// A position that only markers moved is written down every ten seconds.
const PATIENCE: Duration = Duration::from_secs(45);

/// Waits until each service has read all that lies before it when it is its turn; says who has not, if it takes too long.
pub(super) fn pass(installation: &Installation, timeout: Duration) -> anyhow::Result<Option<String>> {
    let cluster = &installation.cluster;
    let asker = Follower::new(cluster, &[], timeout)?;
    for (service, inputs) in CHAIN {
        let mut ends = Vec::new();
        for input in inputs {
            ends.push((*input, asker.stable_ends(&cluster.topic(input), cluster.partitions)?));
        }
        let passed = |partition: i32, header: &schemas::ChangelogHeader| {
            ends.iter().all(|(input, ends)| {
                let end = ends.get(partition as usize).copied().unwrap_or_default();
                header.positions.iter().any(|at| at.dataset == *input && at.next_offset >= end)
            })
        };
        let behind = headers::wait_until_all(installation, &[service], PATIENCE, passed)?;
        if !behind.is_empty() {
            return Ok(Some(behind.join(", ")));
        }
    }
    Ok(None)
}
