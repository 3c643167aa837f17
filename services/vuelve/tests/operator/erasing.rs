//! Who is erased is nobody any more to any service, and what is told late of her makes nothing.

use proto::journeys::v1::GetJourneysRequest;
use proto::journeys::v1::journeys_service_client::JourneysServiceClient;
use proto::segmentation::v1::GetCustomerRequest;
use proto::segmentation::v1::segmentation_service_client::SegmentationServiceClient;
use schemas::{CustomerEvent, Decision, JourneyDecision};
use tonic::transport::{Channel, Endpoint};

use crate::shop::{Shop, track};

const JOURNEY: &str = "
journey: left-cart
version: 1
trigger: { event: Product Added }
steps:
  - wait: 23h
";

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
