//! Learning quintiles again and again, beside the workers of segmentation.
//!
//! Wanted properties:
//! - who finds boundaries that are younger than the interval does nothing, and who learns at the same time as another process learns
//!   the same, or by a little more;
//! - a failure is told and tried again, and a shop with too few customers is looked at again.

use std::time::{Duration, Instant};

use domain::{HumanDuration, Timestamp};
use runtime::host::Host;
use tokio::runtime::Handle;

use super::Installation;
use super::chore::{self, Owners};
use crate::quintiles::{self, Published};

/// How often it is looked whether it is time, at most.
const LOOK_EVERY: Duration = Duration::from_mins(1);
/// How long it waits after a failure, or where there are too few customers, at most.
const AGAIN_AFTER: Duration = Duration::from_mins(10);

/// What a process needs to learn by itself.
pub(super) struct Learning {
    pub(super) installation: Installation,
    pub(super) owners: Owners,
    pub(super) every: HumanDuration,
    /// How long the broker may say nothing.
    pub(super) timeout: Duration,
}

/// What came of a look.
#[derive(Debug)]
enum Looked {
    /// There are boundaries, of so long ago.
    Young(Duration),
    Learnt {
        customers: i64,
        seconds: f64,
    },
    TooFew {
        customers: i64,
    },
}

impl Learning {
    /// Adds it to the host; not where the interval is nought, and never in a replay, whose time is not ours.
    pub(super) fn add(self, host: &mut Host) {
        if self.installation.replay || self.every == HumanDuration::ZERO {
            return;
        }
        let (owners, first) = (self.owners.clone(), self.every.as_std().min(LOOK_EVERY));
        chore::add(host, "quintiles", owners, first, move |go_on| self.told(self.look(go_on)));
    }

    fn look(&self, go_on: &dyn Fn() -> bool) -> anyhow::Result<Looked> {
        let (installation, timeout) = (&self.installation, self.timeout);
        let now = Timestamp::from_millis(jiff::Timestamp::now().as_millisecond());
        let published = Published::read(installation, timeout)?.map(|published| published.boundaries.learnt_at());
        if let Some(age) = published.and_then(|learnt_at| young(learnt_at, now, self.every)) {
            return Ok(Looked::Young(age));
        }
        let began = Instant::now();
        let learnt = quintiles::learn(installation, None, timeout, go_on)?;
        if !quintiles::is_enough(&learnt) {
            return Ok(Looked::TooFew { customers: learnt.customers });
        }
        Handle::current().block_on(quintiles::publish(installation, &learnt, timeout))?;
        Ok(Looked::Learnt { customers: learnt.customers, seconds: began.elapsed().as_secs_f64() })
    }

    /// Tells what came of it; how long until the next look.
    fn told(&self, looked: anyhow::Result<Looked>) -> Duration {
        let every = self.every.as_std();
        match looked {
            Ok(Looked::Young(age)) => every.saturating_sub(age).clamp(Duration::from_millis(100), LOOK_EVERY),
            Ok(Looked::Learnt { customers, seconds }) => {
                tracing::info!(customers, seconds, "quintiles learnt");
                every.min(LOOK_EVERY)
            }
            Ok(Looked::TooFew { customers }) => {
                tracing::info!(customers, "too few customers have an order for quintiles");
                every.min(AGAIN_AFTER)
            }
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "quintiles were not learnt; this is tried again");
                every.min(AGAIN_AFTER)
            }
        }
    }
}

/// How old boundaries are, where they are younger than the interval.
fn young(learnt_at: Timestamp, now: Timestamp, every: HumanDuration) -> Option<Duration> {
    let age = HumanDuration::from_millis(now.millis_since(learnt_at));
    (age < every).then(|| age.as_std())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boundaries_are_young_until_the_interval_is_over() {
        let day = HumanDuration::from_hours(24);
        let learnt_at = Timestamp::from_millis(1_000);
        assert_eq!(young(learnt_at, learnt_at, day), Some(Duration::ZERO));
        assert_eq!(
            young(learnt_at, Timestamp::from_millis(999 + day.as_millis()), day).map(|age| age.as_secs()),
            Some(86_399)
        );
        assert_eq!(young(learnt_at, learnt_at + day, day), None);
        // Somebody's clock is ahead.
        assert_eq!(young(learnt_at, Timestamp::from_millis(0), day), Some(Duration::ZERO));
    }
}
