//! Whose an id is when its owner is erased or gets a copy of her data: another customer's is not hers whatever a browser calls
//! itself, a device may be shared, and all that is hers is found each time.

use std::collections::HashMap;
use std::time::Duration;

use proto::segmentation::v1::GetCustomerRequest;
use proto::segmentation::v1::segmentation_service_client::SegmentationServiceClient;
use schemas::{CustomerEvent, PrivacyKind, PrivacyReceipt, PrivacyRequest};
use serde_json::{Value, json};
use tonic::transport::Channel;
use vuelve::embedded::Embedded;
use vuelve::erasure::Eraser;
use vuelve::hosting::Installation;

use crate::shop::{PARTITIONS, Shop, now};

const JOURNEY: &str = "
journey: left-cart
version: 1
trigger: { event: Product Added }
steps:
  - wait: 23h
";

/// What a browser tells: of whom, if she is known, on which device, with whose address.
fn told(customer: Option<&str>, device: &str, seen: &str) -> String {
    let traits = customer.map(|customer| json!({ "email": format!("{customer}@example.com") }));
    json!({
        "event": "Product Added", "userId": customer, "anonymousId": device,
        "messageId": format!("{seen}-{}", jiff::Timestamp::now()),
        "properties": { "cart_id": "cart-1", "product_id": seen },
        "context": { "traits": traits },
    })
    .to_string()
}

async fn knows(shop: &Shop, ids: &[&str]) {
    shop.until("customers", async |shop| {
        let told = shop.all::<CustomerEvent>("customer.events").await;
        let is_told = |id: &&str| told.iter().any(|told| told.customer_id == **id);
        ids.iter().all(is_told).then_some(())
    })
    .await;
}

async fn is_known(shop: &Shop, customer: &str) -> bool {
    let channel = Channel::from_shared(format!("http://{}", shop.grpc)).unwrap().connect().await.unwrap();
    let request = GetCustomerRequest { customer_id: customer.to_owned(), ..GetCustomerRequest::default() };
    SegmentationServiceClient::new(channel).get_customer(request).await.is_ok()
}

async fn data(shop: &Shop, arguments: &[&str]) -> Value {
    let told = shop.vuelve(&[&["customers", "data"], arguments, &["--out", "-"]].concat()).await;
    assert_eq!(told.code, Some(0), "{}", told.err);
    serde_json::from_str(&told.out).unwrap()
}

async fn erase(shop: &Shop, customer: &str) {
    let told = shop.vuelve(&["customers", "erase", customer, "--wait", "--patience", "60s"]).await;
    assert_eq!(told.code, Some(0), "{}", told.err);
}

async fn ask(shop: &Shop, kind: PrivacyKind, customer: &str, request_id: &str, address_hash: &str) {
    let request = PrivacyRequest {
        request_id: request_id.to_owned(),
        kind,
        customer_id: Some(customer.to_owned()),
        address_hash: Some(address_hash.to_owned()),
        shop: "main".to_owned(),
        at: now().as_millis(),
        source: "madrid".to_owned(),
        ..PrivacyRequest::default()
    };
    let mut value = Vec::new();
    shop.installation.schemas.encode("privacy.requests", &request, &mut value).unwrap();
    shop.append("privacy.requests", customer, &value, &[]).await;
}

async fn receipts(shop: &Shop) -> Vec<Vec<String>> {
    shop.all::<PrivacyReceipt>("privacy.receipts").await.into_iter().map(|receipt| receipt.ids).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_calls_another_customer_her_device_neither_gets_her_data_nor_has_her_erased() {
    let shop = Shop::open(JOURNEY).await;
    // Browsers alone tell of her: the resolver does not know that it is a customer's id.
    shop.post("/v1/track", told(Some("17850"), "phone", "a-chair")).await;
    knows(&shop, &["17850"]).await;
    shop.post("/v1/track", told(Some("eve"), "17850", "nothing")).await;
    knows(&shop, &["17850", "eve"]).await;

    let held = data(&shop, &["eve"]).await;
    assert_eq!(held["ids"], json!(["eve"]));
    assert!(!held.to_string().contains("17850@example.com") && !held.to_string().contains("a-chair"), "{held}");

    erase(&shop, "eve").await;
    assert_eq!(receipts(&shop).await, [["eve"]]);
    assert!(!is_known(&shop, "eve").await && is_known(&shop, "17850").await);
    let held = data(&shop, &["17850"]).await;
    assert_eq!(held["states"]["journeys"]["17850"]["contact"]["email"], "17850@example.com");
    assert!(!held.to_string().contains("eve@example.com"), "{held}");
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_erased_a_second_time_has_a_second_receipt_and_who_has_come_back_loses_her_device_again() {
    let shop = Shop::open(JOURNEY).await;
    shop.post("/v1/track", told(Some("ana"), "phone", "a-chair")).await;
    knows(&shop, &["ana"]).await;
    erase(&shop, "ana").await;
    erase(&shop, "ana").await;
    assert_eq!(receipts(&shop).await, [vec!["ana".to_owned(), "phone".to_owned()], vec!["ana".to_owned()]]);
    shop.post("/v1/track", told(Some("ana"), "phone", "a-table")).await;
    shop.until("her to be known again", async |shop| is_known(shop, "ana").await.then_some(())).await;
    erase(&shop, "ana").await;
    assert_eq!(receipts(&shop).await[2], ["ana", "phone"]);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_holds_nothing_of_another_person_on_the_same_device() {
    let shop = Shop::open(JOURNEY).await;
    shop.post("/v1/track", told(None, "tablet", "before-anybody")).await;
    shop.post("/v1/track", told(Some("ana"), "tablet", "of-ana")).await;
    shop.post("/v1/track", told(None, "tablet", "ana-alone")).await;
    shop.post("/v1/track", told(Some("berta"), "tablet", "of-berta")).await;
    shop.post("/v1/track", told(None, "tablet", "berta-alone")).await;
    shop.post("/v1/track", told(None, "own", "own-before")).await;
    shop.post("/v1/track", told(Some("ana"), "own", "own-after")).await;
    shop.append("storefront.received", "tablet", b"broken, of berta-broken", &[]).await;
    shop.append("storefront.received", "ana", b"broken, of ana-broken", &[]).await;
    knows(&shop, &["ana", "berta"]).await;
    // What the resolver says is hers is there under her id.
    shop.until("what is hers, and what was put aside", async |shop| {
        let held = data(shop, &["ana"]).await;
        let letters = held["records"]["platform.deadletters"].as_array().map_or(0, Vec::len);
        let is_told = held["records"]["storefront.events"].to_string().contains("ana-alone");
        (letters > 0 && is_told && held["ids"].as_array().unwrap().len() == 3).then_some(())
    })
    .await;

    let held = data(&shop, &["ana"]).await;
    assert_eq!(held["ids"], json!(["ana", "own", "tablet"]));
    let text = held.to_string();
    assert!(!text.contains("berta"), "{held:#}");
    let received = held["records"]["storefront.received"].as_array().unwrap();
    let seen = received.iter().filter_map(|record| record["value"]["product"]["product_id"].as_str());
    let mut seen: Vec<_> = seen.collect();
    seen.sort_unstable();
    assert_eq!(seen, ["of-ana", "own-after", "own-before"]);
    assert_eq!(held["records"]["platform.deadletters"].as_array().unwrap().len(), 1);
    assert!(held["states"]["ingestion"].get("own").is_some() && held["states"]["ingestion"].get("tablet").is_none());
    assert!(held["limits"].to_string().contains("device"), "{held:#}");
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_she_did_as_a_guest_under_her_address_is_in_her_copy_and_in_her_receipt() {
    let shop = Shop::open(JOURNEY).await;
    shop.post("/v1/track", told(Some("ana"), "phone", "a-chair")).await;
    let order = json!({
        "event": "Order Completed", "anonymousId": "laptop", "messageId": "guest-order",
        "properties": { "order_id": "o-1", "total": 12.5, "currency": "EUR", "email": "ana@example.com" },
        "context": { "traits": { "email": "ana@example.com" } },
    });
    shop.post("/v1/track", order.to_string()).await;
    let address = shop
        .until("the guest", async |shop| {
            let told = shop.all::<CustomerEvent>("customer.events").await;
            told.into_iter().map(|told| told.customer_id).find(|id| id.starts_with("address-"))
        })
        .await;
    knows(&shop, &["ana"]).await;
    let hash = address.strip_prefix("address-").unwrap();
    ask(&shop, PrivacyKind::Export, "ana", "gdpr-7", hash).await;
    let held = data(&shop, &["ana", "--request", "gdpr-7"]).await;
    assert_eq!(held["ids"], json!([address, "ana", "laptop", "phone"]));
    assert!(held["records"]["storefront.events"].to_string().contains("o-1"), "{held:#}");

    ask(&shop, PrivacyKind::Erase, "ana", "gdpr-8", hash).await;
    let erased = shop
        .until("the receipt", async |shop| {
            let receipts = shop.all::<PrivacyReceipt>("privacy.receipts").await;
            receipts.into_iter().find(|receipt| receipt.request_id == "gdpr-8")
        })
        .await;
    assert_eq!(erased.ids[0], "ana");
    let mut further = erased.ids[1..].to_vec();
    further.sort_unstable();
    assert_eq!(further, [address.as_str(), "laptop", "phone"]);
    assert!(!is_known(&shop, &address).await);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shop_is_not_erased_before_what_was_told_of_it_is_read() {
    let embedded = Embedded::start(64 << 20, PARTITIONS, Vec::new()).await.unwrap();
    let installation = Installation::of(&embedded.config, "0");
    installation.create(1, Duration::from_secs(10)).await.unwrap();
    let timeout = Duration::from_secs(10);
    vuelve::erasure::ask_for_shop(&installation, "main", now(), timeout).await.unwrap();
    let mut eraser = Eraser::new(installation, HashMap::new(), timeout);
    // No service runs.
    let looked = tokio::task::spawn_blocking(move || eraser.look(&|| true).unwrap()).await.unwrap();
    assert_eq!(looked.receipts, 0, "{looked:?}");
    assert!(looked.waits.is_some_and(|waits| waits.contains("ingestion")));
    embedded.broker.shutdown().await;
}
