//! A story for people: a line for each thing that happened, and the answer in a sentence.

use std::fmt::Write as _;

use super::Story;
use super::entry::{Entry, What};
use crate::written::time;

/// The story as text, the earliest first.
pub fn text(story: &Story) -> String {
    let mut text = format!("Message {} to customer {}\n", story.message_id, story.customer_id);
    if let Some(first) = story.entries.iter().find(|entry| !entry.journey.is_empty()) {
        let _ = writeln!(text, "Journey {}, version {}, run {}", first.journey, first.version, first.run_id);
    }
    text.push('\n');
    for entry in &story.entries {
        let step = if entry.step.is_empty() { String::new() } else { format!(" at step {}", entry.step) };
        let _ = writeln!(text, "{:<24}  {}{step}{}", time(entry.at), head(entry), tail(entry));
        let _ = writeln!(text, "{:<24}  ({})", "", entry.record);
    }
    let _ = write!(text, "\n{}\n", answer(story));
    if story.unreadable > 0 {
        let _ = writeln!(text, "{} records of hers could not be read; something may be missing.", story.unreadable);
    }
    text
}

fn head(entry: &Entry) -> String {
    match &entry.what {
        What::Decision { decision, .. } => decision.replace('_', " "),
        What::Requested { template, .. } => format!("asked messaging for template {template}"),
        What::Cancelled { .. } => "took back what the run had asked for".to_owned(),
        What::Outcome { outcome, .. } => format!("outcome {}", outcome.replace('_', " ")),
    }
}

fn tail(entry: &Entry) -> String {
    let mut parts = Vec::new();
    match &entry.what {
        What::Decision { reason, arm, correlation_key, due_at, trigger_message_id, saw, .. } => {
            parts.extend(reason.clone());
            parts.extend((arm == "holdout").then(|| "held out".to_owned()));
            parts.extend(correlation_key.as_ref().filter(|key| !key.is_empty()).map(|key| format!("about {key}")));
            parts.extend(due_at.map(|at| format!("due {}", time(at))));
            parts.push(trigger_message_id.as_ref().map_or("by time".to_owned(), |id| format!("by event {id}")));
            parts.extend(saw.as_ref().map(|saw| format!("saw {saw}")));
        }
        What::Requested { category, channels, due_at, expires_at, .. } => {
            parts.push(format!("category {category}"));
            parts.push(format!(
                "by {}",
                if channels.is_empty() { "any channel".to_owned() } else { channels.join(", ") }
            ));
            parts.push(format!("due {}", time(*due_at)));
            parts.push(format!("expires {}", time(*expires_at)));
        }
        What::Cancelled { reason } => parts.extend(reason.clone()),
        What::Outcome { reason, channel, attempts, due_at, .. } => {
            parts.extend(reason.clone());
            parts.extend(channel.as_ref().map(|channel| format!("by {channel}")));
            parts.push(format!("{attempts} attempt{}", if *attempts == 1 { "" } else { "s" }));
            parts.push(format!("due {}", time(*due_at)));
        }
    }
    if parts.is_empty() { String::new() } else { format!(": {}", parts.join("; ")) }
}

/// The answer to "why did she (not) get it?", in a sentence.
fn answer(story: &Story) -> String {
    let outcome = story.entries.iter().rev().find_map(|entry| match &entry.what {
        What::Outcome { outcome, reason, channel, .. } => Some((entry.at, outcome, reason, channel)),
        _ => None,
    });
    if let Some((at, outcome, reason, channel)) = outcome {
        let because = reason.as_ref().map_or_else(String::new, |reason| format!(" ({reason})"));
        let by = channel.as_ref().map_or_else(String::new, |channel| format!(" by {channel}"));
        let at = time(at);
        return match outcome.as_str() {
            "sent" => format!("It was sent{by} at {at}{because}."),
            "failed" => format!("It was not sent: the attempts failed{because}; given up at {at}."),
            "unknown" => format!(
                "Nobody knows whether it was sent: the process ended between the claim and the answer{because}. It is not \
                 sent again."
            ),
            "expired" => format!("It was not sent: it could not leave before it expired{because}."),
            "superseded" => format!("It was not sent: a later message of the run took its place{because}."),
            "cancelled" => format!("It was not sent: its run ended first{because}."),
            "suppressed" => format!("It was not sent: the address must not be written to{because}."),
            "unsubscribed" => format!("It was not sent: she does not want messages of this category{because}."),
            "no_address" => format!("It was not sent: there is no address for any of its channels{because}."),
            "render_failed" => format!("It was not sent: its template could not be rendered{because}."),
            other => format!("Its outcome is {other}{because}, which this version does not know."),
        };
    }
    let withheld = story.entries.iter().any(|entry| match &entry.what {
        What::Decision { decision, about_message, .. } => *about_message && decision == "message_withheld",
        _ => false,
    });
    if withheld {
        return "It was not sent: she is held out of the journey, which is measured against those like her.".to_owned();
    }
    "It has no outcome yet: messaging has not come to it, or puts it off.".to_owned()
}
