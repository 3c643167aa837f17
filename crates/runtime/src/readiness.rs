//! Whether this process should be given work, as named conditions that its parts set.
//!
//! Wanted properties:
//! - a process is ready when every condition is met and it is not draining;
//! - a condition that was announced is not met until somebody says so;
//! - who asks is told which conditions are not met, and why.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use tokio::sync::watch;

/// The conditions of a process. Cheap to clone; every clone is the same.
#[derive(Clone, Debug)]
pub struct Readiness {
    report: Arc<watch::Sender<Report>>,
}

/// What is known of a process's readiness.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Why it drains, once it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub draining: Option<&'static str>,
    /// The conditions, by name: none if it is met, else the reason.
    pub conditions: BTreeMap<String, Option<String>>,
    /// What else there is to know of conditions that are met, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub notes: BTreeMap<String, String>,
}

impl Report {
    /// Whether every condition is met and nothing drains.
    pub fn is_ready(&self) -> bool {
        self.draining.is_none() && self.conditions.values().all(Option::is_none)
    }

    /// What is missing, for people: `broker: no answer; store: starting`.
    pub fn missing(&self) -> String {
        let conditions =
            self.conditions.iter().filter_map(|(name, reason)| Some(format!("{name}: {}", reason.as_ref()?)));
        self.draining
            .map(|reason| format!("draining: {reason}"))
            .into_iter()
            .chain(conditions)
            .collect::<Vec<_>>()
            .join("; ")
    }
}

/// One condition, held by the part that knows about it.
#[derive(Clone, Debug)]
pub struct Condition {
    name: Arc<str>,
    report: Arc<watch::Sender<Report>>,
}

impl Readiness {
    /// Nothing is asked for yet: ready.
    pub fn new() -> Self {
        Self { report: Arc::new(watch::Sender::new(Report::default())) }
    }

    /// Announces a condition (`broker`, `store`, `journeys takeover`). It is not met until [`Condition::met`].
    pub fn condition(&self, name: &str) -> Condition {
        let condition = Condition { name: Arc::from(name), report: Arc::clone(&self.report) };
        condition.not_met("starting");
        condition
    }

    /// From now on the process is not ready, whatever its conditions say.
    pub fn drain(&self, reason: &'static str) {
        self.report.send_if_modified(|report| {
            let changed = report.draining.is_none();
            report.draining.get_or_insert(reason);
            changed
        });
    }

    /// How it is now.
    pub fn report(&self) -> Report {
        self.report.borrow().clone()
    }

    /// Follows every change.
    pub fn watch(&self) -> watch::Receiver<Report> {
        self.report.subscribe()
    }

    /// Returns once the process is ready.
    pub async fn wait(&self) {
        // The sender is `self`'s: it can't be gone.
        let _ = self.watch().wait_for(Report::is_ready).await;
    }
}

impl Default for Readiness {
    fn default() -> Self {
        Self::new()
    }
}

impl Condition {
    /// It is met.
    pub fn met(&self) {
        self.set(None, None);
    }

    /// It is met, and something is not as it should be: a sentence for operators, without personal data.
    pub fn met_although(&self, note: impl Into<String>) {
        self.set(None, Some(note.into()));
    }

    /// It is not met, and why: a sentence for operators, without personal data.
    pub fn not_met(&self, reason: impl Into<String>) {
        self.set(Some(reason.into()), None);
    }

    /// The part is gone and nobody needs its condition any more.
    pub fn withdraw(self) {
        self.report.send_modify(|report| {
            report.conditions.remove(&*self.name);
            report.notes.remove(&*self.name);
        });
    }

    fn set(&self, reason: Option<String>, note: Option<String>) {
        // What is said in the log: that it changed. A reason that gives way to another, many times a second, is for who asks.
        let mut turned = false;
        self.report.send_if_modified(|report| {
            let known = report.conditions.get(&*self.name);
            let changed = known != Some(&reason) || report.notes.get(&*self.name) != note.as_ref();
            turned = known.is_none_or(|known| known.is_some() != reason.is_some());
            if changed {
                report.conditions.insert(self.name.to_string(), reason.clone());
                report.notes.remove(&*self.name);
                report.notes.extend(note.map(|note| (self.name.to_string(), note)));
            }
            changed
        });
        match reason {
            None if turned => tracing::info!(condition = &*self.name, "readiness: met"),
            Some(reason) if turned => tracing::info!(condition = &*self.name, reason, "readiness: not met"),
            _ => {}
        }
    }
}
