//! The list of topics is complete and keeps the promises about personal data.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use schemas::{Cleanup, Partitions, Timestamps, TopicSpec, Visibility, check_prefix, topics};
use serde_json::Value;

use crate::rules::fields;

const DAY: Duration = Duration::from_hours(24);

/// By this time an erased customer is gone.
const ERASURE_DEADLINE: Duration = DAY.saturating_mul(30);

fn topic(dataset: &str) -> TopicSpec {
    topics("vuelve", 32).into_iter().find(|spec| spec.dataset == dataset).unwrap()
}

#[test]
fn every_dataset_of_the_contract_is_listed_once() {
    let datasets: Vec<_> = topics("vuelve", 32).iter().map(|spec| spec.dataset).collect();
    assert_eq!(datasets.len(), datasets.iter().collect::<BTreeSet<_>>().len());
    for dataset in [
        "storefront.received",
        "storefront.events",
        "customer.segments",
        "customer.reachability",
        "customer.scores",
        "customer.quintiles",
        "customer.admissions",
        "journeys.decisions",
        "messaging.requests",
        "messaging.outcomes",
        "messaging.commands",
        "messaging.suppressions",
        "privacy.requests",
        "privacy.receipts",
        "platform.definitions",
        "platform.deadletters",
        "ingestion.changelog",
        "segmentation.changelog",
        "journeys.changelog",
        "messaging.changelog",
        "ingestion.marks",
        "journeys.marks",
    ] {
        assert!(datasets.contains(&dataset), "{dataset}");
    }
}

#[test]
fn every_schema_has_a_topic_and_every_topic_but_the_dead_letters_a_schema() {
    let used: BTreeSet<_> =
        topics("vuelve", 1).iter().filter_map(|spec| spec.schema).map(schemas::AvroSchema::name).collect();
    let known: BTreeSet<_> = schemas::schemas().iter().map(|schema| schema.name()).collect();
    assert_eq!(used, known);
    let without: Vec<_> = topics("vuelve", 1).into_iter().filter(|spec| spec.schema.is_none()).collect();
    assert_eq!(without.len(), 1);
    assert_eq!((without[0].dataset, without[0].subject()), ("platform.deadletters", None));
}

#[test]
fn every_attribute_says_something() {
    for spec in topics("vuelve", 32) {
        assert!(spec.about.ends_with('.') && spec.about.len() > 20, "{}", spec.dataset);
        assert!(!spec.key.is_empty(), "{}", spec.dataset);
        let services = Path::new(env!("CARGO_MANIFEST_DIR")).join("../services");
        assert!(spec.owner == "platform" || services.join(spec.owner).is_dir(), "{}: {}", spec.dataset, spec.owner);
    }
}

#[test]
fn a_topic_name_has_the_prefix_the_dataset_and_the_version_and_no_underscore() {
    for spec in topics("two-shops", 32) {
        assert_eq!(spec.name, format!("two-shops.{}.v1", spec.dataset));
        assert_eq!(spec.name.matches('.').count(), 3);
        assert!(!spec.name.contains('_') && spec.name.len() < 200);
        if spec.schema.is_some() {
            assert_eq!(spec.subject(), Some(format!("{}-value", spec.name)));
        }
    }
}

#[test]
fn a_prefix_that_would_mix_dots_and_underscores_is_refused() {
    for good in ["vuelve", "a", "shop-2", &"a".repeat(64)] {
        assert!(check_prefix(good).is_ok(), "{good}");
    }
    for bad in ["", "my_shop", "my.shop", "Shop", "2shop", "-", "ñ", "a b", &"a".repeat(65)] {
        let message = check_prefix(bad).unwrap_err().to_string();
        assert!(message.contains("lower-case letters"), "{message}");
    }
}

#[test]
fn personal_fields_exist_in_the_schema() {
    for spec in topics("vuelve", 1) {
        let fields = fields(&spec);
        for personal in spec.personal {
            assert!(fields.iter().any(|(path, _)| path == personal), "{}: there is no field {personal}", spec.dataset);
        }
    }
}

#[test]
fn what_is_kept_beyond_the_erasure_deadline_holds_nothing_personal() {
    for spec in topics("vuelve", 1) {
        let kept_long = match spec.cleanup {
            Cleanup::Delete => spec.retention > ERASURE_DEADLINE,
            Cleanup::Compact => spec.visibility == Visibility::Contract,
        };
        assert!(!kept_long || spec.personal.is_empty(), "{} is kept too long for personal data", spec.dataset);
        let is_state = spec.schema.is_some_and(|schema| schema.name().ends_with("Changelog"));
        assert!(
            spec.cleanup == Cleanup::Delete || spec.personal.is_empty() || is_state,
            "{}: of compacted topics only changelogs may hold personal data",
            spec.dataset
        );
    }
}

/// A minute in which a broker looks for what is to be deleted, compacted, or unlinked: none of it takes longer than an hour.
const BROKER_LOOKS: Duration = Duration::from_hours(1);

#[test]
fn wherever_a_customer_may_lie_she_is_gone_before_the_deadline_and_all_else_holds_no_personal_field() {
    for spec in topics("vuelve", 8) {
        let gone = spec.gone_within();
        if spec.holds_customers() {
            let gone = gone.unwrap_or_else(|| panic!("{}: nothing says when it is gone", spec.dataset));
            assert!(gone + BROKER_LOOKS < ERASURE_DEADLINE, "{}: {gone:?}", spec.dataset);
            assert!(gone <= schemas::erased_within());
        } else {
            assert!(spec.personal.is_empty() && spec.schema.is_some(), "{}", spec.dataset);
        }
    }
    assert!(schemas::erased_within() + BROKER_LOOKS < ERASURE_DEADLINE);
}

#[test]
fn a_request_is_there_until_the_erasure_is_through() {
    assert!(topic("privacy.requests").retention > schemas::erased_within() + DAY * 7);
    assert!(topic("privacy.receipts").retention > topic("privacy.requests").retention);
}

/// What a text may be in a topic that is kept longer than an erasure takes: ids and words of ours, of the shop's definitions
/// or of a platform, keyed hashes, and what a condition read, which names no person.
const HARMLESS: [&str; 29] = [
    "decision_id",
    "customer_id",
    "shop",
    "journey",
    "run_id",
    "correlation_key",
    "step",
    "reason",
    "template",
    "message_id",
    "channel",
    "trigger_message_id",
    "detail_json",
    "category",
    "change_id",
    "segment",
    "group",
    "trigger_name",
    "request_id",
    "address_hash",
    "source",
    "ids",
    "dataset",
    "remains",
    "currency",
    "kind",
    "name",
    "body",
    "digest",
];

#[test]
fn every_text_in_what_is_kept_long_is_known_to_be_harmless() {
    for spec in topics("vuelve", 1).into_iter().filter(|spec| !spec.holds_customers()) {
        if spec.gone_within().is_some_and(|gone| gone < ERASURE_DEADLINE) {
            continue;
        }
        for (path, node) in fields(&spec) {
            let name = path.rsplit('.').next().unwrap();
            let of = |node: &Value| node == "string" || node["type"] == "array" && node["items"] == "string";
            let is_text = of(&node["type"]) || node["type"].as_array().is_some_and(|either| either.iter().any(of));
            assert!(!is_text || HARMLESS.contains(&name), "{}: who says that {path} names nobody?", spec.dataset);
        }
    }
}

#[test]
fn a_changelog_is_compacted_within_the_erasure_deadline() {
    let changelogs: Vec<_> =
        topics("vuelve", 8).into_iter().filter(|spec| spec.dataset.ends_with(".changelog")).collect();
    let states = schemas::schemas().iter().filter(|schema| schema.name().ends_with("Changelog")).count();
    assert_eq!(changelogs.len(), states);
    for spec in changelogs {
        let lag_ms: u64 = spec.config["max.compaction.lag.ms"].parse().unwrap();
        assert!(Duration::from_millis(lag_ms) + spec.retention < ERASURE_DEADLINE / 2, "{}", spec.dataset);
        assert_eq!(spec.config["delete.retention.ms"], "86400000");
        assert_eq!((spec.partitions, spec.partition_count), (Partitions::Customer, 8));
        let schema: Value = serde_json::from_str(spec.schema.unwrap().text()).unwrap();
        let names: Vec<_> =
            schema["fields"].as_array().unwrap().iter().map(|field| field["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["header", "time", "state"]);
    }
}

#[test]
fn settings_follow_from_cleanup_retention_and_clock() {
    let received = topic("storefront.received");
    assert_eq!(received.timestamps, Timestamps::Broker);
    assert_eq!(received.config["message.timestamp.type"], "LogAppendTime");
    assert_eq!(received.config["cleanup.policy"], "delete");
    assert_eq!(received.config["retention.ms"], (7 * 86_400_000).to_string());
    assert_eq!(received.partition_count, 32);

    let suppressions = topic("messaging.suppressions");
    assert_eq!(suppressions.config["cleanup.policy"], "compact");
    assert_eq!(suppressions.config["message.timestamp.type"], "CreateTime");
    assert!(!suppressions.config.contains_key("retention.ms"));
    assert_eq!(suppressions.partition_count, 1);

    assert_eq!(topic("journeys.marks").config["retention.ms"], "3600000");
    assert_eq!(topic("journeys.decisions").retention, DAY * 365);
    assert_eq!(topic("platform.deadletters").retention, DAY * 28);
}

#[test]
fn a_topic_takes_every_value_that_the_codec_writes() {
    for spec in topics("vuelve", 1) {
        let max_bytes: usize = spec.config["max.message.bytes"].parse().unwrap();
        assert!(max_bytes > schemas::MAX_VALUE_BYTES + 10_000, "{}: no room for key and headers", spec.dataset);
    }
}
