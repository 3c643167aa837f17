//! Letting into journeys who is in their segments already, beside the workers of segmentation.

use std::time::Duration;

use runtime::host::Host;

use super::Installation;
use super::chore::{self, Owners};
use crate::admissions::{self, Looked};

/// How often it is looked whether a journey asks for it.
const LOOK_EVERY: Duration = Duration::from_secs(15);
/// How often, while customers are being judged.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Adds it to the host; not in a replay, where nobody is there before the journeys are.
pub(super) fn add(host: &mut Host, installation: &Installation, owners: Owners, timeout: Duration) {
    if installation.replay {
        return;
    }
    let installation = installation.clone();
    chore::add(host, "admissions", owners, LOOK_EVERY, move |go_on| {
        told(admissions::look(&installation, timeout, go_on))
    });
}

/// Tells what came of it; how long until the next look.
fn told(looked: anyhow::Result<Looked>) -> Duration {
    match looked {
        Ok(looked) => {
            for admission in &looked.published {
                let (journey, segment, members) = (&admission.journey, &admission.segment, admission.members);
                tracing::info!(journey, segment, members, per_hour = admission.per_hour, "who is there is let in");
            }
            for key in &looked.taken_back {
                tracing::info!(key, "who was there is let in no more");
            }
            if looked.waits { AGAIN_AFTER } else { LOOK_EVERY }
        }
        Err(error) => {
            tracing::warn!(error = format!("{error:#}"), "who is there was not let into journeys; this is tried again");
            LOOK_EVERY
        }
    }
}
