//! What a run is acted in: who, when, what just happened; and the pen that writes decisions and requests.

use definitions::{Field, MessageStep};
use domain::Timestamp;
use schemas::{Arm, CustomerView, Decision, JourneyDecision, MessageRequest, Recipient, RequestAction};
use stream::{Key, Trace};

use crate::event::EventView;
use crate::output::Output;
use crate::policy::{CompiledJourney, Policy};
use crate::render;
use crate::state::{Cart, CustomerContact, Run, StepState};
use crate::{Effects, ids};

pub(crate) struct Scene<'a> {
    pub(crate) policy: &'a Policy,
    pub(crate) customer: &'a Key,
    pub(crate) now: Timestamp,
    /// The trace of what just happened; a timer has none, and takes the run's.
    pub(crate) trace: Option<&'a Trace>,
    pub(crate) contact: Option<&'a CustomerContact>,
    pub(crate) carts: &'a [Cart],
    /// Who she is; none where no run asks.
    pub(crate) profile: Option<&'a CustomerView>,
    pub(crate) event: Option<&'a EventView<'a>>,
    pub(crate) effects: &'a mut Effects,
}

/// What a decision says beside what is true of its run.
#[derive(Default)]
pub(crate) struct Note<'n> {
    pub(crate) step: Option<&'n str>,
    pub(crate) reason: Option<&'n str>,
    pub(crate) template: Option<&'n str>,
    pub(crate) message_id: Option<&'n str>,
    pub(crate) channel: Option<&'n str>,
    pub(crate) due_at: Option<Timestamp>,
    pub(crate) detail: Option<serde_json::Value>,
}

/// What a run is about as decisions tell it, which are kept for a year: of a property its hash, as the shop may have anything in
/// one, also who somebody is.
fn told_key(compiled: Option<&CompiledJourney>, key: &str) -> Option<String> {
    let correlate = compiled.map(|compiled| compiled.journey.correlate.as_ref());
    match correlate {
        _ if key.is_empty() => None,
        // Of a version that is gone nobody knows what it was correlated by.
        Some(Some(Field::Property(_))) | None => Some(ids::long_key(key)),
        Some(_) => Some(key.to_owned()),
    }
}

impl Scene<'_> {
    /// Records a decision about a run.
    pub(crate) fn decide(&mut self, run: &Run, decision: Decision, note: &Note<'_>) {
        let trigger = self.event.map(|event| event.event.message_id.clone());
        let decision_id = ids::decision(&[
            &run.run_id,
            &format!("{decision:?}"),
            note.step.unwrap_or_default(),
            note.message_id.unwrap_or_default(),
            &self.now.as_millis().to_string(),
            trigger.as_deref().unwrap_or_default(),
        ]);
        let text = |text: Option<&str>| text.map(str::to_owned);
        let record = JourneyDecision {
            decision_id,
            customer_id: self.customer.to_string(),
            shop: run.shop.to_string(),
            journey: run.journey.to_string(),
            journey_version: run.version,
            run_id: Some(run.run_id.to_string()),
            correlation_key: told_key(
                self.policy.version(&run.journey, run.version).map(|compiled| &**compiled),
                &run.key,
            ),
            arm: arm(run.holdout),
            step: text(note.step),
            decision,
            reason: text(note.reason),
            template: text(note.template),
            message_id: text(note.message_id),
            channel: text(note.channel),
            at: self.now.as_millis(),
            due_at: note.due_at.map(Timestamp::as_millis),
            trigger_message_id: trigger,
            detail_json: note.detail.as_ref().map(ToString::to_string),
            hops: run.hops.saturating_add(1),
        };
        self.emit(run, Output::Decision(Box::new(record)));
    }

    /// Records that a trigger opened no run.
    pub(crate) fn refuse(&mut self, compiled: &CompiledJourney, key: &str, holdout: bool, reason: &str) {
        let Some(event) = self.event.map(|view| view.event) else { return };
        let journey = &compiled.journey;
        let at = self.now.as_millis();
        let decision_id =
            ids::decision(&[self.customer, &journey.name, key, "NotEntered", &at.to_string(), &event.message_id]);
        let record = JourneyDecision {
            decision_id,
            customer_id: self.customer.to_string(),
            shop: event.shop.clone(),
            journey: journey.name.to_string(),
            journey_version: journey.version,
            correlation_key: told_key(Some(compiled), key),
            arm: arm(holdout),
            decision: Decision::NotEntered,
            reason: Some(reason.to_owned()),
            at,
            trigger_message_id: Some(event.message_id.clone()),
            hops: event.hops.saturating_add(1),
            ..JourneyDecision::default()
        };
        let trace = self.trace.cloned().or_else(|| event.traceparent.as_deref().map(Into::into));
        self.effects.emit_traced(Output::Decision(Box::new(record)), trace);
    }

    /// Asks messaging for a message.
    pub(crate) fn request(&mut self, run: &Run, message: &MessageStep, step: &StepState) {
        let contact = self.contact.cloned().unwrap_or_default();
        let zone = contact.zone().map(str::to_owned);
        let zone = zone.or_else(|| self.policy.settings.time_zones.of(&run.shop).iana_name().map(str::to_owned));
        let context = render::context(run, self.carts, &contact);
        let recipient = Recipient {
            email: contact.email,
            phone: contact.phone,
            first_name: contact.first_name,
            last_name: contact.last_name,
            locale: contact.locale,
            time_zone: zone,
        };
        let request = MessageRequest {
            message_id: step.message_id.as_deref().unwrap_or_default().to_owned(),
            action: RequestAction::Request,
            step: step.label.to_string(),
            template: message.template.to_string(),
            channels: message.channels.iter().map(|channel| channel.name().to_owned()).collect(),
            category: message.category.to_string(),
            due_at: step.due_at.unwrap_or(self.now).as_millis(),
            expires_at: step.expires_at.unwrap_or(self.now).as_millis(),
            recipient: Some(recipient),
            context_json: Some(context.to_string()),
            ..self.blank_request(run)
        };
        self.emit(run, Output::Request(Box::new(request)));
    }

    /// Cancels what the run asked for and nobody has claimed, if there can be such a thing.
    pub(crate) fn cancel_open_messages(&mut self, run: &mut Run, reason: &str) {
        let mut open = false;
        for step in run.steps.iter_mut().filter(|step| step.is_open()) {
            step.cancel_asked = true;
            open = true;
        }
        if !open || run.holdout {
            return;
        }
        let request = MessageRequest {
            message_id: run.run_id.to_string(),
            action: RequestAction::Cancel,
            due_at: self.now.as_millis(),
            expires_at: self.now.as_millis(),
            reason: Some(reason.to_owned()),
            ..self.blank_request(run)
        };
        self.emit(run, Output::Request(Box::new(request)));
    }

    fn blank_request(&self, run: &Run) -> MessageRequest {
        MessageRequest {
            customer_id: self.customer.to_string(),
            shop: run.shop.to_string(),
            journey: run.journey.to_string(),
            journey_version: run.version,
            run_id: run.run_id.to_string(),
            requested_at: self.now.as_millis(),
            traceparent: self.trace_of(run).map(|trace| trace.to_string()),
            hops: run.hops.saturating_add(1),
            ..MessageRequest::default()
        }
    }

    fn trace_of(&self, run: &Run) -> Option<Trace> {
        self.trace.cloned().or_else(|| run.traceparent.clone())
    }

    fn emit(&mut self, run: &Run, output: Output) {
        let trace = self.trace_of(run);
        self.effects.emit_traced(output, trace);
    }
}

fn arm(holdout: bool) -> Arm {
    if holdout { Arm::Holdout } else { Arm::Treated }
}
