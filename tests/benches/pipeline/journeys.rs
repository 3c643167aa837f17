//! Row: the journeys worker, draining events that lie there when it starts.

use std::collections::HashSet;

use anyhow::ensure;
use rdkafka::message::Message;
use schemas::{JourneyDecision, MessageRequest};
use tests::installation::State;

use crate::drain::{drain, hash};
use crate::expected::{Tally, compare, decision_name, request_name};
use crate::shared::installation::{Installation, Parts};
use crate::shared::sample::Sample;
use crate::shared::storefront::TOLD;
use crate::shared::workload::Workload;

/// The worker decides on all events, and what came out is compared with what is expected.
pub(crate) fn journeys(
    parts: &Parts,
    workload: &Workload,
    expected: &Tally,
    state: State,
    round: u32,
) -> anyhow::Result<Sample> {
    let (installation, sample) = drain(parts, workload, "journeys", TOLD, state, round)?;
    verify(&installation, expected)?;
    installation.remove()?;
    Ok(sample)
}

/// What was decided is what follows from the events, each decision once.
fn verify(installation: &Installation<'_>, expected: &Tally) -> anyhow::Result<()> {
    let mut found = Tally::new();
    let (mut decisions, mut ids) = (0, HashSet::new());
    installation.read_all("journeys.decisions", |message| {
        let decision: JourneyDecision = installation.schemas().decode(message.payload().unwrap_or_default())?;
        decisions += 1;
        ids.insert(hash(&decision.decision_id));
        *found.entry(decision_name(&decision.journey, decision.decision)).or_default() += 1;
        Ok(())
    })?;
    ensure!(ids.len() == decisions, "no score: {decisions} decisions, {} of them different", ids.len());
    installation.read_all("messaging.requests", |message| {
        let request: MessageRequest = installation.schemas().decode(message.payload().unwrap_or_default())?;
        *found.entry(request_name(&request.journey, request.action)).or_default() += 1;
        Ok(())
    })?;
    compare(&found, expected)?;
    installation.has_no_dead_letters()
}
