//! Lookups of segmentation over gRPC, as a client meets them, at the address of those of journeys.

use proto::FieldMask;
use proto::journeys::v1::GetJourneysRequest;
use proto::journeys::v1::journeys_service_client::JourneysServiceClient;
use proto::segmentation::v1::segmentation_service_client::SegmentationServiceClient;
use proto::segmentation::v1::{
    Activity, BatchGetCustomersRequest, CountMembersRequest, Counters, Customer, GetCustomerRequest,
    GetSegmentsRequest, ListMembersRequest,
};
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

use crate::shop::{PARTITIONS, Shop, track};

const JOURNEY: &str = "
journey: after-order
version: 1
trigger: { event: Order Completed }
steps:
  - wait: 23h
";

/// An order of 25 euros, now.
pub(crate) fn order(customer: &str, order_id: &str) -> String {
    let mut order: serde_json::Value = serde_json::from_str(&track(customer, "Order Completed")).unwrap();
    order["properties"] = serde_json::json!({
        "order_id": order_id, "currency": "EUR", "total": 25.0, "coupon": "TEN",
        "products": [{ "product_id": "p-1", "category": "Shoes", "brand": "Acme", "price": 25.0, "quantity": 1 }],
    });
    order["context"]["traits"]["plan"] = "gold".into();
    order.to_string()
}

fn of(customer: &str, paths: &[&str]) -> GetCustomerRequest {
    let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
    let read_mask = (!paths.is_empty()).then_some(FieldMask { paths });
    GetCustomerRequest { customer_id: customer.to_owned(), read_mask, at_least: None }
}

fn batch(customers: &[&str], paths: &[&str]) -> BatchGetCustomersRequest {
    let customer_ids = customers.iter().map(|id| (*id).to_owned()).collect();
    BatchGetCustomersRequest { customer_ids, read_mask: of("", paths).read_mask, at_least: Vec::new() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_sees_who_customers_are_and_their_segments() {
    let shop = Shop::open(JOURNEY).await;
    let channel = Endpoint::from_shared(format!("http://{}", shop.grpc)).unwrap().connect().await.unwrap();
    let mut client = SegmentationServiceClient::new(channel.clone());

    // Whom nobody knows.
    let segments_of = |customer: &str| GetSegmentsRequest { customer_id: customer.to_owned(), at_least: None };
    assert_eq!(client.get_customer(of("ana", &[])).await.unwrap_err().code(), Code::NotFound);
    let unknown = client.get_segments(segments_of("ana")).await.unwrap().into_inner();
    assert_eq!((unknown.customer_id.as_str(), unknown.segments.len(), unknown.as_of), ("ana", 0, None));

    shop.post("/v1/track", order("ana", "o-1")).await;
    shop.post("/v1/track", track("ana", "Product Added")).await;
    shop.post("/v1/track", track("berta", "Product Viewed")).await;
    let mut asking = client.clone();
    let ana = shop
        .until("the cart", async |_| {
            let answer = asking.get_customer(of("ana", &[])).await.ok()?.into_inner();
            answer.customer.filter(|customer| customer.cart.is_some())
        })
        .await;
    assert_profile(&ana);
    let segments: Vec<&str> = ana.segments.iter().map(|membership| membership.segment.as_str()).collect();
    assert!(segments.contains(&"new"), "{segments:?}");
    let told = client.get_segments(segments_of("ana")).await.unwrap().into_inner();
    assert_eq!((&told.segments, &told.as_of), (&ana.segments, &ana.as_of));

    // A mask gives what it names.
    let masked = client.get_customer(of("ana", &["segments", "last_7d.orders"])).await.unwrap().into_inner();
    let expected = Customer {
        customer_id: "ana".to_owned(),
        segments: ana.segments.clone(),
        last_7d: Some(Counters { orders: 1, ..Counters::default() }),
        ..Customer::default()
    };
    assert_eq!(masked.customer, Some(expected));

    // Several at once, in the order of the request.
    let mut asking = client.clone();
    let several = shop
        .until("berta", async |_| {
            let wanted = batch(&["berta", "nobody", "ana"], &["currency", "total.product_views"]);
            let answer = asking.batch_get_customers(wanted).await.unwrap().into_inner();
            (answer.customers.len() == 2).then_some(answer)
        })
        .await;
    let told: Vec<_> = several
        .customers
        .iter()
        .map(|of| (of.customer_id.as_str(), of.currency.as_str(), of.total.unwrap().product_views))
        .collect();
    assert_eq!(told, [("berta", "", 1), ("ana", "EUR", 0)]);
    assert_eq!(several.unknown_customer_ids, ["nobody"]);

    // What makes no sense is refused by its field.
    for (refused, message) in [
        (
            client.get_customer(of("ana", &["segments", "shoe_size"])).await.unwrap_err(),
            "read_mask: `shoe_size`: there is no field `shoe_size` in vuelve.segmentation.v1.Customer",
        ),
        (client.get_customer(of("", &[])).await.unwrap_err(), "customer_id: is empty"),
        (client.get_segments(segments_of("")).await.unwrap_err(), "customer_id: is empty"),
        (client.batch_get_customers(batch(&["ana", "ana"], &[])).await.unwrap_err(), "customer_ids: has `ana` twice"),
        (
            client.batch_get_customers(batch(&["ana"], &["cart.colour"])).await.unwrap_err(),
            "read_mask: `cart.colour`: there is no field `colour` in vuelve.segmentation.v1.Cart",
        ),
    ] {
        assert_eq!((refused.code(), refused.message()), (Code::InvalidArgument, message));
    }

    // Journeys answer at the same address, and both are told of there.
    let mut journeys = JourneysServiceClient::new(channel.clone());
    // They read what segmentation writes, and so may hear of her later than it does.
    let hers = || GetJourneysRequest { customer_id: "ana".to_owned() };
    shop.until("her run", async |_| {
        let runs = journeys.get_journeys(hers()).await.unwrap().into_inner().runs;
        runs.iter().any(|run| run.journey == "after-order").then_some(())
    })
    .await;
    let services = services(channel).await;
    for service in ["vuelve.journeys.v1.JourneysService", "vuelve.segmentation.v1.SegmentationService"] {
        assert!(services.iter().any(|name| name == service), "{service} in {services:?}");
    }
    drop((client, journeys, asking));
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_lists_who_is_in_a_segment_page_by_page_and_how_many_they_are() {
    const BUYERS: i64 = 25;
    let shop = Shop::open(JOURNEY).await;
    let channel = Endpoint::from_shared(format!("http://{}", shop.grpc)).unwrap().connect().await.unwrap();
    let mut client = SegmentationServiceClient::new(channel);
    let page = |page_size, page_token: &str| ListMembersRequest {
        segment: "new".to_owned(),
        page_size,
        page_token: page_token.to_owned(),
    };
    let in_segment = |segment: &str| CountMembersRequest { segment: segment.to_owned() };

    // Nobody is in a segment that there is not, nor in one that nobody has entered.
    for segment in ["new", "of-nobody"] {
        let request = ListMembersRequest { segment: segment.to_owned(), ..page(10, "") };
        let told = client.list_members(request).await.unwrap().into_inner();
        assert_eq!((told.customer_ids.len(), told.next_page_token.as_str()), (0, ""));
        assert_eq!(client.count_members(in_segment(segment)).await.unwrap().into_inner().count, 0);
    }

    // One who has left it: with her second order she is new no more.
    let mut asking = client.clone();
    for order_id in ["r-1", "r-2"] {
        shop.post("/v1/track", order("regular", order_id)).await;
    }
    shop.until("the second order", async |_| {
        let told = asking.get_customer(of("regular", &["segments", "frequency"])).await.ok()?.into_inner();
        let regular = told.customer.filter(|customer| customer.frequency == 2)?;
        assert!(!regular.segments.is_empty() && regular.segments.iter().all(|of| of.segment != "new"), "{regular:?}");
        Some(())
    })
    .await;
    for n in 0..BUYERS {
        shop.post("/v1/track", order(&format!("buyer-{n}"), &format!("o-{n}"))).await;
    }
    let counted = shop
        .until("all buyers", async |_| {
            let counted = asking.count_members(in_segment("new")).await.unwrap().into_inner();
            (counted.count == BUYERS).then_some(counted)
        })
        .await;
    let partitions: Vec<i32> = counted.partitions.iter().map(|of| of.partition).collect();
    assert_eq!(partitions, (0..PARTITIONS.cast_signed()).collect::<Vec<_>>());
    assert_eq!(counted.partitions.iter().map(|of| of.count).sum::<i64>(), BUYERS);
    assert!(counted.partitions.iter().all(|of| of.count > 0 && of.as_of_offset > 0), "{counted:?}");

    // Page by page, each of another size.
    let (mut listed, mut token) = (Vec::new(), String::new());
    for size in [7, 1, 10, 0] {
        let told = client.list_members(page(size, &token)).await.unwrap().into_inner();
        assert!(size == 0 || told.customer_ids.len() == size as usize);
        listed.extend(told.customer_ids);
        token = told.next_page_token;
        assert_eq!(token.is_empty(), size == 0, "{} are listed", listed.len());
    }
    listed.sort();
    let mut expected: Vec<String> = (0..BUYERS).map(|n| format!("buyer-{n}")).collect();
    expected.sort();
    assert_eq!(listed, expected);

    // What makes no sense is refused by its field.
    let token = client.list_members(page(1, "")).await.unwrap().into_inner().next_page_token;
    let other = ListMembersRequest { segment: "active".to_owned(), ..page(1, &token) };
    for (refused, field) in [
        (client.list_members(other).await.unwrap_err(), "page_token"),
        (client.list_members(page(-1, "")).await.unwrap_err(), "page_size"),
        (client.count_members(in_segment("VIP customers")).await.unwrap_err(), "segment"),
    ] {
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().starts_with(&format!("{field}: ")), "{refused}");
    }
    drop((client, asking));
    shop.close().await;
}

fn assert_profile(ana: &Customer) {
    assert_eq!((ana.customer_id.as_str(), ana.known, ana.has_email, ana.has_phone), ("ana", true, true, false));
    let millis = |at: &Option<proto::WireTime>| proto::to_timestamp(at.as_ref().unwrap());
    assert!(millis(&ana.evaluated_at) >= millis(&ana.as_of));
    assert_eq!((ana.frequency, ana.recency_days, ana.coupon_percent), (1, Some(0), 100));
    assert_eq!((ana.currency.as_str(), ana.monetary_minor, ana.average_order_minor), ("EUR", 2_500, Some(2_500)));
    assert_eq!((ana.spending.len(), ana.spending[0].monetary_minor), (1, 2_500));
    for window in [&ana.last_1d, &ana.last_7d, &ana.last_30d, &ana.last_90d, &ana.last_365d, &ana.total] {
        let window = window.as_ref().unwrap();
        assert_eq!((window.orders, window.spent_minor, window.cart_additions), (1, 2_500, 1));
    }
    assert_eq!(ana.cart.as_ref().unwrap().cart_id, "cart-1");
    assert_eq!(
        (ana.favourite_categories.as_slice(), ana.favourite_brands.as_slice()),
        (&["Shoes".to_owned()][..], &["Acme".to_owned()][..])
    );
    let seen: Vec<Activity> = ana.seen.iter().map(proto::segmentation::v1::Seen::activity).collect();
    for activity in [Activity::Any, Activity::Orders, Activity::CartAdditions] {
        assert!(seen.contains(&activity), "{activity:?} in {seen:?}");
    }
    let score = ana.lead_score.as_ref().unwrap();
    assert_eq!(score.value, score.factors.iter().map(|factor| factor.points).sum::<i32>());
    assert!(score.value > 0);
}

/// What reflection tells of.
async fn services(channel: Channel) -> Vec<String> {
    use tonic_reflection::pb::v1::ServerReflectionRequest;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

    let list = MessageRequest::ListServices(String::new());
    let ask = ServerReflectionRequest { host: String::new(), message_request: Some(list) };
    let mut client = ServerReflectionClient::new(channel);
    let mut answers = client.server_reflection_info(tokio_stream::iter([ask])).await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else { panic!("{answer:?}") };
    list.service.into_iter().map(|service| service.name).collect()
}
