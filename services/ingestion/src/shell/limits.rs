//! How much may come with a write key: a rate and a daily quota, each a bucket that fills evenly (GCRA). Each door counts by
//! itself.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use super::options::WriteKeyOptions;
use crate::mapping::MAX_BATCH_EVENTS;

/// A full batch has to fit.
pub(crate) const MIN_BURST_EVENTS: NonZeroU32 = NonZeroU32::new(MAX_BATCH_EVENTS as u32).expect("a batch has events");
const DAY: Duration = Duration::from_hours(24);

/// The limits of a write key.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    rate: Option<Bucket>,
    quota: Option<Bucket>,
}

/// Which limit was reached, and when as much as was asked for may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reached {
    /// So many events, and in which time.
    pub(crate) limit: (NonZeroU32, &'static str),
    pub(crate) retry_after: Duration,
}

impl Reached {
    /// The limit, as the options of the write key spell it.
    pub(crate) fn option(&self) -> &'static str {
        if self.limit.1 == "day" { "events_per_day" } else { "events_per_second" }
    }

    /// Whole seconds, at least one.
    pub(crate) fn retry_after_seconds(self) -> u32 {
        u32::try_from(self.retry_after.as_millis().div_ceil(1_000)).unwrap_or(u32::MAX).max(1)
    }
}

#[derive(Debug)]
struct Bucket {
    limit: (NonZeroU32, &'static str),
    clock: Told,
    limiter: RateLimiter<NotKeyed, InMemoryState, Told, NoOpMiddleware<Nanos>>,
}

/// A clock that is told the time by whoever asks.
#[derive(Clone, Debug, Default)]
struct Told(Arc<AtomicU64>);

impl Clock for Told {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.0.load(Ordering::Relaxed).into()
    }
}

impl Bucket {
    fn new(quota: Quota, limit: (NonZeroU32, &'static str)) -> Self {
        let clock = Told::default();
        Self { limit, limiter: RateLimiter::direct_with_clock(quota, clock.clone()), clock }
    }

    fn admit(&self, events: NonZeroU32, now: Duration) -> Result<(), Reached> {
        self.clock.0.fetch_max(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        let retry_after = match self.limiter.check_n(events) {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(until)) => until.wait_time_from(self.clock.now()),
            // More than the bucket ever holds; a batch is not.
            Err(_) => DAY,
        };
        Err(Reached { limit: self.limit, retry_after })
    }
}

impl Limits {
    pub(crate) fn of(options: &WriteKeyOptions) -> Self {
        let rate = options.events_per_second.map(|rate| {
            let burst = options.burst_events.unwrap_or(rate.max(MIN_BURST_EVENTS));
            Bucket::new(Quota::per_second(rate).allow_burst(burst), (rate, "second"))
        });
        let quota = options.events_per_day.and_then(|events| {
            let quota = Quota::with_period(DAY / events.get())?.allow_burst(events);
            Some(Bucket::new(quota, (events, "day")))
        });
        Self { rate, quota }
    }

    /// Whether so many events may come now; then they are counted.
    pub(crate) fn admit(&self, events: usize, now: Duration) -> Result<(), Reached> {
        let Some(events) = u32::try_from(events).ok().and_then(NonZeroU32::new) else { return Ok(()) };
        [&self.rate, &self.quota].into_iter().flatten().try_for_each(|bucket| bucket.admit(events, now))
    }
}
