//! Events over gRPC, as a storefront's server sends them.

use proto::ingestion::v1::ingestion_service_client::IngestionServiceClient;
use proto::ingestion::v1::{Event, EventKind, RecordRequest, RecordStreamRequest};
use schemas::StorefrontEvent;
use tonic::metadata::MetadataValue;
use tonic::transport::Endpoint;
use tonic::{Code, Request};

use crate::shop::Shop;

const JOURNEY: &str = "journey: none\nversion: 1\ntrigger: { event: Never }\nsteps:\n  - wait: 1h\n";

fn page(user: &str, message_id: &str) -> Event {
    Event {
        kind: EventKind::Page.into(),
        user_id: user.to_owned(),
        message_id: message_id.to_owned(),
        ..Event::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_streams_batches_each_is_acknowledged_in_order_and_stored_once() {
    let shop = Shop::open(JOURNEY).await;
    let channel = Endpoint::from_shared(format!("http://{}", shop.door_grpc)).unwrap().connect().await.unwrap();
    let key: MetadataValue<_> = format!("Bearer {}", shop.embedded.write_key).parse().unwrap();
    let with_key = move |mut request: Request<()>| {
        request.metadata_mut().insert("authorization", key.clone());
        Ok(request)
    };
    let mut client = IngestionServiceClient::with_interceptor(channel.clone(), with_key);

    let taken =
        client.record(RecordRequest { events: vec![page("ana", "m-0")], sent_at: None }).await.unwrap().into_inner();
    assert_eq!((taken.accepted, taken.rejected.len()), (1, 0));

    // A hundred batches, the first of which came before, and one that is bad.
    let batch = |sequence: i64| {
        let events = (0..5).map(|index| page("ana", &format!("m-{}", sequence * 5 + index))).collect();
        RecordStreamRequest { sequence, events, sent_at: None }
    };
    let batches: Vec<RecordStreamRequest> = (0..100).map(batch).collect();
    let mut answers = client.record_stream(tokio_stream::iter(batches)).await.unwrap().into_inner();
    for sequence in 0..100 {
        let answer = answers.message().await.unwrap().unwrap();
        assert_eq!((answer.sequence, answer.accepted), (sequence, 5));
    }
    assert!(answers.message().await.unwrap().is_none());

    // A failure ends the stream with its status, and what came before it is acknowledged.
    let too_many = RecordStreamRequest { events: vec![Event::default(); 2_501], ..batch(1) };
    let mut answers =
        client.record_stream(tokio_stream::iter([batch(0), too_many, batch(2)])).await.unwrap().into_inner();
    assert_eq!(answers.message().await.unwrap().unwrap().sequence, 0);
    assert_eq!(answers.message().await.unwrap_err().code(), Code::InvalidArgument);
    let unknown = IngestionServiceClient::new(channel)
        .record(RecordRequest { events: vec![page("ana", "m")], sent_at: None })
        .await;
    assert_eq!(unknown.unwrap_err().code(), Code::Unauthenticated);

    // Each message once, in the order in which they were sent.
    let ids = shop
        .until("all events", async |shop| {
            let events = shop.all::<StorefrontEvent>("storefront.events").await;
            (events.len() >= 500).then(|| events.into_iter().map(|event| event.message_id).collect::<Vec<_>>())
        })
        .await;
    assert_eq!(ids, (0..500).map(|index| format!("m-{index}")).collect::<Vec<_>>());

    // A stream that waits for more does not keep the door from closing.
    let waiting = client.record_stream(tokio_stream::pending()).await.unwrap().into_inner();
    let told = tokio::spawn(async move {
        let mut waiting = waiting;
        waiting.message().await.unwrap_err().code()
    });
    shop.close().await;
    assert_eq!(told.await.unwrap(), Code::Unavailable);
}
