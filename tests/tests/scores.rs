//! A shop's own model and its loyalty system publish what they score with a stock client, straight to Kafka: she enters the
//! segment that asks for it, and whoever asks for her is told; what breaks the contract is put aside as it came.
#![allow(clippy::unwrap_used, reason = "a test may fail by it")]

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use proto::FieldMask;
use proto::segmentation::v1::segmentation_service_client::SegmentationServiceClient;
use proto::segmentation::v1::{Customer, GetCustomerRequest};
use serde_json::{Value, json};
use testkit::clients::{AvroWriter, TopicRecord};
use testkit::{free_port, wait_until};
use tests::added;
use tests::installation::{Installation, PARTITIONS, State, topic};
use tonic::transport::Endpoint;

const LIMIT: Duration = Duration::from_mins(2);
const SCORES: &str = "customer.scores";

const SEGMENTS: &str = "
segment: save-the-gold
version: 1
enter: customer.scores.churn >= 70 && customer.tier == 'gold'
---
segment: visitor
version: 1
group: lifecycle
priority: 1
enter: customer.known
";

fn publish(installation: &Installation, records: &[Value]) {
    let (kafka, registry) = (installation.kafka.bootstrap_servers(), installation.registry.url());
    let writer = AvroWriter { settings: &[("partitioner", "murmur2_random")], ..AvroWriter::default() };
    writer.write(&kafka, &registry, &topic(SCORES), records, LIMIT).unwrap();
}

/// A record of hers: what the shop's own program knows, and what it leaves to the defaults.
fn scored(score: &Value) -> Value {
    let mut value =
        json!({ "customer_id": "ana", "scored_at": Timestamp::now().as_millisecond(), "version": "churn-7" });
    value.as_object_mut().unwrap().extend(score.as_object().unwrap().clone());
    json!({ "key": "ana", "value": value })
}

#[test]
fn what_a_shops_own_systems_score_of_her_brings_her_into_a_segment_and_is_told_to_whoever_asks() {
    let installation = Installation::start("live", State::Redis).unwrap();
    let services = installation.run_each(&["door", "resolver"], 0..1).unwrap();
    let address = format!("127.0.0.1:{}", free_port().unwrap());
    let _segmentation = installation.run_with(&["segmentation"], 0, &[format!("grpc.listen={address}")]).unwrap();
    installation.wait_for_door(&services[0]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("segments.yaml"), SEGMENTS).unwrap();
    installation.command(&["apply", &folder.path().display().to_string(), "--wait"]).unwrap();
    installation.post("/v1/track", &[], &added("ana")).unwrap();
    let known = |what: &str, is_so: &dyn Fn(&Customer) -> bool| {
        wait_until(LIMIT, what, || customer(&address, "ana").filter(|ana| is_so(ana))).unwrap()
    };
    let ana = known("her", &|ana| !ana.segments.is_empty());
    assert_eq!((ana.scores.len(), ana.tier.as_str(), ana.lifecycle.as_str()), (0, "", "visitor"));

    let bad = scored(&json!({ "name": "churn", "value": 80, "label": "high" }));
    let mut elsewhere = scored(&json!({ "name": "churn", "value": 90 }));
    elsewhere["partition"] = json!((ingestion::partition_of(b"ana", PARTITIONS) + 1) % PARTITIONS);
    publish(
        &installation,
        &[
            scored(&json!({ "name": "churn", "value": 80 })),
            bad,
            json!({ "key": "ana", "bytes": STANDARD.encode("no Avro at all") }),
            elsewhere,
            scored(&json!({ "name": "tier", "label": "gold" })),
        ],
    );
    let ana = known("her scores", &|ana| ana.scores.len() == 2);
    let scores: Vec<_> = ana.scores.iter().map(|of| (of.name.as_str(), of.value, of.label.as_deref())).collect();
    assert_eq!(scores, [("churn", Some(80), None), ("tier", None, Some("gold"))]);
    assert!(ana.scores.iter().all(|of| of.scored_at.is_some() && of.version == "churn-7"));
    assert_eq!((ana.tier.as_str(), ana.lifecycle.as_str()), ("gold", "visitor"));

    let changes = wait_until(LIMIT, "a change of segments", || {
        let records = installation.records("customer.segments").ok()?;
        (records.len() >= 2).then_some(records)
    })
    .unwrap();
    let words = |value: &Value| ["segment", "change", "cause"].map(|name| value[name].as_str().unwrap().to_lowercase());
    assert_eq!(words(&changes[1].value), ["save-the-gold", "entered", "score"]);
    let detail: Value = serde_json::from_str(changes[1].value["detail_json"].as_str().unwrap()).unwrap();
    assert_eq!(detail, json!({ "scores.churn": 80, "tier": "gold" }));

    // Each change is told, with who she is as of it.
    let told = installation.records("customer.events").unwrap();
    let tiers: Vec<_> = told.iter().map(|told| told.value["customer"]["tier"].as_str()).collect();
    assert_eq!(tiers, [None, None, Some("gold")], "an event, and two scores between events");

    let written = installation.raw_records(SCORES).unwrap();
    let letters = wait_until(LIMIT, "what was put aside", || {
        installation.raw_records("platform.deadletters").ok().filter(|letters| letters.len() >= 3)
    })
    .unwrap();
    assert!(letters.iter().all(|letter| written.iter().any(|written| written.value == letter.value)), "as they came");
    let say = |letter: &TopicRecord, reason: &str| {
        letter.headers.iter().any(|(_, value)| value.as_deref().is_some_and(|value| value.contains(reason)))
    };
    for reason in ["value_and_label", "malformed", "foreign_partition"] {
        assert_eq!(letters.iter().filter(|letter| say(letter, reason)).count(), 1, "{reason}: {letters:?}");
    }

    // What is held about her holds them, too.
    let held = folder.path().join("ana.json");
    installation.command(&["customers", "data", "ana", "--out", &held.display().to_string()]).unwrap();
    let held: Value = serde_json::from_str(&std::fs::read_to_string(held).unwrap()).unwrap();
    assert_eq!(held["states"]["segmentation"]["ana"]["scores"].as_array().map(Vec::len), Some(2), "{held}");
    assert_eq!(held["records"][SCORES].as_array().map(Vec::len), Some(5));
    let values = held["records"][SCORES].as_array().unwrap().iter().map(|record| &record["value"]["value"]);
    assert_eq!(values.filter(|value| **value == json!(80)).count(), 2, "one of them breaks the contract");
}

/// Asks for what others scored of her, and where she stands; none while nobody answers, or knows her.
fn customer(address: &str, customer: &str) -> Option<Customer> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        let mut client = SegmentationServiceClient::new(endpoint.connect().await.ok()?);
        let paths = ["scores", "tier", "lifecycle", "segments"].map(str::to_owned).to_vec();
        let request = GetCustomerRequest {
            customer_id: customer.to_owned(),
            read_mask: Some(FieldMask { paths }),
            ..GetCustomerRequest::default()
        };
        client.get_customer(request).await.ok()?.into_inner().customer
    })
}
