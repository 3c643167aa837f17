//! Lookups of journeys over gRPC, as a client meets them.

use std::time::Duration;

use proto::journeys::v1::explanation::Event;
use proto::journeys::v1::journeys_service_client::JourneysServiceClient;
use proto::journeys::v1::{DecisionKind, ExplainRequest, GetJourneysRequest, OutcomeKind, RunStatus};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};

use crate::shop::{Shop, track};

const JOURNEY: &str = "
journey: cart-recovery
version: 4
trigger: { event: Product Added }
correlate: cart_id
holdout: 0%
steps:
  - message: { as: first, template: cart-reminder-1, channel: email, category: cart }
  - wait: 23h
";

async fn client(shop: &Shop) -> JourneysServiceClient<Channel> {
    let channel = Endpoint::from_shared(format!("http://{}", shop.grpc)).unwrap().connect().await.unwrap();
    JourneysServiceClient::new(channel)
}

fn of(customer: &str) -> GetJourneysRequest {
    GetJourneysRequest { customer_id: customer.to_owned() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_sees_her_run_and_why_she_got_the_message() {
    let shop = Shop::open(JOURNEY).await;
    let mut client = client(&shop).await;

    let unknown = client.get_journeys(of("nobody")).await.unwrap().into_inner();
    assert_eq!((unknown.runs.len(), unknown.as_of), (0, None));

    shop.post("/v1/track", track("ana", "Product Added")).await;
    let explain = |customer_id: &str, message_id: &str| ExplainRequest {
        customer_id: customer_id.to_owned(),
        message_id: message_id.to_owned(),
        ..ExplainRequest::default()
    };
    let mut asking = client.clone();
    let told = shop
        .until("the outcome", async |_| {
            let told = asking.explain(explain("ana", "")).await.unwrap().into_inner();
            told.explanations.iter().any(|told| matches!(told.event, Some(Event::Outcome(_)))).then_some(told)
        })
        .await;
    let run = client.get_journeys(of("ana")).await.unwrap().into_inner();
    assert!(run.as_of.is_some());
    let run = &run.runs[0];
    assert_eq!((run.journey.as_str(), run.version, run.correlation_key.as_str()), ("cart-recovery", 4, "cart-1"));
    assert_eq!(run.status(), RunStatus::WaitingForTime);
    let seconds = |at: &Option<proto::WireTime>| at.as_ref().unwrap().seconds;
    assert!(seconds(&run.next_due_at) > seconds(&run.entered_at));

    let kinds: Vec<String> = told
        .explanations
        .iter()
        .map(|told| match told.event.as_ref().unwrap() {
            Event::Decision(decision) => decision.kind().as_str_name().to_owned(),
            Event::Outcome(outcome) => outcome.kind().as_str_name().to_owned(),
        })
        .collect();
    let expected = [
        DecisionKind::Entered.as_str_name(),
        DecisionKind::MessageRequested.as_str_name(),
        OutcomeKind::Sent.as_str_name(),
    ];
    assert_eq!(kinds, expected);
    let Some(Event::Decision(requested)) = &told.explanations[1].event else { panic!("{told:?}") };

    // A message id alone: whose it is, is looked up.
    let by_message = client.explain(explain("", &requested.message_id)).await.unwrap().into_inner();
    assert_eq!(by_message.explanations, told.explanations);
    let two = ExplainRequest { page_size: 2, ..explain("ana", "") };
    let two = client.explain(two).await.unwrap().into_inner();
    assert_eq!((two.explanations.as_slice(), two.next_page_token.as_str()), (&told.explanations[1..], "1"));

    // What can't be answered says so by its code.
    for (request, code) in [
        (explain("", ""), Code::InvalidArgument),
        (explain("ana", "no-such-message"), Code::NotFound),
        (explain("", "no-such-message"), Code::NotFound),
        (explain("nobody", &requested.message_id), Code::NotFound),
    ] {
        assert_eq!(client.explain(request.clone()).await.unwrap_err().code(), code, "{request:?}");
    }
    let mut hurried = Request::new(explain("", "no-such-message"));
    hurried.set_timeout(Duration::from_millis(1));
    // The client's own timer calls it cancelled, where it is the faster one.
    let code = client.explain(hurried).await.unwrap_err().code();
    assert!(matches!(code, Code::DeadlineExceeded | Code::Cancelled), "{code}");
    drop((client, asking));
    shop.close().await;
}
