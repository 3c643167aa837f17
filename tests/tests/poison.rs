//! Records that nobody can use, on the topics of a real Kafka: they are put aside as they came, and everything else goes on.
#![allow(clippy::unwrap_used, reason = "a test may fail by it")]

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use testkit::clients::TopicRecord;
use testkit::wait_until;
use tests::added;
use tests::installation::{Installation, State};

const LIMIT: Duration = Duration::from_mins(2);
/// No frame, no text, and a zero byte in the middle.
const NO_EVENT: &[u8] = b"\xff\x00 no event\n\xfe";
/// The frame of a schema that nobody registered.
const NO_SCHEMA: &[u8] = b"\x00\x7f\xff\xff\xffrest";
const HEADERS: [(&str, &str); 3] =
    [("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), ("own", "header"), ("own", "again")];

#[test]
fn a_poison_record_on_any_topic_is_a_dead_letter_byte_for_byte_with_its_headers_and_the_next_record_goes_on() {
    let installation = Installation::start("live", State::Redis).unwrap();
    let services = installation.run_each(&["door", "resolver", "journeys", "segmentation"], 0..1).unwrap();
    installation.wait_for_door(&services[0]).unwrap();
    let readers =
        [("storefront.received", "ingestion"), ("storefront.events", "segmentation"), ("customer.events", "journeys")];
    for (dataset, refused_by) in readers {
        let larger_than_any_of_ours = vec![0x7f; 1_020_000];
        let poison = [NO_EVENT, NO_SCHEMA, &larger_than_any_of_ours];
        for value in poison {
            installation.produce(dataset, "ana", &HEADERS, value).unwrap();
        }
        let letters = letters_from(&installation, dataset, poison.len());
        for (letter, value) in letters.iter().zip(poison) {
            assert_eq!(letter.value.as_str().unwrap(), STANDARD.encode(value), "byte for byte");
            assert_eq!(letter.key.as_deref(), Some("ana"));
            assert_eq!(error(letter, "class.name"), refused_by);
            assert_eq!(error(letter, "exception.class.name"), "malformed");
            assert!(!error(letter, "exception.message").is_empty());
            let own = letter.headers.iter().filter(|(name, _)| !name.starts_with(PREFIX));
            let own: Vec<_> = own.map(|(name, value)| (name.as_str(), value.as_deref().unwrap())).collect();
            assert_eq!(own, HEADERS);
        }
    }

    // What comes behind them, under the same key, goes all the way.
    installation.post("/v1/track", &[], &added("ana")).unwrap();
    let ids = wait_until(LIMIT, "the event behind the poison", || {
        let events = installation.raw_records("customer.events").unwrap();
        (events.len() == 4).then(|| events.into_iter().map(|event| (event.key, event.partition)).collect::<Vec<_>>())
    })
    .unwrap();
    assert!(ids.iter().all(|id| *id == ids[0]), "the same partition, by the same partitioner: {ids:?}");
    assert!(services.iter().all(testkit::Process::is_running));
    assert_eq!(installation.raw_records("platform.deadletters").unwrap().len(), 9, "each was put aside once");
}

const PREFIX: &str = "__connect.errors.";

/// The dead letters of a dataset, in the order of their records.
fn letters_from(installation: &Installation, dataset: &str, count: usize) -> Vec<TopicRecord> {
    let topic = tests::installation::topic(dataset);
    let mut letters = wait_until(LIMIT, "the dead letters", || {
        let mut letters = installation.raw_records("platform.deadletters").ok()?;
        letters.retain(|letter| error(letter, "topic") == topic);
        (letters.len() >= count).then_some(letters)
    })
    .unwrap();
    letters.sort_by_key(|letter| error(letter, "offset").parse::<i64>().unwrap());
    letters
}

fn error<'a>(letter: &'a TopicRecord, name: &str) -> &'a str {
    let header = letter.headers.iter().find(|(found, _)| found.strip_prefix(PREFIX) == Some(name));
    header.and_then(|(_, value)| value.as_deref()).unwrap_or_default()
}
