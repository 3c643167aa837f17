//! A driver with definitions in force, events to feed it, and what came out of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use definitions::{Folder, SourceFile, load};
use domain::Timestamp;
use journeys::{Journeys, JourneysState, Output, Policy, Settings};
use schemas::{
    Contract, CustomerEvent, CustomerView, Decision, Definition, DefinitionStatus, EventKind, JourneyDecision,
    MessageOutcome, MessageRequest, Outcome, Product, RequestAction, Schemas, StorefrontEvent, Transition,
};
use stream::{RecordRef, Service, TestDriver, TimeMode, WorkerSettings};

pub(crate) const SHOP: &str = "demo";
/// What journeys read.
pub(crate) const EVENTS: &str = "customer.events";

static SCHEMAS: LazyLock<Schemas> = LazyLock::new(Schemas::offline);

/// A value as it lies on a topic.
pub(crate) fn encode<T: Contract>(dataset: &str, value: &T) -> Vec<u8> {
    let mut buffer = Vec::new();
    SCHEMAS.encode(dataset, value, &mut buffer).expect("a value that fits its schema");
    buffer
}

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
    let worker = WorkerSettings { time_mode: TimeMode::Replay, ..WorkerSettings::default() };
    let mut driver = TestDriver::<Journeys>::with_schemas(Policy::new(settings), worker, SCHEMAS.clone());
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

/// Definitions of a test: journeys as given, the template `t` and the categories `cart` and `marketing`.
pub(crate) fn definitions(journeys: &str) -> Vec<(String, Definition)> {
    let others = "
template: t
en: { subject: Hello, body: <mjml></mjml> }
---
messaging: default
categories: { cart: {}, marketing: {} }
";
    let file = |path: &str, text: &str| SourceFile { path: path.to_owned(), text: text.to_owned() };
    let files = vec![file("journeys.yaml", journeys), file("others.yaml", others)];
    records(&Folder { name: "test".to_owned(), files })
}

/// The customer of most tests.
pub(crate) const ANA: &str = "ana";
pub(crate) const HOUR: i64 = 3_600;
pub(crate) const DAY: i64 = 24 * HOUR;

/// Journeys under test, with what they wrote.
pub(crate) struct World {
    pub(crate) driver: TestDriver<Journeys>,
    definitions: Vec<(String, Definition)>,
    settings: Settings,
    pub(crate) written: Written,
}

impl World {
    /// Live: what is late is late.
    pub(crate) fn new(journeys: &str) -> Self {
        Self::with(journeys, Settings::default())
    }

    pub(crate) fn with(journeys: &str, settings: Settings) -> Self {
        let definitions = definitions(journeys);
        let driver = driver(settings.clone(), &definitions);
        Self { driver, definitions, settings, written: Written::default() }
    }

    /// Something that she did, at that second.
    pub(crate) fn track(&mut self, name: &str, seconds: i64) {
        self.event(&track(ANA, name, seconds));
    }

    /// The same with a cart.
    pub(crate) fn track_cart(&mut self, name: &str, cart: &str, seconds: i64) {
        self.event(&StorefrontEvent { cart_id: Some(cart.to_owned()), ..track(ANA, name, seconds) });
    }

    pub(crate) fn event(&mut self, event: &StorefrontEvent) {
        feed(&mut self.driver, event.customer_id.as_deref().unwrap_or(ANA), event);
        self.collect();
    }

    pub(crate) fn advance(&mut self, seconds: i64) {
        self.driver.advance_to(at(seconds));
        self.collect();
    }

    /// Messaging says what became of the request; its worker stamps another time.
    pub(crate) fn outcome(&mut self, request: &MessageRequest, outcome: Outcome) {
        let record = MessageOutcome {
            message_id: request.message_id.clone(),
            customer_id: request.customer_id.clone(),
            shop: request.shop.clone(),
            journey: request.journey.clone(),
            journey_version: request.journey_version,
            run_id: request.run_id.clone(),
            step: request.step.clone(),
            template: request.template.clone(),
            category: request.category.clone(),
            channel: Some("email".to_owned()),
            outcome,
            due_at: request.due_at,
            expires_at: request.expires_at,
            decided_at: request.due_at + 1_000,
            attempts: 1,
            ..MessageOutcome::default()
        };
        let value = encode("messaging.outcomes", &record);
        self.driver.input("messaging.outcomes", &request.customer_id, &value, Timestamp::from_millis(request.due_at));
        self.collect();
    }

    pub(crate) fn apply(&mut self, key: &str, definition: &Definition) {
        self.definitions.retain(|(other, _)| other != key);
        self.definitions.push((key.to_owned(), definition.clone()));
        apply(&mut self.driver, key, definition);
        // A change of the policy alone reaches those who wait for it with the next look at the clock.
        self.driver.advance_to(Timestamp::MIN);
        self.collect();
    }

    /// Applies the journeys of a text.
    pub(crate) fn apply_text(&mut self, journeys: &str) {
        for (key, definition) in definitions(journeys) {
            if definition.kind == "journey" {
                self.apply(&key, &definition);
            }
        }
    }

    /// Pause, resume or stop, at that second.
    pub(crate) fn control(&mut self, journey: &str, number: i32, status: DefinitionStatus, seconds: i64) {
        let definition = Definition {
            kind: "control".to_owned(),
            name: journey.to_owned(),
            version: number,
            status,
            applied_at: seconds * 1000,
            ..Definition::default()
        };
        self.apply(&format!("control/{journey}/{number}"), &definition);
    }

    /// A policy of its own with the same definitions.
    pub(crate) fn policy(&self) -> Policy {
        let mut policy = Policy::new(self.settings.clone());
        for (key, definition) in &self.definitions {
            let value = encode("platform.definitions", definition);
            let record = RecordRef {
                input: 0,
                partition: 0,
                offset: 0,
                timestamp: Timestamp::MIN,
                key: Some(key.as_bytes()),
                value: Some(&value),
                traceparent: None,
                headers: None,
            };
            Journeys::apply_table(&mut policy, &SCHEMAS, &record).expect("a definition that was applied before");
        }
        policy
    }

    pub(crate) fn restart(&mut self) {
        let policy = self.policy();
        self.driver.restart(policy);
        self.collect();
    }

    pub(crate) fn state(&self) -> JourneysState {
        state(&self.driver, ANA)
    }

    fn collect(&mut self) {
        assert!(self.driver.halted().is_none(), "{:?}", self.driver.halted());
        let new = Written::of(&mut self.driver);
        self.written.requests.extend(new.requests);
        self.written.decisions.extend(new.decisions);
        self.written.forgotten.extend(new.forgotten);
    }
}

/// `entered@0`, `message_requested first@3600`, …: decisions as a test reads them.
pub(crate) fn story(decisions: &[JourneyDecision]) -> Vec<String> {
    let tell = |decision: &JourneyDecision| {
        let step = decision.step.as_deref().map(|step| format!(" {step}")).unwrap_or_default();
        let reason = decision.reason.as_deref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        format!("{:?}{step}{reason}@{}", decision.decision, decision.at / 1000)
    };
    decisions.iter().map(tell).collect()
}

pub(crate) fn feed(driver: &mut TestDriver<Journeys>, customer: &str, event: &StorefrontEvent) {
    let stored_at = Timestamp::from_millis(event.received_at);
    driver.input(EVENTS, customer, &told(event), stored_at);
}

/// A storefront event of a customer of whom nothing is known, as segmentation tells of it.
pub(crate) fn told(event: &StorefrontEvent) -> Vec<u8> {
    told_of(event, CustomerView::default(), &[])
}

/// The same of one who is somebody, with what changed by it.
pub(crate) fn told_of(event: &StorefrontEvent, customer: CustomerView, changes: &[Transition]) -> Vec<u8> {
    let record = CustomerEvent {
        customer_id: event.customer_id.clone().unwrap_or_default(),
        at: event.event_time,
        shop: event.shop.clone(),
        historical: event.historical,
        hops: event.hops,
        event: Some(Box::new(event.clone())),
        changes: changes.to_vec(),
        occasions: Vec::new(),
        customer,
    };
    encode(EVENTS, &record)
}

pub(crate) fn state(driver: &TestDriver<Journeys>, customer: &str) -> JourneysState {
    driver.state(customer).unwrap_or_default()
}

/// What came out, taken apart.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub(crate) requests: Vec<MessageRequest>,
    pub(crate) decisions: Vec<JourneyDecision>,
    /// Of whom messaging is told that they are forgotten.
    pub(crate) forgotten: Vec<String>,
}

impl Written {
    pub(crate) fn of(driver: &mut TestDriver<Journeys>) -> Self {
        let mut written = Self::default();
        for output in driver.outputs() {
            match output {
                Output::Request(request) => written.requests.push(*request),
                Output::Decision(decision) => written.decisions.push(*decision),
                Output::Forgotten(customer) => written.forgotten.push(customer.to_string()),
            }
        }
        written
    }

    /// The messages asked for: step and second at which it is due.
    pub(crate) fn messages(&self) -> Vec<(&str, i64)> {
        let asked = self.requests.iter().filter(|request| request.action == RequestAction::Request);
        asked.map(|request| (request.step.as_str(), request.due_at / 1000)).collect()
    }

    /// The runs whose messages were to be cancelled, and why.
    pub(crate) fn cancelled(&self) -> Vec<(&str, &str)> {
        let cancels = self.requests.iter().filter(|request| request.action == RequestAction::Cancel);
        cancels.map(|request| (request.run_id.as_str(), request.reason.as_deref().unwrap_or_default())).collect()
    }

    /// Why triggers opened no run.
    pub(crate) fn refusals(&self) -> Vec<&str> {
        let refused = self.decisions.iter().filter(|decision| decision.decision == Decision::NotEntered);
        refused.filter_map(|decision| decision.reason.as_deref()).collect()
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
