//! What the tests of several files need: every contract as a case, and the reference implementation at hand.

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use schemas::conformance::{self, Mismatch};
use schemas::{
    Admission, AvroSchema, ChangelogRecord, Contract, CustomerEvent, CustomerProfile, CustomerReachability,
    CustomerScore, DecodeError, Definition, JourneyDecision, Mark, MessageOutcome, MessageRequest, MessagingCommand,
    PrivacyReceipt, PrivacyRequest, Quintiles, Schemas, SegmentChange, StateContract, StorefrontEvent, Suppression,
};
use serde::{Deserialize, Serialize};

/// A state such as a service has, so that changelogs are tested without a service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct CounterState {
    pub(crate) count: i64,
    pub(crate) labels: Vec<String>,
    pub(crate) note: Option<String>,
}

pub(crate) static COUNTER_CHANGELOG: AvroSchema = AvroSchema::changelog(
    "CounterChangelog",
    "vuelve.test",
    r#"{"type": "record", "name": "CounterState", "namespace": "vuelve.test", "doc": "Counts.", "fields": [
        {"name": "count", "type": "long", "doc": "How many."},
        {"name": "labels", "type": {"type": "array", "items": "string"}, "doc": "Labels."},
        {"name": "note", "type": ["null", "string"], "doc": "A note.", "default": null}
    ]}"#,
);

impl StateContract for CounterState {
    const NAME: &'static str = "CounterChangelog";

    fn changelog() -> &'static AvroSchema {
        &COUNTER_CHANGELOG
    }
}

type Rewrite = fn(&Schemas, &[u8], &str) -> Result<Vec<u8>, DecodeError>;

/// A contract without its type.
pub(crate) struct Case {
    pub(crate) schema: &'static AvroSchema,
    /// Whether the Rust type fits the schema.
    pub(crate) check: fn() -> Result<(), Mismatch>,
    /// Reads a framed value and writes it again, for this dataset.
    pub(crate) rewrite: Rewrite,
    /// Whether the framed value reads as what the JSON says.
    pub(crate) reads_as: fn(&Schemas, &[u8], &serde_json::Value) -> Result<bool, String>,
}

fn case<T: Contract + PartialEq>() -> Case {
    Case {
        schema: T::schema(),
        check: conformance::check::<T>,
        rewrite: |schemas, framed, dataset| {
            let value: T = schemas.decode(framed)?;
            let mut out = Vec::new();
            schemas.encode(dataset, &value, &mut out).expect("what was read can be written");
            let again: T = schemas.decode(&out).expect("what was written can be read");
            assert!(value == again, "{}: a value changes when it is written and read", T::NAME);
            Ok(out)
        },
        reads_as: |schemas, framed, json| {
            let value: T = schemas.decode(framed).map_err(|error| error.to_string())?;
            let expected: T = serde_json::from_value(json.clone()).map_err(|error| error.to_string())?;
            Ok(value == expected)
        },
    }
}

/// Every record contract, and a changelog.
pub(crate) fn cases() -> Vec<Case> {
    vec![
        case::<StorefrontEvent>(),
        case::<JourneyDecision>(),
        case::<SegmentChange>(),
        case::<Quintiles>(),
        case::<Admission>(),
        case::<CustomerEvent>(),
        case::<CustomerProfile>(),
        case::<CustomerReachability>(),
        case::<CustomerScore>(),
        case::<MessageRequest>(),
        case::<MessageOutcome>(),
        case::<MessagingCommand>(),
        case::<Suppression>(),
        case::<PrivacyRequest>(),
        case::<PrivacyReceipt>(),
        case::<Definition>(),
        case::<Mark>(),
        case::<ChangelogRecord<CounterState>>(),
    ]
}

/// Schema id of the past version, and of what is written now, in [`between`].
pub(crate) const PAST: u32 = 1;
pub(crate) const CURRENT: u32 = 2;
pub(crate) const DATASET: &str = "test.dataset";

/// Knows a writer's schema under [`PAST`] and the current one, to which [`DATASET`] is bound, under [`CURRENT`].
pub(crate) fn between(past: &str, current: &str) -> Schemas {
    let schemas = Schemas::new();
    schemas.learn(PAST, past).unwrap();
    schemas.learn(CURRENT, current).unwrap();
    schemas.bind(DATASET, CURRENT);
    schemas
}

pub(crate) fn framed(id: u32, datum: &[u8]) -> Vec<u8> {
    [&[0], &id.to_be_bytes()[..], datum].concat()
}

/// Reads Avro bytes with the reference implementation, resolved to the reader's schema.
pub(crate) fn reference(writer: &str, reader: &str, datum: &[u8]) -> Value {
    let (writer, reader) = (Schema::parse_str(writer).unwrap(), Schema::parse_str(reader).unwrap());
    let mut rest = datum;
    let value =
        GenericDatumReader::builder(&writer).reader_schema(&reader).build().unwrap().read_value(&mut rest).unwrap();
    assert!(rest.is_empty(), "bytes are left over");
    value
}
