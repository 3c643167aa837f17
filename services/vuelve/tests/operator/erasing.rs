//! Who is erased is nobody any more to any service, and what is told late of her makes nothing.

use std::time::Duration;

use links::{AddressHash, Secret};
use proto::journeys::v1::GetJourneysRequest;
use proto::journeys::v1::journeys_service_client::JourneysServiceClient;
use proto::segmentation::v1::GetCustomerRequest;
use proto::segmentation::v1::segmentation_service_client::SegmentationServiceClient;
use schemas::{
    CommandKind, CustomerEvent, Decision, JourneyDecision, MessagingCommand, PrivacyKind, PrivacyReceipt,
    PrivacyRequest, PrivacyStage,
};
use serde_json::Value;
use tonic::transport::{Channel, Endpoint};

use crate::shop::{Shop, now, track};

const JOURNEY: &str = "
journey: left-cart
version: 1
trigger: { event: Product Added }
steps:
  - wait: 23h
";

const SOON: Duration = Duration::from_secs(30);

/// Of that journey, and of the preset's own cart recovery.
const RUNS: usize = 2;

async fn is_known(client: &mut SegmentationServiceClient<Channel>, customer: &str) -> bool {
    let request = GetCustomerRequest { customer_id: customer.to_owned(), ..GetCustomerRequest::default() };
    client.get_customer(request).await.is_ok()
}

async fn runs(client: &mut JourneysServiceClient<Channel>, customer: &str) -> usize {
    let request = GetJourneysRequest { customer_id: customer.to_owned() };
    client.get_journeys(request).await.unwrap().into_inner().runs.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_erases_a_customer_and_no_other() {
    let shop = Shop::open(JOURNEY).await;
    let channel = Endpoint::from_shared(format!("http://{}", shop.grpc)).unwrap().connect().await.unwrap();
    let (segmentation, journeys) =
        (SegmentationServiceClient::new(channel.clone()), JourneysServiceClient::new(channel));
    let late = track("ana", "Product Viewed");
    for customer in ["ana", "berta"] {
        shop.post("/v1/track", track(customer, "Product Added")).await;
    }
    let (mut asks, mut asks_too) = (segmentation.clone(), journeys.clone());
    shop.until("two customers with their runs", async |_| {
        let known = is_known(&mut asks, "ana").await && is_known(&mut asks, "berta").await;
        let running = runs(&mut asks_too, "ana").await == RUNS && runs(&mut asks_too, "berta").await == RUNS;
        (known && running).then_some(())
    })
    .await;

    let told = shop.vuelve(&["customers", "erase", "ana"]).await;
    assert_eq!((told.code, told.out.as_str()), (Some(0), ""), "{}", told.err);
    assert!(told.err.starts_with("asked for, as operator-"), "{}", told.err);
    let (mut asks, mut asks_too) = (segmentation.clone(), journeys.clone());
    shop.until("nobody to know her", async |_| {
        let unknown = !is_known(&mut asks, "ana").await && runs(&mut asks_too, "ana").await == 0;
        unknown.then_some(())
    })
    .await;
    let ends = shop.all::<JourneyDecision>("journeys.decisions").await;
    let erased = ends.iter().filter(|decision| decision.decision == Decision::Exited);
    let erased: Vec<_> = erased.map(|end| (end.customer_id.as_str(), end.reason.as_deref())).collect();
    assert_eq!(erased, [("ana", Some("erased")); RUNS]);

    // It happened before, and comes now; behind it something of the other one.
    shop.post("/v1/track", late).await;
    shop.post("/v1/track", track("berta", "Checkout Started")).await;
    shop.until("what came behind it", async |shop| {
        let told = shop.all::<CustomerEvent>("customer.events").await;
        let names = told.iter().filter_map(|told| told.event.as_ref()).map(|event| event.name.as_str());
        names.collect::<Vec<_>>().contains(&"Checkout Started").then_some(())
    })
    .await;
    let (mut asks, mut asks_too) = (segmentation, journeys);
    assert!(!is_known(&mut asks, "ana").await && is_known(&mut asks, "berta").await);
    assert_eq!((runs(&mut asks_too, "ana").await, runs(&mut asks_too, "berta").await), (0, RUNS));
    let told = shop.all::<CustomerEvent>("customer.events").await;
    assert_eq!(told.iter().filter(|told| told.customer_id == "ana").count(), 1, "what came late is told to nobody");

    let nobody = shop.vuelve(&["customers", "erase", "undefined"]).await;
    assert_eq!(nobody.code, Some(1));
    assert!(nobody.err.contains("`undefined` names nobody"), "{}", nobody.err);
    shop.close().await;
}

/// What was last published of what is held against somebody's addresses: whether that has a value; none where nothing was.
async fn last_held(shop: &Shop, customer: &'static str) -> Option<bool> {
    let cluster = shop.installation.cluster.clone();
    let read = move || {
        let mut last = None;
        kafka::read_topic(&cluster, &cluster.topic("customer.reachability"), SOON, |record| {
            if record.key.as_deref() == Some(customer.as_bytes()) {
                last = Some(record.value.is_some());
            }
            true
        })
        .unwrap();
        last
    };
    tokio::task::spawn_blocking(read).await.unwrap()
}

async fn unsubscribe(shop: &Shop, customer: &str, at: i64) {
    let address =
        AddressHash::of(&Secret::new(*b"any sixteen bytes").unwrap(), &format!("{customer}-{at}@example.com"));
    let command = MessagingCommand {
        request_id: format!("{customer} at {at}"),
        kind: CommandKind::Unsubscribe,
        customer_id: customer.to_owned(),
        address_hash: Some(address.to_string()),
        shop: "main".to_owned(),
        at,
        ..MessagingCommand::default()
    };
    let mut value = Vec::new();
    shop.installation.schemas.encode("messaging.commands", &command, &mut value).unwrap();
    shop.append("messaging.commands", customer, &value, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_who_is_erased_it_is_not_published_any_more_what_is_held_against_her_address() {
    let shop = Shop::open(JOURNEY).await;
    for customer in ["ana", "berta"] {
        shop.post("/v1/track", track(customer, "Product Added")).await;
        unsubscribe(&shop, customer, now().as_millis()).await;
    }
    shop.until("what is held against two addresses", async |shop| {
        let both = (last_held(shop, "ana").await, last_held(shop, "berta").await);
        (both == (Some(true), Some(true))).then_some(())
    })
    .await;
    let told = shop.vuelve(&["customers", "erase", "ana"]).await;
    assert_eq!(told.code, Some(0), "{}", told.err);
    shop.until("nothing to be published of her", async |shop| {
        (last_held(shop, "ana").await == Some(false)).then_some(())
    })
    .await;
    // What she wanted before is heard of now; behind it something of the other one.
    unsubscribe(&shop, "ana", now().as_millis() - 60_000).await;
    shop.until("her old wish to be heard of", async |shop| {
        let suppressions = shop.all::<schemas::Suppression>("messaging.suppressions").await;
        (suppressions.len() >= 3).then_some(())
    })
    .await;
    assert_eq!((last_held(&shop, "ana").await, last_held(&shop, "berta").await), (Some(false), Some(true)));
    shop.close().await;
}

fn lines(told: &str) -> Vec<Value> {
    told.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_sees_how_far_requests_are_and_gives_data_out_once() {
    let shop = Shop::open(JOURNEY).await;
    let channel = Endpoint::from_shared(format!("http://{}", shop.grpc)).unwrap().connect().await.unwrap();
    let segmentation = SegmentationServiceClient::new(channel);
    for customer in ["ana", "berta"] {
        shop.post("/v1/track", track(customer, "Product Added")).await;
    }
    let mut asks = segmentation.clone();
    shop.until("two customers", async |_| {
        (is_known(&mut asks, "ana").await && is_known(&mut asks, "berta").await).then_some(())
    })
    .await;

    // As a platform's webhook asks.
    let request = PrivacyRequest {
        request_id: "gdpr-7".to_owned(),
        kind: PrivacyKind::Export,
        customer_id: Some("berta".to_owned()),
        shop: "main".to_owned(),
        at: now().as_millis(),
        source: "madrid".to_owned(),
        ..PrivacyRequest::default()
    };
    let mut value = Vec::new();
    shop.installation.schemas.encode("privacy.requests", &request, &mut value).unwrap();
    shop.append("privacy.requests", "berta", &value, &[]).await;
    let told = shop.vuelve(&["customers", "erasures", "--open"]).await;
    assert_eq!((told.code, told.err.as_str()), (Some(0), ""));
    let rows: Vec<Vec<&str>> = told.out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0][..5], ["REQUESTED", "REQUEST", "KIND", "ABOUT", "STATE"]);
    assert_eq!((rows.len(), &rows[1][1..]), (2, &["gdpr-7", "export", "berta", "open", "-", "-"][..]));

    // It is given out, once, into a file that nobody else can read and that is not replaced.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("berta.json");
    let path = file.to_str().unwrap();
    let wrong = shop.vuelve(&["customers", "data", "ana", "--out", path, "--request", "gdpr-7"]).await;
    assert_eq!(wrong.code, Some(1));
    assert!(wrong.err.contains("`ana` did not ask for her data"), "{}", wrong.err);
    let told = shop.vuelve(&["customers", "data", "berta", "--out", path, "--request", "gdpr-7"]).await;
    assert_eq!(told.code, Some(0), "{}", told.err);
    let held: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(held["states"]["journeys"]["berta"]["contact"]["email"], "berta@example.com");
    assert_eq!(held["records"]["storefront.received"][0]["value"]["contact"]["email"], "berta@example.com");
    assert_eq!((&held["ids"], &held["unreadable"]), (&serde_json::json!(["berta"]), &serde_json::json!(0)));
    assert!(!held.to_string().contains("ana@example.com"));
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let again = shop.vuelve(&["customers", "data", "berta", "--out", path]).await;
    assert!(again.code == Some(1) && again.err.contains("is there already"), "{}", again.err);
    let nobody = shop.vuelve(&["customers", "data", "zoe", "--out", "-"]).await;
    assert!(nobody.code == Some(1) && nobody.err.contains("nothing is known of `zoe`"), "{}", nobody.err);
    let told = shop.vuelve(&["customers", "erasures", "--format", "json"]).await;
    assert_eq!((&lines(&told.out)[0]["state"], lines(&told.out).len()), (&Value::from("done"), 1));

    // One is erased: who waits for it is told when nobody knows her; what is left, and where, is said.
    let told = shop.vuelve(&["customers", "erase", "ana", "--wait"]).await;
    assert_eq!(told.code, Some(0), "{}", told.err);
    assert!(told.err.ends_with("no service knows her any more\n"), "{}", told.err);
    assert!(!is_known(&mut segmentation.clone(), "ana").await);
    let told = shop.vuelve(&["customers", "erasures", "--open", "--format", "json"]).await;
    let open = lines(&told.out);
    assert_eq!((open.len(), &open[0]["state"], &open[0]["ids"]), (1, &"forgotten".into(), &serde_json::json!(["ana"])));
    assert!(open[0]["due_by"].is_string() && !open[0]["places"].as_array().unwrap().is_empty(), "{}", open[0]);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_customers_of_a_shop_are_erased_and_the_shop_has_a_receipt() {
    let shop = Shop::open(JOURNEY).await;
    let channel = Endpoint::from_shared(format!("http://{}", shop.grpc)).unwrap().connect().await.unwrap();
    let segmentation = SegmentationServiceClient::new(channel);
    for customer in ["ana", "berta"] {
        shop.post("/v1/track", track(customer, "Product Added")).await;
    }
    let visitor = serde_json::json!({ "event": "Product Viewed", "anonymousId": "a-visitor" });
    shop.post("/v1/track", visitor.to_string()).await;
    let everybody = ["a-visitor", "ana", "berta"];
    let mut asks = segmentation.clone();
    shop.until("all of them", async |_| {
        for customer in everybody {
            if !is_known(&mut asks, customer).await {
                return None;
            }
        }
        Some(())
    })
    .await;
    let name = shop.all::<CustomerEvent>("customer.events").await[0].event.as_ref().unwrap().shop.clone();

    let told = shop.vuelve(&["customers", "erase", "--all-of", &name, "--wait"]).await;
    assert_eq!(told.code, Some(0), "{}", told.err);
    for customer in everybody {
        assert!(!is_known(&mut segmentation.clone(), customer).await, "{customer}");
    }
    let receipts = shop.all::<PrivacyReceipt>("privacy.receipts").await;
    assert!(receipts.iter().all(|receipt| receipt.stage == PrivacyStage::Forgotten));
    let of_shop: Vec<_> = receipts.iter().filter(|receipt| receipt.kind == PrivacyKind::EraseShop).collect();
    assert_eq!(
        (of_shop.len(), &of_shop[0].ids[..], of_shop[0].shop.as_str()),
        (1, &everybody.map(str::to_owned)[..], &*name)
    );
    let mut each: Vec<_> = receipts.iter().filter_map(|receipt| receipt.customer_id.as_deref()).collect();
    each.sort_unstable();
    assert_eq!(each, everybody);
    shop.close().await;
}
