//! A driver with definitions in force, events to feed it, and what came out of it.

use std::fs;
use std::path::{Path, PathBuf};

use definitions::{Folder, SourceFile, load};
use domain::Timestamp;
use journeys::{Journeys, JourneysState, Output, Policy, Settings};
use schemas::{Decision, Definition, DefinitionStatus, EventKind, JourneyDecision, MessageRequest, Product, StorefrontEvent};
use stream::TestDriver;
use stream::test_driver::encode;

pub(crate) const SHOP: &str = "demo";

pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the workspace is two levels up").to_owned()
}

/// A folder of definitions as it lies on the disk.
pub(crate) fn read_folder(directory: &Path) -> Folder {
    let mut files = Vec::new();
    collect(directory, "", &mut files);
    Folder { name: directory.file_name().expect("a name").to_string_lossy().into_owned(), files }
}

fn collect(directory: &Path, prefix: &str, files: &mut Vec<SourceFile>) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let entry = entry.expect("an entry");
        let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            collect(&entry.path(), &format!("{path}/"), files);
        } else {
            files.push(SourceFile { path, text: fs::read_to_string(entry.path()).expect("a text") });
        }
    }
}

/// The records of a folder's definitions.
pub(crate) fn records(folder: &Folder) -> Vec<(String, Definition)> {
    let definitions = load(folder, &|_| None).unwrap_or_else(|diagnostics| {
        panic!("{}", diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    });
    let record = |document: &definitions::Document| Definition {
        kind: document.kind.name().to_owned(),
        name: document.name.to_string(),
        version: document.version,
        body: document.body.clone(),
        digest: document.digest.clone(),
        status: DefinitionStatus::Active,
        applied_at: 0,
    };
    definitions.documents.iter().map(|document| (document.key(), record(document))).collect()
}

pub(crate) fn driver(settings: Settings, definitions: &[(String, Definition)]) -> TestDriver<Journeys> {
    let mut driver = TestDriver::<Journeys>::new(Policy::new(settings));
    for (key, definition) in definitions {
        apply(&mut driver, key, definition);
    }
    driver
}

pub(crate) fn apply(driver: &mut TestDriver<Journeys>, key: &str, definition: &Definition) {
    driver.table(0, key, Some(&encode("platform.definitions", definition))).expect("a definition that can be applied");
}

pub(crate) fn replay() -> Settings {
    Settings { replay: true, ..Settings::default() }
}

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

/// Something that a customer did, at that second.
pub(crate) fn track(customer: &str, name: &str, seconds: i64) -> StorefrontEvent {
    StorefrontEvent {
        message_id: format!("{customer}-{name}-{seconds}"),
        kind: EventKind::Track,
        name: name.to_owned(),
        shop: SHOP.to_owned(),
        source: "test".to_owned(),
        customer_id: Some(customer.to_owned()),
        anonymous_id: Some(customer.to_owned()),
        event_time: seconds * 1000,
        received_at: seconds * 1000,
        ..StorefrontEvent::default()
    }
}

pub(crate) fn product(id: &str) -> Product {
    Product { product_id: Some(id.to_owned()), name: Some(format!("Product {id}")), ..Product::default() }
}

pub(crate) fn feed(driver: &mut TestDriver<Journeys>, customer: &str, event: &StorefrontEvent) {
    let stored_at = Timestamp::from_millis(event.received_at);
    driver.input("storefront.events", customer, &encode("storefront.events", event), stored_at);
}

pub(crate) fn state(driver: &TestDriver<Journeys>, customer: &str) -> JourneysState {
    driver.state(customer).unwrap_or_default()
}

/// What came out, taken apart.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub(crate) requests: Vec<MessageRequest>,
    pub(crate) decisions: Vec<JourneyDecision>,
}

impl Written {
    pub(crate) fn of(driver: &mut TestDriver<Journeys>) -> Self {
        let mut written = Self::default();
        for output in driver.outputs() {
            match output {
                Output::Request(request) => written.requests.push(*request),
                Output::Decision(decision) => written.decisions.push(*decision),
            }
        }
        written
    }

    pub(crate) fn of_journey<'w>(&'w self, journey: &'w str) -> impl Iterator<Item = &'w JourneyDecision> {
        self.decisions.iter().filter(move |decision| decision.journey == journey)
    }

    pub(crate) fn count(&self, journey: &str, decision: Decision, step: Option<&str>) -> usize {
        self.of_journey(journey)
            .filter(|record| record.decision == decision && (step.is_none() || record.step.as_deref() == step))
            .count()
    }
}
