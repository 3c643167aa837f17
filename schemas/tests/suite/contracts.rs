//! Every Rust type fits its schema, and reads what other versions of it wrote as Avro's resolution would.

use crate::shared::{CURRENT, CounterState, DATASET, PAST, between, cases, framed, reference};
use schemas::conformance::{Example, check, datum};
use schemas::{ChangelogRecord, Contract};
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[test]
fn every_rust_type_fits_its_schema() {
    for case in cases() {
        (case.check)().unwrap();
    }
}

#[test]
fn a_rust_type_that_lacks_or_swaps_fields_is_found_out() {
    #[derive(Serialize, Deserialize)]
    struct Lacking {
        count: i64,
        labels: Vec<String>,
    }
    #[derive(Serialize, Deserialize)]
    struct Swapped {
        labels: Vec<String>,
        count: i64,
        note: Option<String>,
    }
    impl schemas::StateContract for Lacking {
        const NAME: &'static str = "CounterChangelog";
        fn changelog() -> &'static schemas::AvroSchema {
            <ChangelogRecord<CounterState>>::schema()
        }
    }
    impl schemas::StateContract for Swapped {
        const NAME: &'static str = "CounterChangelog";
        fn changelog() -> &'static schemas::AvroSchema {
            <ChangelogRecord<CounterState>>::schema()
        }
    }
    assert!(check::<ChangelogRecord<CounterState>>().is_ok());
    assert!(check::<ChangelogRecord<Lacking>>().is_err());
    assert!(check::<ChangelogRecord<Swapped>>().is_err());
}

#[test]
fn a_field_that_the_writer_lacked_gets_its_documented_default() {
    let mut tried = 0;
    for case in cases() {
        let current = case.schema.text();
        let whole: Value = serde_json::from_str(current).unwrap();
        for field in fields_with_default(&whole) {
            let mut past = whole.clone();
            let (fields, index) = field.rsplit_once('/').unwrap();
            past.pointer_mut(fields).unwrap().as_array_mut().unwrap().remove(index.parse().unwrap());
            let past = past.to_string();
            // A field that holds the definition of a type used further on can't be taken out.
            let Ok(written) = datum(&past, Example::Filled) else { continue };
            let rewritten = (case.rewrite)(&between(&past, current), &framed(PAST, &written), DATASET).unwrap();
            let seen = reference(current, current, &rewritten[5..]);
            assert_eq!(seen, reference(&past, current, &written), "{} without {field}", case.schema.name());
            tried += 1;
        }
    }
    assert!(tried > 90, "only {tried} fields have a default");
}

#[test]
fn a_symbol_that_the_reader_does_not_know_is_read_as_the_default() {
    let mut tried = 0;
    for case in cases() {
        let current = case.schema.text();
        let whole: Value = serde_json::from_str(current).unwrap();
        for symbols in pointers(&whole, "", &|value| value.get("symbols").is_some()) {
            let mut newer = whole.clone();
            let list = newer.pointer_mut(&format!("{symbols}/symbols")).unwrap().as_array_mut().unwrap();
            list.push("a_symbol_of_tomorrow".into());
            let newer = newer.to_string();
            let written = datum(&newer, Example::Filled).unwrap();
            let rewritten = (case.rewrite)(&between(&newer, current), &framed(PAST, &written), DATASET).unwrap();
            let seen = reference(current, current, &rewritten[5..]);
            assert_eq!(seen, reference(&newer, current, &written), "{}{symbols}", case.schema.name());
            tried += 1;
        }
    }
    assert_eq!(tried, 19, "each enum of the contracts");
}

#[test]
fn a_field_that_the_reader_does_not_know_is_passed_over() {
    for case in cases() {
        let current = case.schema.text();
        let mut newer: Value = serde_json::from_str(current).unwrap();
        let field = serde_json::json!({"name": "of_tomorrow", "default": null, "type": ["null", {
            "type": "array", "items": {"type": "record", "name": "OfTomorrow", "fields": [
                {"name": "text", "type": "string"}, {"name": "numbers", "type": {"type": "array", "items": "long"}}]}}]});
        newer["fields"].as_array_mut().unwrap().insert(1, field);
        let newer = newer.to_string();
        for seed in 0..20 {
            let written = datum(&newer, Example::Seeded(seed)).unwrap();
            let rewritten = (case.rewrite)(&between(&newer, current), &framed(PAST, &written), DATASET).unwrap();
            assert_eq!(rewritten[..5], framed(CURRENT, &[])[..]);
            assert_eq!(reference(current, current, &rewritten[5..]), reference(&newer, current, &written));
        }
    }
}

/// Where in a schema the fields with a default are.
fn fields_with_default(schema: &Value) -> Vec<String> {
    pointers(schema, "", &|value| {
        value.get("name").is_some() && value.get("default").is_some() && value.get("symbols").is_none()
    })
}

/// Where in a JSON value the objects are that are wanted.
fn pointers(value: &Value, at: &str, wanted: &dyn Fn(&Value) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    if wanted(value) {
        found.push(at.to_owned());
    }
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, member)| found.extend(pointers(member, &format!("{at}/{name}"), wanted)));
        }
        Value::Array(elements) => {
            for (index, element) in elements.iter().enumerate() {
                found.extend(pointers(element, &format!("{at}/{index}"), wanted));
            }
        }
        _ => {}
    }
    found
}
