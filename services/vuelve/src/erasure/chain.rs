//! Waiting until what was asked for has gone through all services.

use std::time::Duration;

use kafka::Follower;

use super::REQUESTS;
use super::states::Patience;
use crate::headers;
use crate::hosting::Installation;

/// Who hears of an erasure from whom: each service, and what it reads it in. The resolver is to have read what came before, too.
const CHAIN: [(&str, &[&str]); 4] = [
    ("ingestion", &[REQUESTS, "storefront.received"]),
    ("segmentation", &["storefront.events"]),
    ("journeys", &["customer.events"]),
    ("messaging", &["messaging.requests"]),
];
/// A position that only markers moved is written down every ten seconds. Whoever ends waits for no more than this.
const ONE_SERVICE: Duration = Duration::from_secs(15);

/// Waits until each service has read all that lies before it when it is its turn; says who has not, if it takes too long.
pub(super) fn pass(installation: &Installation, patience: Patience<'_>) -> anyhow::Result<Option<String>> {
    let cluster = &installation.cluster;
    let asker = Follower::new(cluster, &[], patience.timeout)?;
    for (service, inputs) in CHAIN {
        patience.check()?;
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
        let behind = headers::wait_until_all(installation, &[service], ONE_SERVICE, passed)?;
        if !behind.is_empty() {
            return Ok(Some(behind.join(", ")));
        }
    }
    Ok(None)
}
