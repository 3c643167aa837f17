//! Every Rust type fits its schema, and every schema keeps the rules.

use schemas::conformance::check;
use schemas::{
    Definition, JourneyDecision, Mark, MessageOutcome, MessageRequest, MessagingCommand, StorefrontEvent, Suppression,
};

#[test]
fn every_rust_type_fits_its_schema() {
    check::<StorefrontEvent>().unwrap();
    check::<JourneyDecision>().unwrap();
    check::<MessageRequest>().unwrap();
    check::<MessageOutcome>().unwrap();
    check::<MessagingCommand>().unwrap();
    check::<Suppression>().unwrap();
    check::<Definition>().unwrap();
    check::<Mark>().unwrap();
}

#[test]
fn every_compiled_in_schema_parses() {
    for schema in schemas::schemas() {
        apache_avro::Schema::parse_str(schema.text()).unwrap_or_else(|error| panic!("{}: {error}", schema.name()));
    }
    assert_eq!(schemas::contracts().count(), 13);
    assert_eq!(schemas::topics("vuelve", 32).len(), 14);
}
