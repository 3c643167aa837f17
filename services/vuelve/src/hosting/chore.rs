//! What one process does for the whole installation, again and again, beside the workers of segmentation.
//!
//! Wanted properties:
//! - one process does it at a time: that which owns partition 0 of segmentation. Several may all the same, as where a partition is
//!   just handed over: so a chore finds out by itself what is done already;
//! - it holds nobody up: it runs off the async threads, ends when the process is asked to end, and where it panics that is logged,
//!   and it is tried again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use runtime::host::Host;

/// Of each worker of segmentation, whether it has partition 0.
pub(super) type Owners = Vec<Arc<AtomicBool>>;

/// Adds a chore to the host, which is looked after `every` so often while another process has it. What it does is told whether to
/// go on, and says how long to wait until the next time.
pub(super) fn add(
    host: &mut Host,
    name: &'static str,
    owners: Owners,
    every: Duration,
    work: impl Fn(&dyn Fn() -> bool) -> Duration + Send + Sync + 'static,
) {
    let work = Arc::new(work);
    host.task(name, move |stop| async move {
        let mut wait = every;
        loop {
            tokio::select! {
                () = stop.stopped() => return Ok(()),
                () = tokio::time::sleep(wait) => {}
            }
            if !owners.iter().any(|owner| owner.load(Ordering::Relaxed)) {
                wait = every;
                continue;
            }
            let (work, token) = (Arc::clone(&work), stop.clone());
            let done = tokio::task::spawn_blocking(move || work(&|| !token.is_stopped()));
            wait = tokio::select! {
                () = stop.stopped() => return Ok(()),
                // Whatever is to be done is found out anew.
                done = done => done.unwrap_or_else(|panic| {
                    tracing::error!(chore = name, error = %panic, "a chore panicked; it is tried again");
                    every
                }),
            };
        }
    });
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use domain::HumanDuration;
    use runtime::config::HostOptions;
    use runtime::host::{Exit, Signals};
    use runtime::readiness::Readiness;

    use super::*;

    #[tokio::test]
    async fn a_chore_that_panics_ends_nobody_and_is_done_again() {
        let limit = HumanDuration::from_millis(10_000);
        let options = HostOptions { drain_deadline: limit, unready_pause: HumanDuration::ZERO, stall_limit: limit };
        let mut host = Host::new(&options, Readiness::new());
        let (begun, often) = (AtomicUsize::new(0), Duration::from_millis(1));
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        add(&mut host, "chore", vec![Arc::new(AtomicBool::new(true))], often, move |_| {
            assert!(begun.fetch_add(1, Ordering::Relaxed) > 0, "this is too much");
            let _ = tell.send(());
            often
        });
        host.main("work", |_| async move {
            told.recv().await;
            Ok(())
        });
        let (_hand, signals) = Signals::by_hand();
        assert!(matches!(host.run(signals).await, Exit::Drained(None)));
    }
}
