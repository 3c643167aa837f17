//! What one process does for the whole installation, again and again, beside the workers of segmentation.
//!
//! Wanted properties:
//! - one process does it at a time: that which owns partition 0 of segmentation. Several may all the same, as where a partition is
//!   just handed over: so a chore finds out by itself what is done already;
//! - it holds nobody up: it runs off the async threads, and ends when the process is asked to end.

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
                done = done => done?,
            };
        }
    });
}
