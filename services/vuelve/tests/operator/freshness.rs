//! Lookups that have to be as new as something that their caller knows of, and what is learnt of all customers.

use std::time::Duration;

use proto::segmentation::v1::at_least::Place;
use proto::segmentation::v1::segmentation_service_client::SegmentationServiceClient;
use proto::segmentation::v1::{
    AsOf, AtLeast, BatchGetCustomersRequest, Customer, GetCustomerRequest, GetSegmentsRequest, Rfm,
};
use schemas::{CurrencyQuintiles, Quintiles};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;
use vuelve::quintiles;

use crate::customers::order;
use crate::shop::{PARTITIONS, Shop};

const JOURNEY: &str = "
journey: after-order
version: 1
trigger: { event: Order Completed }
steps:
  - wait: 23h
";
const SOON: Duration = Duration::from_secs(30);

type Client = SegmentationServiceClient<Channel>;

async fn client(shop: &Shop) -> Client {
    let channel = Endpoint::from_shared(format!("http://{}", shop.grpc)).unwrap().connect().await.unwrap();
    SegmentationServiceClient::new(channel)
}

fn at(partition: i32, place: Place) -> AtLeast {
    AtLeast { partition, place: Some(place) }
}

async fn get(client: &mut Client, customer: &str, at_least: AtLeast) -> Result<(Customer, AsOf), Status> {
    let customer_id = customer.to_owned();
    let mut request = Request::new(GetCustomerRequest { customer_id, read_mask: None, at_least: Some(at_least) });
    request.set_timeout(Duration::from_secs(20));
    let answer = client.get_customer(request).await?.into_inner();
    Ok((answer.customer.unwrap(), answer.read_at.unwrap()))
}

/// The partitions and offsets of a customer's storefront events, as whoever consumes them sees them.
async fn events_of(shop: &Shop, customer: &'static str) -> Vec<(i32, i64)> {
    let cluster = shop.installation.cluster.clone();
    let read = move || {
        let mut found = Vec::new();
        kafka::read_topic(&cluster, &cluster.topic("storefront.events"), SOON, |record| {
            if record.key.as_deref() == Some(customer.as_bytes()) {
                found.push((record.partition, record.offset));
            }
            true
        })
        .unwrap();
        found
    };
    tokio::task::spawn_blocking(read).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_knows_of_an_event_is_answered_with_what_came_of_it_or_told_that_it_is_not_there_yet() {
    const ORDERS: usize = 12;
    let shop = Shop::open(JOURNEY).await;
    let mut client = client(&shop).await;
    let (mut partition, mut newest, mut as_of) = (-1, -1, -1);
    for number in 1..=ORDERS {
        shop.post("/v1/track", order("ana", &format!("o-{number}"))).await;
        (partition, newest) = shop
            .until("her event", async |shop| {
                let events = events_of(shop, "ana").await;
                (events.len() == number).then(|| events[number - 1])
            })
            .await;
        // The first answer has it: nobody asks again.
        let (ana, read_at) = get(&mut client, "ana", at(partition, Place::EventOffset(newest))).await.unwrap();
        assert_eq!((ana.frequency, read_at.partition), (number as i64, partition));
        assert!(read_at.offset > as_of, "{} after {as_of}", read_at.offset);
        as_of = read_at.offset;
    }
    let known = [at(partition, Place::EventOffset(newest)), at(partition, Place::AsOfOffset(as_of))];
    for at_least in known {
        assert_eq!(get(&mut client, "ana", at_least).await.unwrap().0.frequency, ORDERS as i64);
        let request = GetSegmentsRequest { customer_id: "ana".to_owned(), at_least: Some(at_least) };
        let told = client.get_segments(request).await.unwrap().into_inner();
        assert!(told.read_at.unwrap().offset >= as_of && !told.segments.is_empty());
        let request = BatchGetCustomersRequest {
            customer_ids: vec!["ana".to_owned(), "nobody".to_owned()],
            at_least: vec![at_least],
            ..BatchGetCustomersRequest::default()
        };
        let told = client.batch_get_customers(request).await.unwrap().into_inner();
        assert_eq!(told.customers[0].frequency, ORDERS as i64);
        assert!(told.read_at.iter().any(|of| of.partition == partition && of.offset >= as_of), "{:?}", told.read_at);
    }

    // What has not happened is waited for in vain, and the caller hears so before the deadline passes.
    for (place, reason) in [
        (Place::EventOffset(newest + 1_000), "what lies before offset"),
        (Place::AsOfOffset(as_of + 1_000_000), "has come to the header at offset"),
    ] {
        let at_least = Some(at(partition, place));
        let mut request = Request::new(GetCustomerRequest { customer_id: "ana".to_owned(), read_mask: None, at_least });
        request.set_timeout(Duration::from_secs(3));
        let refused = client.get_customer(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable, "{refused}");
        assert!(refused.message().contains(reason), "{refused}");
        let details = refused.get_error_details();
        assert_eq!(details.error_info().map(|info| info.reason.as_str()), Some("BEHIND"));
        assert!(details.retry_info().is_some_and(|retry| retry.retry_delay.is_some()));
    }
    let other = (partition + 1) % PARTITIONS.cast_signed();
    let refused = get(&mut client, "ana", at(other, Place::AsOfOffset(0))).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let message = format!("at_least: is of partition {other}, and this customer is in partition {partition}");
    assert_eq!(refused.message(), message);

    // So does whoever waits, with more patience than a process has that ends, when this one does.
    let mut another = client.clone();
    let mut waiting = Box::pin(get(&mut another, "ana", at(partition, Place::AsOfOffset(as_of + 1_000_000))));
    tokio::select! {
        biased;
        told = &mut waiting => panic!("{told:?}"),
        // On the same connection, and after it.
        told = get(&mut client, "ana", at(partition, Place::AsOfOffset(as_of))) => assert!(told.is_ok(), "{told:?}"),
    }
    drop(client);
    let (refused, ()) = tokio::join!(waiting, shop.close());
    let refused = refused.unwrap_err();
    assert_eq!(
        refused.get_error_details().error_info().map(|info| info.reason.clone()).as_deref(),
        Some("BEHIND"),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_is_told_with_her_quintiles_by_the_boundaries_that_are_published_last() {
    let shop = Shop::open(JOURNEY).await;
    let mut client = client(&shop).await;
    shop.post("/v1/track", order("ana", "o-1")).await;
    let mut asking = client.clone();
    let mut rfm_of = async |customer: &str| {
        let request = GetCustomerRequest { customer_id: customer.to_owned(), ..GetCustomerRequest::default() };
        asking.get_customer(request).await.ok().map(|answer| answer.into_inner().customer.unwrap().rfm)
    };
    let rfm = shop.until("ana", async |_| rfm_of("ana").await).await;
    assert_eq!(rfm, None, "nothing is published");

    let mut learnt = Quintiles {
        learnt_at: 1_000,
        customers: 5,
        recency_days: vec![0, 1, 2, 3],
        frequency: vec![0, 1, 2, 3],
        monetary: vec![CurrencyQuintiles { currency: "EUR".to_owned(), customers: 5, bounds: vec![1, 2, 3, 4] }],
    };
    quintiles::publish(&shop.installation, &learnt, SOON).await.unwrap();
    let rfm = shop.until("quintiles", async |_| rfm_of("ana").await.flatten()).await;
    let learnt_at = |millis| Some(proto::timestamp(millis));
    assert_eq!(rfm, Rfm { recency: 5, frequency: 2, monetary: Some(5), learnt_at: learnt_at(1_000) });

    // Too few buy in her currency now.
    learnt = Quintiles { learnt_at: 2_000, frequency: vec![0, 0, 0, 0], monetary: Vec::new(), ..learnt };
    quintiles::publish(&shop.installation, &learnt, SOON).await.unwrap();
    let rfm = shop
        .until("the boundaries after them", async |_| {
            rfm_of("ana").await.flatten().filter(|rfm| rfm.learnt_at == learnt_at(2_000))
        })
        .await;
    assert_eq!(rfm, Rfm { recency: 5, frequency: 5, monetary: None, learnt_at: learnt_at(2_000) });

    // A mask names them as any other field.
    let read_mask = Some(proto::FieldMask { paths: vec!["rfm.frequency".to_owned()] });
    let request = GetCustomerRequest { customer_id: "ana".to_owned(), read_mask, at_least: None };
    let masked = client.get_customer(request).await.unwrap().into_inner().customer.unwrap();
    assert_eq!(masked.rfm, Some(Rfm { frequency: 5, ..Rfm::default() }));

    // Who never ordered has none.
    shop.post("/v1/track", crate::shop::track("berta", "Product Viewed")).await;
    assert_eq!(shop.until("berta", async |_| rfm_of("berta").await).await, None);
    drop((client, asking));
    shop.close().await;
}
