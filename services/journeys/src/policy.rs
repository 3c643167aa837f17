//! What is in force: the journeys in all their versions, pause and stop, and settings.
//!
//! Wanted properties:
//! - a version stays as long as its record does, because runs end on the version that they began with;
//! - a record that can't be read leaves the policy as it was;
//! - control records of a journey are numbered; the highest number rules, and what was ever stopped stays stopped.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use definitions::{Action, Definition, Field, Journey, Kind, ShopTimeZones, Trigger, parse_document, parse_record_key};
use domain::{HumanDuration, Timestamp};
use schemas::{DefinitionStatus, Schemas};
use stream::{Poison, RecordRef};

use crate::program::{Place, compile};
use crate::state::Run;

/// What an installation sets.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Whether this is a replay: nothing is late then.
    pub replay: bool,
    /// A trigger that reached the broker longer than this after it happened opens no run.
    pub late_limit: HumanDuration,
    /// Whether imported history opens runs.
    pub open_from_history: bool,
    /// The shops' time zones.
    pub time_zones: ShopTimeZones,
    /// Changes who is held out. Fixed when the installation is created.
    pub holdout_seed: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            replay: false,
            late_limit: HumanDuration::from_hours(24),
            open_from_history: false,
            time_zones: ShopTimeZones::default(),
            holdout_seed: String::new(),
        }
    }
}

/// What is in force.
#[derive(Debug, Default)]
pub struct Policy {
    /// What the installation sets.
    pub settings: Settings,
    journeys: BTreeMap<Arc<str>, JourneyPolicy>,
    /// By event: the journeys, in their current version, that it may open or exit.
    listeners: HashMap<Arc<str>, Vec<Arc<CompiledJourney>>>,
}

#[derive(Debug, Default)]
struct JourneyPolicy {
    versions: BTreeMap<i32, Arc<CompiledJourney>>,
    controls: BTreeMap<i32, Control>,
}

#[derive(Clone, Copy, Debug)]
struct Control {
    status: DefinitionStatus,
    applied_at: Timestamp,
}

/// A version of a journey, ready to be walked.
#[derive(Debug)]
pub(crate) struct CompiledJourney {
    pub(crate) journey: Journey,
    pub(crate) program: Vec<Place>,
    /// The properties of events that conditions and `same` look at: these are kept with a run.
    pub(crate) properties: BTreeSet<Arc<str>>,
    /// A condition reads properties whose names are only known at run time.
    pub(crate) all_properties: bool,
    /// A condition asks who the customer is.
    pub(crate) reads_customer: bool,
    status: DefinitionStatus,
}

/// How a run stands to the policy.
#[derive(Clone, Debug)]
pub(crate) enum Standing {
    /// It goes on.
    Active(Arc<CompiledJourney>),
    /// Its journey is on hold.
    Paused(Arc<CompiledJourney>),
    /// Its journey was stopped.
    Stopped,
    /// Its version is no longer there.
    Gone,
}

/// Whether a journey lets customers in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entrance {
    Open,
    Paused,
    Stopped,
}

impl Policy {
    /// No journeys yet.
    pub fn new(settings: Settings) -> Self {
        Self { settings, ..Self::default() }
    }

    /// Applies a record of the definitions topic. Returns whether journeys, or what was said of them, have changed.
    pub(crate) fn apply(&mut self, schemas: &Schemas, record: &RecordRef<'_>) -> Result<bool, Poison> {
        let poison = |reason, detail: String| Poison { reason, detail };
        let key = record
            .key
            .and_then(|key| std::str::from_utf8(key).ok())
            .ok_or_else(|| poison("no_key", "a definition's record has a key of text".to_owned()))?;
        let (kind, name, version) = parse_record_key(key)
            .ok_or_else(|| poison("malformed", "a definition's key is kind/name/version".to_owned()))?;
        let Some(kind @ (Kind::Journey | Kind::Control)) = kind else { return Ok(false) };
        let Some(value) = record.value else {
            self.remove(kind, name, version);
            return Ok(true);
        };
        let definition: schemas::Definition =
            schemas.decode(value).map_err(|error| poison("malformed", error.to_string()))?;
        let applied_at = Timestamp::from_millis(definition.applied_at);
        match kind {
            Kind::Journey if definition.status == DefinitionStatus::Deleted => self.remove(kind, name, version),
            Kind::Journey => {
                let journey = journey(name, version, &definition.body)
                    .map_err(|detail| poison("invalid_definition", format!("{key}: {detail}")))?;
                self.insert(journey, definition.status);
            }
            Kind::Control => {
                let controls = &mut self.journeys.entry(name.into()).or_default().controls;
                controls.insert(version, Control { status: definition.status, applied_at });
            }
            Kind::Segment | Kind::Template | Kind::Messaging => {}
        }
        Ok(true)
    }

    /// Puts a journey in force.
    pub fn insert(&mut self, journey: Journey, status: DefinitionStatus) {
        let compiled = CompiledJourney::new(journey, status);
        let versions = &mut self.journeys.entry(Arc::clone(&compiled.journey.name)).or_default().versions;
        versions.insert(compiled.journey.version, Arc::new(compiled));
        self.index();
    }

    fn remove(&mut self, kind: Kind, name: &str, version: i32) {
        let Some(journey) = self.journeys.get_mut(name) else { return };
        match kind {
            Kind::Journey => drop(journey.versions.remove(&version)),
            Kind::Control => drop(journey.controls.remove(&version)),
            Kind::Segment | Kind::Template | Kind::Messaging => {}
        }
        if journey.versions.is_empty() && journey.controls.is_empty() {
            self.journeys.remove(name);
        }
        self.index();
    }

    fn index(&mut self) {
        self.listeners.clear();
        for journey in self.journeys.values() {
            let Some(current) = journey.versions.values().next_back() else { continue };
            let exits = current.journey.exits.iter().map(|exit| &*exit.event);
            let events: BTreeSet<&str> = current.journey.triggers.iter().map(Trigger::event).chain(exits).collect();
            for event in events {
                self.listeners.entry(event.into()).or_default().push(Arc::clone(current));
            }
        }
    }

    /// The journeys that an event may open or exit, in their current version, by name.
    pub(crate) fn listeners(&self, event: &str) -> &[Arc<CompiledJourney>] {
        self.listeners.get(event).map_or(&[], Vec::as_slice)
    }

    /// A journey in its current version.
    pub(crate) fn current(&self, journey: &str) -> Option<&Arc<CompiledJourney>> {
        self.journeys.get(journey)?.versions.values().next_back()
    }

    /// How a run stands to the policy.
    pub(crate) fn standing(&self, run: &Run) -> Standing {
        let Some(journey) = self.journeys.get(&run.journey) else { return Standing::Gone };
        let Some(compiled) = journey.versions.get(&run.version) else { return Standing::Gone };
        match journey.status(compiled) {
            DefinitionStatus::Stopped | DefinitionStatus::Deleted => Standing::Stopped,
            _ if journey.stopped_at().is_some_and(|stop| run.started_at <= stop) => Standing::Stopped,
            DefinitionStatus::Paused => Standing::Paused(Arc::clone(compiled)),
            DefinitionStatus::Active => Standing::Active(Arc::clone(compiled)),
        }
    }

    /// Whether one of the runs may ask who the customer is.
    pub(crate) fn reads_customer(&self, runs: &[Run]) -> bool {
        runs.iter().any(|run| self.version(&run.journey, run.version).is_some_and(|compiled| compiled.reads_customer))
    }

    /// Whether a journey lets customers in.
    pub(crate) fn entrance(&self, compiled: &CompiledJourney) -> Entrance {
        let journey = self.journeys.get(&compiled.journey.name);
        match journey.map_or(compiled.status, |journey| journey.status(compiled)) {
            DefinitionStatus::Active => Entrance::Open,
            DefinitionStatus::Paused => Entrance::Paused,
            DefinitionStatus::Stopped | DefinitionStatus::Deleted => Entrance::Stopped,
        }
    }

    /// When the journey was last paused, resumed or stopped.
    pub(crate) fn controlled_at(&self, journey: &str) -> Option<Timestamp> {
        self.journeys.get(journey)?.control().map(|control| control.applied_at)
    }

    /// The names of the journeys and their current versions.
    pub fn journeys(&self) -> impl Iterator<Item = (&str, i32)> {
        self.journeys.iter().filter_map(|(name, journey)| Some((&**name, *journey.versions.keys().next_back()?)))
    }

    pub(crate) fn version(&self, journey: &str, version: i32) -> Option<&Arc<CompiledJourney>> {
        self.journeys.get(journey)?.versions.get(&version)
    }
}

impl JourneyPolicy {
    fn control(&self) -> Option<Control> {
        self.controls.values().next_back().copied()
    }

    /// The stricter of what was said of the journey and of its version.
    fn status(&self, compiled: &CompiledJourney) -> DefinitionStatus {
        let control = self.control().map_or(DefinitionStatus::Active, |control| control.status);
        let strictness = |status: &DefinitionStatus| match status {
            DefinitionStatus::Active => 0,
            DefinitionStatus::Paused => 1,
            DefinitionStatus::Stopped | DefinitionStatus::Deleted => 2,
        };
        [control, compiled.status].into_iter().max_by_key(strictness).unwrap_or(control)
    }

    fn stopped_at(&self) -> Option<Timestamp> {
        let stops = self.controls.values().filter(|control| control.status == DefinitionStatus::Stopped);
        stops.map(|control| control.applied_at).max()
    }
}

impl CompiledJourney {
    fn new(journey: Journey, status: DefinitionStatus) -> Self {
        let mut properties = BTreeSet::new();
        let (mut all_properties, mut reads_customer) = (false, false);
        for step in journey.all_steps() {
            if let Action::When(when) = &step.action {
                properties.extend(when.condition.reads().properties.iter().cloned());
                all_properties |= when.condition.reads().any_property;
                reads_customer |= when.condition.reads().variables.contains("customer");
            }
        }
        let named = journey.patterns().into_iter().filter_map(|pattern| match &pattern.same {
            Some(Field::Property(name)) => Some(Arc::clone(name)),
            _ => None,
        });
        properties.extend(named.collect::<Vec<_>>());
        Self { program: compile(&journey), journey, properties, all_properties, reads_customer, status }
    }
}

fn journey(name: &str, version: i32, body: &str) -> Result<Journey, String> {
    match parse_document(Kind::Journey, name, body) {
        Ok(Definition::Journey(journey)) if journey.version == version => Ok(journey),
        Ok(_) => Err("the text is of another version".to_owned()),
        Err(diagnostics) => Err(diagnostics.first().map_or_else(String::new, ToString::to_string)),
    }
}
