//! Seeing erasures through, beside the workers of segmentation.
//!
//! Wanted properties:
//! - where two processes look at once, receipts are written once all the same;
//! - a failure is told and tried again;
//! - no id and nothing of a customer's is logged.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::HumanDuration;
use runtime::host::Host;
use store::Lookups;

use super::Installation;
use super::chore::{self, Owners};
use crate::erasure::{Eraser, Looked};

/// What a process needs to see erasures through.
pub(super) struct Erasing {
    pub(super) installation: Installation,
    pub(super) owners: Owners,
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
        let eraser = Mutex::new((Eraser::new(installation, stores, timeout), Looked::default()));
        chore::add(host, "erasures", owners, every.as_std(), move |go_on| {
            let mut eraser = eraser.lock().unwrap_or_else(PoisonError::into_inner);
            let (eraser, before) = &mut *eraser;
            tell(eraser.look(go_on), before);
            every.as_std()
        });
    }
}

/// What is as it was before needs no telling.
fn tell(looked: anyhow::Result<Looked>, before: &mut Looked) {
    match looked {
        Ok(looked) => {
            if looked != *before {
                let Looked { waits, asked, receipts, places_left, places, first_left } = &looked;
                tracing::info!(waits, asked, receipts, places_left, places, first_left, "erasures looked at");
            }
            *before = looked;
        }
        Err(error) => {
            tracing::warn!(error = format!("{error:#}"), "erasures could not be looked at; this is tried again");
        }
    }
}
