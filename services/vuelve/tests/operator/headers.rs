//! Waiting for definitions to be in force, by the headers that services write: here a test writes them.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use journeys::JourneysState;
use kafka::{Appender, NewRecord};
use messaging::MessagingState;
use schemas::{ChangelogHeader, Position, StateContract};
use vuelve::definition_topic::wait_until_in_force;
use vuelve::embedded::Embedded;
use vuelve::hosting::Installation;

use crate::shop::PARTITIONS;

const SOON: Duration = Duration::from_secs(30);
const HEADER_KEY: &[u8] = b"\0";

/// An installation in which nothing runs.
async fn place() -> (Embedded, Installation) {
    let embedded = Embedded::start(64 << 20, PARTITIONS, Vec::new()).await.unwrap();
    let installation = Installation::of(&embedded.config, "0");
    installation.create(1, SOON).await.unwrap();
    (embedded, installation)
}

fn record(installation: &Installation, service: &str, partition: u32, key: &[u8], value: Option<Vec<u8>>) -> NewRecord {
    NewRecord {
        topic: installation.cluster.topic(&format!("{service}.changelog")).into(),
        partition: Some(partition.cast_signed()),
        key: Some(key.to_vec()),
        value: value.map(Into::into),
        headers: [].into(),
    }
}

fn encoded<S: StateContract>(installation: &Installation, service: &str, definitions: i64) -> Vec<u8> {
    let tables = vec![Position { dataset: "platform.definitions".to_owned(), next_offset: definitions }];
    let header = ChangelogHeader { tables, ..ChangelogHeader::default() };
    let mut value = Vec::new();
    let dataset = format!("{service}.changelog");
    installation.schemas.encode_changelog::<S>(&dataset, Some(&header), None, None, &mut value).unwrap();
    value
}

/// A header in every partition: the definitions below this offset are taken up.
fn headers(installation: &Installation, definitions: i64) -> Vec<NewRecord> {
    let journeys = encoded::<JourneysState>(installation, "journeys", definitions);
    let messaging = encoded::<MessagingState>(installation, "messaging", definitions);
    let of = |service: &str, value: &Vec<u8>| {
        (0..PARTITIONS)
            .map(|partition| record(installation, service, partition, HEADER_KEY, Some(value.clone())))
            .collect::<Vec<_>>()
    };
    [of("journeys", &journeys), of("messaging", &messaging)].concat()
}

/// Records that are no headers, or none that can be read.
fn others(installation: &Installation, count: usize, key: &[u8], value: Option<&[u8]>) -> Vec<NewRecord> {
    let one = |partition| record(installation, "journeys", partition, key, value.map(<[u8]>::to_vec));
    (0..PARTITIONS).flat_map(|partition| std::iter::repeat_with(move || one(partition)).take(count)).collect()
}

async fn wait(installation: &Installation, offset: i64, patience: Duration) -> anyhow::Result<()> {
    let place = installation.clone();
    tokio::task::spawn_blocking(move || wait_until_in_force(&place, &["journeys", "messaging"], offset, patience))
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_services_write_all_the_time_waiting_ends_with_the_last_that_passes_or_at_its_deadline() {
    let (embedded, installation) = place().await;
    let appender = Appender::new(&installation.cluster, "test", SOON).unwrap();
    let in_force = Arc::new(AtomicI64::new(4));
    let (writes, says) = (installation.clone(), Arc::clone(&in_force));
    let writer = tokio::spawn(async move {
        loop {
            appender.append(&headers(&writes, says.load(Ordering::Relaxed))).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });

    let began = Instant::now();
    let told = wait(&installation, 5, Duration::from_secs(1)).await.unwrap_err().to_string();
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    assert!(told.contains("these have not taken up the definitions: journeys[0], journeys[1], messaging[0]"), "{told}");

    let waiting = wait(&installation, 5, SOON);
    let passing = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        in_force.store(5, Ordering::Relaxed);
    };
    tokio::join!(waiting, passing).0.unwrap();
    writer.abort();
    embedded.broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_ends_of_changelogs_are_read_as_far_back_as_their_last_header() {
    let (embedded, installation) = place().await;
    let appender = Appender::new(&installation.cluster, "test", SOON).unwrap();
    // Would be an error if it were read.
    appender.append(&others(&installation, 1, HEADER_KEY, Some(b"not a header"))).await.unwrap();
    appender.append(&others(&installation, 1_200, b"c-1", None)).await.unwrap();
    appender.append(&headers(&installation, 5)).await.unwrap();
    appender.append(&others(&installation, 100, b"c-1", None)).await.unwrap();
    wait(&installation, 5, SOON).await.unwrap();
    embedded.broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_by_writers_of_another_release_are_read() {
    let (embedded, installation) = place().await;
    let appender = Appender::new(&installation.cluster, "test", SOON).unwrap();
    let url = format!("{}/subjects/another-release/versions", embedded.broker.registry_url().unwrap());
    let theirs = JourneysState::changelog().text().replacen("\"doc\":", "\"release\": \"another\", \"doc\":", 1);
    let register = move || {
        let body = serde_json::json!({ "schema": theirs }).to_string();
        let answer = ureq::post(&url).content_type("application/json").send(body).unwrap().body_mut().read_to_string();
        serde_json::from_str::<serde_json::Value>(&answer.unwrap()).unwrap()["id"].as_u64().unwrap()
    };
    let id = tokio::task::spawn_blocking(register).await.unwrap();

    let mut new = headers(&installation, 5);
    for record in new.iter_mut().filter(|record| record.topic.contains("journeys")) {
        let mut value = record.value.take().unwrap().to_vec();
        value[1..5].copy_from_slice(&u32::try_from(id).unwrap().to_be_bytes());
        assert!(installation.schemas.missing(&value).is_some(), "this process does not know it");
        record.value = Some(value.into());
    }
    appender.append(&new).await.unwrap();
    wait(&installation, 5, SOON).await.unwrap();
    embedded.broker.shutdown().await;
}
