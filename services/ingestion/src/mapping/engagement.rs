//! What becomes of a message that is opened, and of a link in it that is followed: events with the names of Segment's
//! e-mail specification, under the customer that the message went to.
//!
//! Wanted properties:
//! - the same link, followed again within the same minute, is the same event, whichever door it comes to;
//! - what a program did stands beside what a person did and never in its place.

use domain::Timestamp;
use links::{ClickToken, OpenToken, SentMessage, Target};
use schemas::{EventKind, LINKS, StorefrontEvent};
use serde_json::json;

use super::machine::Machine;

const MINUTE_MS: i64 = 60_000;

/// A message that was opened, or a link of it that was followed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Engagement<'a> {
    message: &'a SentMessage,
    link: Option<(u16, &'a Target)>,
}

impl<'a> Engagement<'a> {
    pub(crate) fn opened(token: &'a OpenToken) -> Self {
        Self { message: &token.0, link: None }
    }

    pub(crate) fn clicked(token: &'a ClickToken) -> Self {
        Self { message: &token.message, link: Some((token.link, &token.target)) }
    }

    /// As metrics call it.
    pub(crate) const fn word(&self) -> &'static str {
        if self.link.is_some() { "click" } else { "open" }
    }

    /// When the message was sent.
    pub(crate) const fn sent_at(&self) -> i64 {
        self.message.sent_at
    }

    /// The event, received at this time.
    pub(crate) fn event(&self, machine: Option<Machine>, at: Timestamp, traceparent: &str) -> StorefrontEvent {
        let mut properties = json!({
            // By it journeys know the message, and whoever counts finds its outcome.
            "message_id": self.message.message_id,
            "category": self.message.category,
            "machine": machine.is_some(),
        });
        if let Some((link, target)) = self.link {
            properties["link_id"] = link.to_string().into();
            properties["link_url"] = target.as_str().into();
        }
        if let Some(machine) = machine {
            properties["machine_reason"] = machine.reason().into();
        }
        StorefrontEvent {
            message_id: self.id(machine, at),
            kind: EventKind::Track,
            name: if self.link.is_some() { "Email Link Clicked" } else { "Email Opened" }.to_owned(),
            shop: self.message.shop.clone(),
            source: LINKS.to_owned(),
            user_id: Some(self.message.customer_id.clone()),
            event_time: at.as_millis(),
            received_at: at.as_millis(),
            traceparent: Some(traceparent.to_owned()),
            properties_json: Some(properties.to_string()),
            ..StorefrontEvent::default()
        }
    }

    fn id(&self, machine: Option<Machine>, at: Timestamp) -> String {
        let link = self.link.map_or(0, |(link, _)| link);
        let what = json!([
            self.message.shop,
            self.message.customer_id,
            self.message.message_id,
            link,
            at.as_millis().div_euclid(MINUTE_MS),
            machine.is_some(),
        ]);
        format!("{}-{:032x}", self.word(), xxhash_rust::xxh3::xxh3_128(what.to_string().as_bytes()))
    }
}
