//! Whoever is recognised, whenever: what is done on devices, with a user id or without, what the shop's server tells of it, and
//! what has to come of it.
//!
//! Wanted properties:
//! - [`story`] makes events of happenings that anybody may draw, a property test or a seed;
//! - [`whose`] says whose each event turns out to be, from the log alone;
//! - [`profile`] compares who she is with who she would be if she had been known from the start;
//! - [`reminders`] says which reminders should not have been asked for, and which are missing.
//!
//! What differs by design is said where it is left out of the comparison, and in the services' READMEs ("Recognised").

pub mod profile;
pub mod reminders;
pub mod story;
pub mod whose;

use schemas::{Contract, StorefrontEvent};
use stream::{Service, TestDriver, TimeMode, WorkerSettings};

use crate::SCHEMAS;

/// An event that was told.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// When the broker had it, in milliseconds.
    pub at_ms: i64,
    /// What.
    pub event: StorefrontEvent,
}

/// As it lies on a topic; nothing where it does not fit its schema, which whoever reads it then says.
pub fn encode<T: Contract>(dataset: &str, value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    if SCHEMAS.encode(dataset, value, &mut bytes).is_err() {
        bytes.clear();
    }
    bytes
}

/// A service by itself, both clocks in the caller's hand, with what is in force in the simulation.
pub fn driver<S: Service>(policy: S::Policy) -> TestDriver<S> {
    let settings = WorkerSettings { time_mode: TimeMode::Replay, ..WorkerSettings::default() };
    let mut driver = TestDriver::with_schemas(policy, settings, SCHEMAS.clone());
    if !S::topology().tables.is_empty() {
        for (key, value) in crate::definitions::records() {
            // What it does not follow it passes over.
            let _ = driver.table(0, key, Some(value));
        }
    }
    driver
}

/// Under which key it lies at the broker; of nobody, under none.
pub fn received_key(event: &StorefrontEvent) -> &str {
    ingestion::ids::received_key(event).unwrap_or_default()
}

/// An event at the very moment of a timer comes before it.
const MILLISECOND: domain::HumanDuration = domain::HumanDuration::from_millis(1);
