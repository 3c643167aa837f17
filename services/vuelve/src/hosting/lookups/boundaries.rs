//! The boundaries of quintiles that are in force, for lookups: their topic, followed.
//!
//! Wanted properties:
//! - before the first lookup is answered, what was published until then is known;
//! - what can't be read changes nothing, as for the workers; what was heard before is not heard again, so no older boundaries
//!   come back where the topic is read anew.

use std::sync::Arc;
use std::time::Duration;

use kafka::Follower;
use parking_lot::RwLock;
use runtime::host::{Host, StopToken};
use segmentation::Boundaries;

use crate::hosting::Installation;
use crate::quintiles::{DATASET, Published};

/// How often it is looked whether the process ends.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// After a failure: the broker or the registry may be back then.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The boundaries in force. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct InForce(Arc<RwLock<Option<Arc<Boundaries>>>>);

impl InForce {
    /// Reads what is published, and follows what will be from now on in a thread of the host.
    pub(super) async fn follow(
        host: &mut Host,
        installation: &Installation,
        timeout: Duration,
    ) -> anyhow::Result<Self> {
        let place = installation.clone();
        let published = tokio::task::spawn_blocking(move || Published::read(&place, timeout)).await??;
        let this = Self::default();
        let heard = published.as_ref().map_or(-1, |published| published.offset);
        this.set(published.as_ref());
        let (in_force, installation) = (this.clone(), installation.clone());
        host.thread("boundaries for lookups", move |stop| {
            let mut following = Following { in_force, installation, timeout, published, heard };
            while let Err(error) = following.run(&stop) {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "the boundaries of quintiles are not followed; trying again"
                );
                if stop.wait_timeout(AGAIN_AFTER) {
                    break;
                }
            }
            Ok(())
        });
        Ok(this)
    }

    /// Those of now.
    pub(super) fn now(&self) -> Option<Arc<Boundaries>> {
        self.0.read().clone()
    }

    fn set(&self, published: Option<&Published>) {
        *self.0.write() = published.map(|published| Arc::new(published.boundaries.clone()));
    }
}

struct Following {
    in_force: InForce,
    installation: Installation,
    timeout: Duration,
    published: Option<Published>,
    /// The offset of the last record that was heard.
    heard: i64,
}

impl Following {
    /// Until it is asked to stop.
    fn run(&mut self, stop: &StopToken) -> anyhow::Result<()> {
        let cluster = &self.installation.cluster;
        let follower = Follower::new(cluster, &[cluster.topic(DATASET)], self.timeout)?;
        while !stop.is_stopped() {
            let Some(record) = follower.next(LOOK_EVERY)? else { continue };
            if record.offset <= self.heard {
                continue;
            }
            Published::hear(&mut self.published, &self.installation, &record)?;
            self.in_force.set(self.published.as_ref());
            self.heard = record.offset;
        }
        Ok(())
    }
}
