//! A message came to its end: the outcome reaches its run.

use definitions::{Awaited, Wait};
use schemas::{Arm, Decision, JourneyDecision, MessageOutcome, Outcome};
use stream::{Context, Disposition};

use crate::output::Output;
use crate::policy::Policy;
use crate::program::{Operation, Place};
use crate::scene::{Note, Scene};
use crate::state::{JourneysState, Run};
use crate::walk::{Fate, Settled, go_on, outcome_matches, resolve, settle, standing_at};
use crate::{Effects, ids, memory};

pub(crate) fn receive(
    policy: &Policy,
    state: &mut JourneysState,
    outcome: &MessageOutcome,
    context: &Context<'_>,
    effects: &mut Effects,
) -> Disposition {
    let Some(index) = state.runs.iter().position(|run| *run.run_id == *outcome.run_id) else {
        // The run is over; that the message came to its end after it is recorded all the same.
        record_without_run(outcome, context, effects);
        return Disposition::Emitted;
    };
    let mut run = state.runs.remove(index);
    let mut scene = Scene {
        policy,
        customer: context.key,
        now: context.now,
        trace: context.trace,
        contact: state.contact.as_ref(),
        carts: &state.carts,
        profile: state.customer.as_deref(),
        event: None,
        effects,
    };
    let taken = take(&mut run, outcome, &mut scene);
    let fate = taken.and_then(|()| react(&mut run, outcome, &mut scene));
    match fate {
        Ok(Fate::Ended(ending)) => memory::note_end(policy, state, run, ending, context.now),
        Ok(Fate::Goes) => state.runs.insert(index, run),
        Err(ignored) => {
            state.runs.insert(index, run);
            return ignored;
        }
    }
    Disposition::Emitted
}

/// Writes the outcome into the run.
fn take(run: &mut Run, outcome: &MessageOutcome, scene: &mut Scene<'_>) -> Result<(), Disposition> {
    let step = run.steps.iter_mut().find(|step| step.message_id.as_deref() == Some(&*outcome.message_id));
    let step = step.ok_or(Disposition::Ignored("unknown_message"))?;
    if step.outcome.is_some() {
        return Err(Disposition::Ignored("outcome_known"));
    }
    step.outcome = Some(word(outcome.outcome).to_owned());
    step.channel.clone_from(&outcome.channel);
    step.decided_at = Some(domain::Timestamp::from_millis(outcome.decided_at));
    let note = Note {
        step: Some(&outcome.step),
        reason: Some(word(outcome.outcome)),
        template: Some(&outcome.template),
        message_id: Some(&outcome.message_id),
        channel: outcome.channel.as_deref(),
        due_at: Some(domain::Timestamp::from_millis(outcome.due_at)),
        detail: None,
    };
    scene.decide(run, Decision::MessageOutcome, &note);
    Ok(())
}

/// Goes on if the run waited for it.
fn react(run: &mut Run, outcome: &MessageOutcome, scene: &mut Scene<'_>) -> Result<Fate, Disposition> {
    let (compiled, paused) = match settle(run, scene) {
        Settled::Goes { compiled, paused } => (compiled, paused),
        Settled::Ended(ending) => return Ok(Fate::Ended(ending)),
    };
    if run.held_since.is_some() {
        return Ok(Fate::Goes);
    }
    Ok(match standing_at(run, &compiled) {
        Some(Place { operation: Operation::Wait(wait), .. }) => {
            let Wait::For { what, .. } = &wait.wait else { return Ok(Fate::Goes) };
            let awaited = what.iter().any(|awaited| match awaited {
                Awaited::Outcome { outcomes, about } => {
                    outcome.step == **about && outcome_matches(outcomes, word(outcome.outcome))
                }
                Awaited::Event { .. } => false,
            });
            if awaited { resolve(run, &compiled, "outcome", paused, scene) } else { Fate::Goes }
        }
        Some(Place { operation: Operation::Branch { .. }, .. }) => go_on(run, &compiled, paused, scene),
        _ => Fate::Goes,
    })
}

fn record_without_run(outcome: &MessageOutcome, context: &Context<'_>, effects: &mut Effects) {
    let at = context.now.as_millis();
    let decision_id = ids::decision(&[&outcome.run_id, "MessageOutcome", &outcome.message_id, &at.to_string()]);
    effects.emit(Output::Decision(Box::new(JourneyDecision {
        decision_id,
        customer_id: context.key.to_string(),
        shop: outcome.shop.clone(),
        journey: outcome.journey.clone(),
        journey_version: outcome.journey_version,
        run_id: Some(outcome.run_id.clone()),
        arm: Arm::Treated,
        step: Some(outcome.step.clone()),
        decision: Decision::MessageOutcome,
        reason: Some(word(outcome.outcome).to_owned()),
        template: Some(outcome.template.clone()),
        message_id: Some(outcome.message_id.clone()),
        channel: outcome.channel.clone(),
        at,
        due_at: Some(outcome.due_at),
        hops: outcome.hops.saturating_add(1),
        ..JourneyDecision::default()
    })));
}

/// The outcome as definitions and decisions call it.
pub(crate) const fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Other => "other",
        Outcome::Sent => "sent",
        Outcome::Failed => "failed",
        Outcome::Unknown => "unknown",
        Outcome::Expired => "expired",
        Outcome::Superseded => "superseded",
        Outcome::Cancelled => "cancelled",
        Outcome::Suppressed => "suppressed",
        Outcome::Unsubscribed => "unsubscribed",
        Outcome::NoAddress => "no_address",
        Outcome::RenderFailed => "render_failed",
    }
}
