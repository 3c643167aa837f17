//! When it is said that nothing is left of somebody, by what the stores hold. No service runs: what they would have written is
//! put there.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::Timestamp;
use ingestion::partition_of;
use kafka::Appender;
use messaging::MessagingState;
use schemas::{
    ChangelogRecord, PrivacyKind, PrivacyMeans, PrivacyPlace, PrivacyReceipt, PrivacyRequest, PrivacyStage,
    StateContract, UnreachableAddress,
};
use segmentation::SegmentationState;
use store::{Looked, LookupError, Lookups, Members, MembersQuery};
use stream::{Partition, StorePosition};
use vuelve::embedded::Embedded;
use vuelve::erasure::Eraser;
use vuelve::hosting::Installation;

use crate::shop::{PARTITIONS, now};

const TIMEOUT: Duration = Duration::from_secs(10);

/// A store that holds these values.
#[derive(Debug, Default)]
struct Holds(HashMap<&'static str, Bytes>);

fn position() -> StorePosition {
    StorePosition { generation: String::new(), log: String::new(), header_offset: 0 }
}

impl Lookups for Holds {
    fn get_all(&self, wanted: &[(Partition, &str)]) -> Result<Vec<Looked>, LookupError> {
        let looked =
            |(_, key): &(Partition, &str)| Looked { position: position().into(), value: self.0.get(key).cloned() };
        Ok(wanted.iter().map(looked).collect())
    }

    fn members(&self, asked: &[(Partition, MembersQuery)]) -> Result<Vec<Members>, LookupError> {
        Ok(asked.iter().map(|_| Members { position: position(), count: 0, keys: Vec::new() }).collect())
    }
}

/// What is held against an address of somebody who followed an old link.
fn unreachable() -> Vec<UnreachableAddress> {
    vec![UnreachableAddress {
        channel: "email".to_owned(),
        address_hash: "0f".repeat(16),
        ..UnreachableAddress::default()
    }]
}

/// What messaging keeps of her.
fn by_messaging() -> MessagingState {
    MessagingState { unreachable: unreachable(), ..MessagingState::default() }
}

/// What segmentation keeps of her: nothing else, or also that she has an address.
fn by_segmentation(has_email: bool) -> SegmentationState {
    let erased_at = Some(Timestamp::from_millis(1_000));
    SegmentationState { erased_at, unreachable: unreachable(), has_email, ..SegmentationState::default() }
}

fn value<S>(installation: &Installation, service: &str, state: S) -> Bytes
where
    S: StateContract,
    ChangelogRecord<S>: schemas::Contract,
{
    let mut bytes = Vec::new();
    let record = ChangelogRecord { header: None, time: None, state: Some(state) };
    installation.schemas.encode(&format!("{service}.changelog"), &record, &mut bytes).unwrap();
    bytes.into()
}

/// She was asked for, and no service knows her any more; what two stores hold is left to be looked at.
async fn are_forgotten(installation: &Installation, appender: &Appender, customers: &[&str]) {
    for customer in customers {
        let request = PrivacyRequest {
            request_id: "gdpr-1".to_owned(),
            kind: PrivacyKind::Erase,
            customer_id: Some((*customer).to_owned()),
            shop: "main".to_owned(),
            at: 1_000,
            source: "madrid".to_owned(),
            ..PrivacyRequest::default()
        };
        let place = |dataset: &str| PrivacyPlace {
            dataset: dataset.to_owned(),
            partition: partition_of(customer.as_bytes(), i32::try_from(PARTITIONS).unwrap()),
            until_offset: 0,
            means: PrivacyMeans::Store,
            removed_at: None,
        };
        let receipt = PrivacyReceipt {
            request_id: request.request_id.clone(),
            kind: request.kind,
            customer_id: request.customer_id.clone(),
            shop: request.shop.clone(),
            source: request.source.clone(),
            requested_at: request.at,
            stage: PrivacyStage::Forgotten,
            at: now().as_millis(),
            ids: vec![(*customer).to_owned()],
            places: ["segmentation.changelog", "messaging.changelog"].map(place).to_vec(),
            ..PrivacyReceipt::default()
        };
        let records = [
            installation.record("privacy.requests", None, *customer, Some(&request)).unwrap(),
            installation.record("privacy.receipts", None, *customer, Some(&receipt)).unwrap(),
        ];
        appender.append(&records).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_follows_an_old_link_gets_her_receipt_and_what_a_store_holds_beyond_that_is_still_left() {
    let embedded = Embedded::start(64 << 20, PARTITIONS, Vec::new()).await.unwrap();
    let installation = Installation::of(&embedded.config, "0");
    installation.create(1, TIMEOUT).await.unwrap();
    let appender = Appender::new(&installation.cluster, "test", TIMEOUT).unwrap();
    let customers = ["ana", "berta", "carla"];
    are_forgotten(&installation, &appender, &customers).await;
    let (of_messaging, of_segmentation, of_somebody) = (
        value(&installation, "messaging", by_messaging()),
        value(&installation, "segmentation", by_segmentation(false)),
        value(&installation, "segmentation", by_segmentation(true)),
    );
    // The first followed a link, and so did the second, of whom a store holds more. The third did not: a store is behind.
    for customer in ["ana", "berta"] {
        let changes =
            [("messaging.changelog", Some(&of_messaging)), ("segmentation.changelog", Some(&of_segmentation))];
        for (dataset, value) in changes {
            let record = installation.record::<ChangelogRecord<MessagingState>>(dataset, None, customer, None).unwrap();
            appender.append(&[kafka::NewRecord { value: value.cloned(), ..record }]).await.unwrap();
        }
    }
    let held = [
        ("messaging", Holds(customers.map(|customer| (customer, of_messaging.clone())).into())),
        ("segmentation", Holds([("ana", of_segmentation), ("berta", of_somebody)].into())),
    ];
    let stores = held.map(|(service, holds)| (service.to_owned(), Arc::new(holds) as Arc<dyn Lookups>));
    let mut eraser = Eraser::new(installation.clone(), stores.into(), TIMEOUT);
    let looked = tokio::task::spawn_blocking(move || eraser.look(&|| true).unwrap()).await.unwrap();
    // Of two places of each.
    assert_eq!((looked.receipts, looked.places_left, looked.places), (1, 2, 4), "{looked:?}");

    // The installation was changed to keep its states in memory: there is no store any more in which something may be left.
    let mut eraser = Eraser::new(installation, HashMap::new(), TIMEOUT);
    let looked = tokio::task::spawn_blocking(move || eraser.look(&|| true).unwrap()).await.unwrap();
    assert_eq!((looked.receipts, looked.places_left), (2, 0), "{looked:?}");
    embedded.broker.shutdown().await;
}
