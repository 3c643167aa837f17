//! The demo's channel: messages are kept to be looked at, with why they were sent, and leave nothing behind.

use std::collections::VecDeque;
use std::sync::Arc;

use domain::{BootTime, Locale, Timestamp};
use links::KeyRing;
use parking_lot::Mutex;
use tracing::Instrument as _;

use super::clock::Clock;
use super::compose::Composer;
use super::options::{MessagingOptions, OptionProblem};
use super::telemetry::{Metrics, span, tell};
use crate::action::{Attempt, Completion, Email};

/// So many messages are rendered at once.
const PLACES: usize = 8;

/// Keeps the last messages instead of sending them.
#[derive(Debug)]
pub struct Mailbox {
    composer: Arc<Composer>,
    clock: Arc<dyn Clock>,
    keep: usize,
    kept: Mutex<Kept>,
    metrics: Metrics,
}

#[derive(Debug, Default)]
struct Kept {
    total: u64,
    messages: VecDeque<Arc<KeptMessage>>,
}

/// A message as it would have arrived, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct KeptMessage {
    /// Counts the messages from 1.
    pub number: u64,
    pub message_id: String,
    pub customer_id: String,
    pub shop: String,
    pub journey: String,
    pub journey_version: i32,
    pub run_id: String,
    pub step: String,
    pub template: String,
    pub category: String,
    pub locale: Locale,
    pub from_name: Option<String>,
    pub to: String,
    pub subject: String,
    /// To be shown in a sandboxed frame only: its links are real.
    pub html: String,
    pub text: String,
    pub unsubscribe_url: String,
    pub preferences_url: String,
    pub due_at: Timestamp,
    pub sent_at: Timestamp,
    pub traceparent: Option<String>,
}

impl Mailbox {
    /// A mailbox that keeps the last `keep` messages. `keys` sign the unsubscribe links, which lead to the door at
    /// `base_url`.
    pub fn new(
        options: &MessagingOptions,
        keys: KeyRing,
        base_url: &str,
        clock: Arc<dyn Clock>,
        keep: usize,
    ) -> Result<Self, Vec<OptionProblem>> {
        let mut problems = Vec::new();
        options.check_decisions(&mut problems);
        let composer = Composer::new(options, keys, base_url, &mut problems);
        if !problems.is_empty() {
            return Err(problems);
        }
        let metrics = Metrics::new("mailbox");
        Ok(Self { composer: Arc::new(composer), clock, keep: keep.max(1), kept: Mutex::default(), metrics })
    }

    /// How many messages may be under way.
    pub fn capacity(&self) -> usize {
        PLACES
    }

    /// Renders a message and keeps it. A claim is never too old here: nothing leaves.
    pub async fn send(&self, email: Email, claimed_at: BootTime) -> Completion {
        let span = span(&email, "mailbox");
        let attempt = self.keep_rendered(&Arc::new(email)).instrument(span.clone()).await;
        tell(&span, &attempt);
        self.metrics.ended(&attempt, self.clock.boot_time().since(claimed_at));
        Completion::new(self.clock.now(), attempt)
    }

    /// The messages that are kept, newest first.
    pub fn messages(&self) -> Vec<Arc<KeptMessage>> {
        self.kept.lock().messages.iter().rev().cloned().collect()
    }

    /// A message that is still kept.
    pub fn message(&self, number: u64) -> Option<Arc<KeptMessage>> {
        self.kept.lock().messages.iter().find(|message| message.number == number).cloned()
    }

    /// How many messages came in all, with those that are not kept any more.
    pub fn total(&self) -> u64 {
        self.kept.lock().total
    }

    async fn keep_rendered(&self, email: &Arc<Email>) -> Attempt {
        let sent_at = self.clock.now();
        if sent_at >= email.expires_at {
            return Attempt::Expired;
        }
        let composed = match self.composer.compose(email, sent_at).await {
            Ok(composed) => composed,
            Err(reason) => return Attempt::RenderFailed(reason),
        };
        let mut kept = self.kept.lock();
        kept.total += 1;
        let number = kept.total;
        kept.messages.push_back(Arc::new(KeptMessage {
            number,
            message_id: email.message_id.clone(),
            customer_id: email.customer_id.to_string(),
            shop: email.shop.clone(),
            journey: email.journey.clone(),
            journey_version: email.journey_version,
            run_id: email.run_id.clone(),
            step: email.step.clone(),
            template: email.template.definition.name.to_string(),
            category: email.category.clone(),
            locale: composed.rendered.locale,
            from_name: composed.from_name,
            to: email.recipient.email.clone().unwrap_or_default(),
            subject: composed.rendered.subject,
            html: composed.rendered.html,
            text: composed.rendered.text,
            unsubscribe_url: composed.unsubscribe_url,
            preferences_url: composed.preferences_url,
            due_at: email.due_at,
            sent_at,
            traceparent: email.traceparent.as_deref().map(str::to_owned),
        }));
        if kept.messages.len() > self.keep {
            kept.messages.pop_front();
        }
        Attempt::Sent
    }
}
