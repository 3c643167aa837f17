//! A driver with templates and categories in force, and short words for what the tests say.

use std::sync::OnceLock;

use bytes::Bytes;
use domain::Timestamp;
use links::{AddressHash, Secret};
use messaging::{Attempt, Completion, Email, Messaging, Output, Policy, Refusal, RefusalKind, Settings};
use schemas::{
    CommandKind, Contract, Definition, MessageOutcome, MessageRequest, MessagingCommand, Outcome, Recipient,
    RequestAction, Schemas, Suppression, SuppressionReason,
};
use stream::{ClaimId, Key, RecordRef, Service as _, TestDriver};

pub(crate) const CUSTOMER: &str = "c-1";
pub(crate) const EMAIL: &str = "Ana@example.com";
pub(crate) const HOUR: i64 = 3_600_000;
pub(crate) const START: i64 = 1_750_000_000_000;

/// Messaging under test.
pub(crate) struct Bench {
    pub(crate) driver: TestDriver<Messaging>,
    settings: Settings,
    tables: Vec<(usize, String, Option<Bytes>)>,
    in_flight: usize,
}

fn schemas() -> &'static Schemas {
    static SCHEMAS: OnceLock<Schemas> = OnceLock::new();
    SCHEMAS.get_or_init(Schemas::offline)
}

pub(crate) fn encode<T: Contract>(dataset: &str, value: &T) -> Bytes {
    let mut bytes = Vec::new();
    schemas().encode(dataset, value, &mut bytes).unwrap();
    bytes.into()
}

pub(crate) fn secret() -> Secret {
    Secret::new(*b"sixteen bytes or more").unwrap()
}

pub(crate) fn hash_of(address: &str) -> String {
    AddressHash::of(&secret(), address).to_string()
}

pub(crate) fn at(offset_ms: i64) -> Timestamp {
    Timestamp::from_millis(START + offset_ms)
}

const MESSAGING: &str = "
messaging: default
categories:
  transactional: { priority: 100, consent: none }
  cart: { priority: 80, consent: marketing }
";

fn template(name: &str) -> String {
    let body = "<mjml><mj-body><mj-section><mj-column><mj-text>Hi</mj-text></mj-column></mj-section></mj-body></mjml>";
    format!("template: {name}\nversion: 1\nen:\n  subject: Hello\n  body: '{body}'\n")
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(Settings::default())
    }

    pub(crate) fn with(settings: Settings) -> Self {
        let driver = TestDriver::new(Policy::new(settings.clone(), secret()));
        let mut bench = Self { driver, settings, tables: Vec::new(), in_flight: 0 };
        bench.define("messaging", "default", MESSAGING);
        for name in ["cart-reminder-1", "cart-reminder-2", "receipt"] {
            bench.define("template", name, &template(name));
        }
        bench
    }

    pub(crate) fn define(&mut self, kind: &str, name: &str, body: &str) {
        let definition = Definition {
            kind: kind.to_owned(),
            name: name.to_owned(),
            version: 1,
            body: body.to_owned(),
            digest: format!("digest of {name}"),
            ..Definition::default()
        };
        let bytes = encode("platform.definitions", &definition);
        self.table(0, &format!("{kind}/{name}/1"), Some(bytes));
    }

    pub(crate) fn undefine(&mut self, kind: &str, name: &str) {
        self.table(0, &format!("{kind}/{name}/1"), None);
    }

    pub(crate) fn suppress(&mut self, address: &str, reason: SuppressionReason) {
        self.suppress_since(address, reason, 0);
    }

    pub(crate) fn suppress_since(&mut self, address: &str, reason: SuppressionReason, seconds: i64) {
        let since = at(seconds).as_millis();
        let suppression = Suppression { address_hash: hash_of(address), reason, since, ..Suppression::default() };
        let bytes = encode("messaging.suppressions", &suppression);
        self.table(1, &suppression.address_hash, Some(bytes));
    }

    pub(crate) fn lift(&mut self, address: &str) {
        self.table(1, &hash_of(address), None);
    }

    fn table(&mut self, table: usize, key: &str, value: Option<Bytes>) {
        self.driver.table(table, key, value.as_deref()).unwrap();
        self.tables.push((table, key.to_owned(), value));
    }

    pub(crate) fn send(&mut self, request: &MessageRequest) {
        let bytes = encode("messaging.requests", request);
        let stored_at = Timestamp::from_millis(request.requested_at);
        self.driver.input("messaging.requests", &request.customer_id, &bytes, stored_at);
    }

    pub(crate) fn command(&mut self, command: &MessagingCommand) {
        let bytes = encode("messaging.commands", command);
        self.driver.input("messaging.commands", &command.customer_id, &bytes, Timestamp::from_millis(command.at));
    }

    /// Room for one more: what is claimed for it, with the message's id.
    pub(crate) fn claim(&mut self) -> Vec<(Key, ClaimId, Email)> {
        self.driver.capacity(self.in_flight + 1);
        let claimed = self.driver.actions();
        self.driver.capacity(0);
        self.in_flight += claimed.len();
        claimed
    }

    /// Room for one more; exactly one claim is expected.
    pub(crate) fn claim_one(&mut self) -> (Key, ClaimId, Email) {
        let mut claimed = self.claim();
        assert_eq!(claimed.len(), 1, "one message is claimed");
        claimed.remove(0)
    }

    pub(crate) fn complete(&mut self, claimed: &(Key, ClaimId, Email), at: Timestamp, attempt: Attempt) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.driver.complete(&claimed.0, &claimed.1, Completion::new(at, attempt));
    }

    /// The process dies and another takes over: its tables are read again.
    pub(crate) fn restart(&mut self) {
        let mut policy = Policy::new(self.settings.clone(), secret());
        for (table, key, value) in &self.tables {
            let record = RecordRef {
                input: *table,
                partition: 0,
                offset: 0,
                timestamp: at(0),
                key: Some(key.as_bytes()),
                value: value.as_deref(),
                traceparent: None,
                headers: None,
            };
            Messaging::apply_table(&mut policy, schemas(), &record).unwrap();
        }
        self.in_flight = 0;
        self.driver.restart(policy);
    }

    /// What became of the messages since the last call: (message, outcome, reason).
    pub(crate) fn outcomes(&mut self) -> Vec<(String, Outcome, Option<String>)> {
        self.records().into_iter().map(|outcome| (outcome.message_id, outcome.outcome, outcome.reason)).collect()
    }

    /// What was written since the last call, but for what others are told of addresses.
    pub(crate) fn outputs(&mut self) -> Vec<Output> {
        let of_addresses = |output: &Output| matches!(output, Output::Reachability(_) | Output::NoReachability(_));
        self.driver.outputs().into_iter().filter(|output| !of_addresses(output)).collect()
    }

    /// What others were told of her addresses since the last call: what is held against which; none where she is forgotten.
    pub(crate) fn told(&mut self) -> Vec<Option<Vec<(String, SuppressionReason)>>> {
        let told = |output| match output {
            Output::Reachability(told) => {
                let held = told.unreachable.into_iter().map(|held| (held.address_hash, held.reason));
                Some(Some(held.collect()))
            }
            Output::NoReachability(_) => Some(None),
            _ => None,
        };
        self.driver.outputs().into_iter().filter_map(told).collect()
    }

    pub(crate) fn records(&mut self) -> Vec<MessageOutcome> {
        let outputs = self.driver.outputs().into_iter();
        outputs.filter_map(|output| if let Output::Outcome(outcome) = output { Some(*outcome) } else { None }).collect()
    }

    /// The same; what was suppressed comes back by the table, as it does on Kafka.
    pub(crate) fn records_with_the_table(&mut self) -> Vec<MessageOutcome> {
        let mut outcomes = Vec::new();
        for output in self.driver.outputs() {
            match output {
                Output::Outcome(outcome) => outcomes.push(*outcome),
                Output::Suppression(suppression) => {
                    self.table(1, &suppression.address_hash, Some(encode("messaging.suppressions", &suppression)));
                }
                Output::Lifted { address_hash } => self.table(1, &address_hash, None),
                Output::Reachability(_) | Output::NoReachability(_) => {}
            }
        }
        outcomes
    }
}

pub(crate) fn request(message_id: &str, requested_at_ms: i64) -> MessageRequest {
    let requested_at = START + requested_at_ms;
    MessageRequest {
        message_id: message_id.to_owned(),
        action: RequestAction::Request,
        customer_id: CUSTOMER.to_owned(),
        shop: "shop".to_owned(),
        journey: "cart-recovery".to_owned(),
        journey_version: 1,
        run_id: format!("run of {message_id}"),
        step: "first".to_owned(),
        template: "cart-reminder-1".to_owned(),
        channels: vec!["email".to_owned()],
        category: "cart".to_owned(),
        due_at: requested_at,
        expires_at: requested_at + 12 * HOUR,
        requested_at,
        recipient: Some(Recipient { email: Some(EMAIL.to_owned()), ..Recipient::default() }),
        ..MessageRequest::default()
    }
}

pub(crate) fn receipt(message_id: &str, requested_at_ms: i64) -> MessageRequest {
    MessageRequest {
        category: "transactional".to_owned(),
        template: "receipt".to_owned(),
        ..request(message_id, requested_at_ms)
    }
}

pub(crate) fn cancel(run_of: &str, at_ms: i64) -> MessageRequest {
    MessageRequest {
        message_id: format!("run of {run_of}"),
        action: RequestAction::Cancel,
        reason: Some("exited".to_owned()),
        recipient: None,
        ..request(run_of, at_ms)
    }
}

pub(crate) fn unsubscribe(address: &str, at_ms: i64) -> MessagingCommand {
    MessagingCommand {
        request_id: format!("unsubscribe {at_ms}"),
        kind: CommandKind::Unsubscribe,
        customer_id: CUSTOMER.to_owned(),
        address_hash: Some(hash_of(address)),
        message_id: None,
        category: None,
        shop: "shop".to_owned(),
        at: START + at_ms,
        source: "one_click".to_owned(),
    }
}

pub(crate) fn subscribe(address: &str, at_ms: i64) -> MessagingCommand {
    let (request_id, source) = (format!("subscribe {at_ms}"), "preferences".to_owned());
    MessagingCommand { request_id, kind: CommandKind::Subscribe, source, ..unsubscribe(address, at_ms) }
}

pub(crate) fn refused(kind: RefusalKind, reason: &str) -> Attempt {
    Attempt::Refused(Refusal { kind, reason: reason.to_owned() })
}

#[allow(clippy::unnecessary_wraps, reason = "what it is compared with is an option")]
pub(crate) fn word(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// One outcome, without a reason.
pub(crate) fn ended(message_id: &str, outcome: Outcome) -> Vec<(String, Outcome, Option<String>)> {
    vec![(message_id.to_owned(), outcome, None)]
}

/// One outcome, with its reason.
pub(crate) fn ended_because(
    message_id: &str,
    outcome: Outcome,
    reason: &str,
) -> Vec<(String, Outcome, Option<String>)> {
    vec![(message_id.to_owned(), outcome, word(reason))]
}
