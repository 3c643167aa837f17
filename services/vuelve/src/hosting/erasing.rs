//! Seeing erasures through, beside the workers of segmentation.
//!
//! Wanted properties:
//! - one process does it at a time: that which owns partition 0 of segmentation; where a partition is just handed over, two may
//!   look, and receipts are written once all the same;
//! - it holds nobody up: a failure is told and tried again;
//! - no id and nothing of a customer's is logged.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::HumanDuration;
use runtime::host::Host;
use store::Lookups;

use super::Installation;
use crate::erasure::{Eraser, Looked};

/// What a process needs to see erasures through.
pub(super) struct Erasing {
    pub(super) installation: Installation,
    /// Of each worker of segmentation, whether it has partition 0.
    pub(super) owners: Vec<Arc<AtomicBool>>,
    /// Of each service, where its states lie, if that is outside of its processes.
    pub(super) stores: HashMap<String, Arc<dyn Lookups>>,
    pub(super) every: HumanDuration,
    /// How long the broker may say nothing.
    pub(super) timeout: Duration,
}

impl Erasing {
    /// Adds it to the host; not where the interval is nought, and never in a replay, whose time is not ours.
    pub(super) fn add(self, host: &mut Host) {
        let Self { installation, owners, stores, every, timeout } = self;
        if installation.replay || every == HumanDuration::ZERO {
            return;
        }
        let eraser = Arc::new(Mutex::new(Eraser::new(installation, stores, timeout)));
        host.task("erasures", move |stop| async move {
            let mut before = Looked::default();
            loop {
                tokio::select! {
                    () = stop.stopped() => return Ok(()),
                    () = tokio::time::sleep(every.as_std()) => {}
                }
                if !owners.iter().any(|owner| owner.load(Ordering::Relaxed)) {
                    continue;
                }
                let eraser = Arc::clone(&eraser);
                let token = stop.clone();
                let look = move || eraser.lock().unwrap_or_else(PoisonError::into_inner).look(&|| !token.is_stopped());
                let looked = tokio::select! {
                    () = stop.stopped() => return Ok(()),
                    looked = tokio::task::spawn_blocking(look) => looked?,
                };
                tell(looked, &mut before);
            }
        });
    }
}

/// What is as it was before needs no telling.
fn tell(looked: anyhow::Result<Looked>, before: &mut Looked) {
    match looked {
        Ok(looked) => {
            if looked != *before {
                let Looked { waits, asked, receipts, places_left, first_left } = &looked;
                tracing::info!(waits, asked, receipts, places_left, first_left, "erasures looked at");
            }
            *before = looked;
        }
        Err(error) => {
            tracing::warn!(error = format!("{error:#}"), "erasures could not be looked at; this is tried again");
        }
    }
}
