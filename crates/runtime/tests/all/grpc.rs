//! What callers of the gRPC server meet.

use std::net::SocketAddr;
use std::sync::Arc;

use proto::journeys::v1::journeys_service_client::JourneysServiceClient;
use proto::journeys::v1::journeys_service_server::{JourneysService, JourneysServiceServer};
use proto::journeys::v1::{ExplainRequest, ExplainResponse, GetJourneysRequest, GetJourneysResponse, JourneyRun};
use proto::privacy::v1::privacy_service_client::PrivacyServiceClient;
use proto::privacy::v1::{EraseRequest, EraseResponse, GetRequestRequest, GetRequestResponse};
use proto::{Extensions, Refusal};
use runtime::config::{Config, GrpcOptions, Sources, layout};
use runtime::grpc::{GrpcServer, RequestId};
use runtime::host::StopToken;
use runtime::readiness::Readiness;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

const TOKEN: &str = "a-token-of-more-than-16-bytes";

/// A service whose answers the test holds back until it lets them go.
#[derive(Default)]
struct Lookups {
    entered: Notify,
    released: Notify,
}

#[tonic::async_trait]
impl JourneysService for Lookups {
    async fn get_journeys(
        &self,
        request: Request<GetJourneysRequest>,
    ) -> Result<Response<GetJourneysResponse>, Status> {
        let run_id = request.extensions().get::<RequestId>().unwrap().as_str().to_owned();
        match request.into_inner().customer_id.as_str() {
            "" => Err(Refusal::Invalid { field: "customer_id", problem: "is empty".into() }.into()),
            "slow" => {
                self.entered.notify_one();
                self.released.notified().await;
                Ok(Response::new(GetJourneysResponse::default()))
            }
            customer => Ok(Response::new(GetJourneysResponse {
                customer_id: customer.into(),
                runs: vec![JourneyRun { run_id, ..JourneyRun::default() }],
                as_of: None,
            })),
        }
    }

    async fn explain(&self, _: Request<ExplainRequest>) -> Result<Response<ExplainResponse>, Status> {
        Ok(Response::new(ExplainResponse::default()))
    }
}

/// Erases nobody.
struct Nobody;

impl proto::PrivacyAnswers for Nobody {
    async fn erase(&self, _: EraseRequest, _: Extensions) -> Result<EraseResponse, Refusal> {
        Ok(EraseResponse::default())
    }

    async fn get_request(&self, _: GetRequestRequest, _: Extensions) -> Result<GetRequestResponse, Refusal> {
        Ok(GetRequestResponse::default())
    }
}

struct Server {
    address: SocketAddr,
    lookups: Arc<Lookups>,
    readiness: Readiness,
    stop: StopToken,
    serving: JoinHandle<anyhow::Result<()>>,
}

fn config(settings: &[&str]) -> Config {
    let mut sources = Sources { flags: settings.iter().map(|flag| (*flag).to_owned()).collect(), ..Sources::default() };
    sources.environment.push(("VUELVE__GRPC__TOKEN".into(), TOKEN.into()));
    layout().load(&sources).unwrap()
}

async fn server(settings: &[&str]) -> Server {
    let config = config(settings);
    let (lookups, readiness, stop) = (Arc::new(Lookups::default()), Readiness::new(), StopToken::new());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = Arc::clone(&lookups);
    let server = GrpcServer::new(config.get::<GrpcOptions>(), readiness.clone()).service(|limit| {
        JourneysServiceServer::from_arc(service).max_decoding_message_size(limit).max_encoding_message_size(limit)
    });
    let serving = tokio::spawn(server.serve(listener, stop.clone()));
    Server { address, lookups, readiness, stop, serving }
}

impl Server {
    async fn channel(&self) -> Channel {
        Endpoint::from_shared(format!("http://{}", self.address)).unwrap().connect().await.unwrap()
    }

    async fn client(&self) -> JourneysServiceClient<Channel> {
        JourneysServiceClient::new(self.channel().await)
    }
}

fn ask(customer: &str) -> Request<GetJourneysRequest> {
    let mut request = Request::new(GetJourneysRequest { customer_id: customer.into() });
    request.metadata_mut().insert("authorization", format!("Bearer {TOKEN}").parse().unwrap());
    request
}

#[tokio::test]
async fn without_the_token_nobody_gets_anything_but_health() {
    let server = server(&[]).await;
    let mut client = server.client().await;
    for header in [None, Some("Bearer wrong-token-of-some-length"), Some(TOKEN), Some("Bearer "), Some("Basic YTpi")] {
        let mut request = ask("ada");
        request.metadata_mut().remove("authorization");
        if let Some(header) = header {
            request.metadata_mut().insert("authorization", header.parse().unwrap());
        }
        assert_eq!(client.get_journeys(request).await.unwrap_err().code(), Code::Unauthenticated, "{header:?}");
    }
    assert!(client.get_journeys(ask("ada")).await.is_ok());
    assert!(HealthClient::new(server.channel().await).check(HealthCheckRequest::default()).await.is_ok());
}

#[tokio::test]
async fn a_service_with_a_token_of_its_own_answers_who_has_that_one_which_opens_no_other() {
    const OWN: &str = "another-token-for-one-service";
    let config = config(&[]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, stop) = (listener.local_addr().unwrap(), StopToken::new());
    let server = GrpcServer::new(config.get::<GrpcOptions>(), Readiness::new())
        .service(|_| JourneysServiceServer::new(Lookups::default()))
        .service_under(&runtime::config::Secret::new(OWN), |limit| proto::privacy_server(Nobody, limit));
    let serving = tokio::spawn(server.serve(listener, stop.clone()));
    let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
    let (mut journeys, mut own) = (JourneysServiceClient::new(channel.clone()), PrivacyServiceClient::new(channel));
    for (token, opens_own, opens_journeys) in
        [(None, false, false), (Some(TOKEN), false, true), (Some(OWN), true, false), (Some("wrong"), false, false)]
    {
        let (mut of_own, mut of_journeys) = (Request::new(EraseRequest::default()), ask("ada"));
        of_journeys.metadata_mut().remove("authorization");
        if let Some(token) = token {
            let bearer: tonic::metadata::MetadataValue<_> = format!("Bearer {token}").parse().unwrap();
            of_own.metadata_mut().insert("authorization", bearer.clone());
            of_journeys.metadata_mut().insert("authorization", bearer);
        }
        let code = |result: Result<(), Status>| result.err().map(|status| status.code());
        let refused = |opens: bool| (!opens).then_some(Code::Unauthenticated);
        assert_eq!(code(own.erase(of_own).await.map(drop)), refused(opens_own), "{token:?}");
        assert_eq!(code(journeys.get_journeys(of_journeys).await.map(drop)), refused(opens_journeys), "{token:?}");
    }
    drop((own, journeys));
    stop.stop();
    serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn health_follows_readiness_for_the_server_and_for_each_service() {
    let server = server(&[]).await;
    let mut health = HealthClient::new(server.channel().await);
    let broker = server.readiness.condition("broker");
    for (met, expected) in [(true, ServingStatus::Serving), (false, ServingStatus::NotServing)] {
        if met {
            broker.met();
        } else {
            broker.not_met("away");
        }
        for service in ["", "vuelve.journeys.v1.JourneysService"] {
            let mut changes = health.watch(HealthCheckRequest { service: service.into() }).await.unwrap().into_inner();
            while changes.message().await.unwrap().unwrap().status() != expected {}
        }
    }
}

#[tokio::test]
async fn a_deadline_that_passes_is_deadline_exceeded() {
    let server = server(&["grpc.max_deadline=50ms", "grpc.default_deadline=50ms"]).await;
    let late = server.client().await.get_journeys(ask("slow")).await.unwrap_err();
    assert_eq!(late.code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn a_request_id_is_kept_if_it_is_plain_and_made_if_not_and_always_sent_back() {
    let server = server(&[]).await;
    let mut client = server.client().await;
    let mut request = ask("ada");
    request.metadata_mut().insert("x-request-id", "checkout-42".parse().unwrap());
    let response = client.get_journeys(request).await.unwrap();
    assert_eq!(response.metadata().get("x-request-id").unwrap(), "checkout-42");
    assert_eq!(response.into_inner().runs[0].run_id, "checkout-42");

    let mut request = ask("");
    request.metadata_mut().insert("x-request-id", "no spaces, please".parse().unwrap());
    let refused = client.get_journeys(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let made = refused.metadata().get("x-request-id").unwrap().to_str().unwrap();
    assert_eq!((made.len(), made.contains(' ')), (36, false));
}

#[tokio::test]
async fn a_message_above_the_limit_is_refused() {
    let server = server(&["grpc.max_message_bytes=1KiB"]).await;
    let error = server.client().await.get_journeys(ask(&"a".repeat(2000))).await.unwrap_err();
    assert_eq!(error.code(), Code::OutOfRange, "{error}");
}

#[tokio::test]
async fn calls_above_the_bound_are_refused_at_once() {
    let server = server(&["grpc.max_concurrent_calls=1"]).await;
    let mut client = server.client().await;
    let mut first = client.clone();
    let waits = tokio::spawn(async move { first.get_journeys(ask("slow")).await });
    server.lookups.entered.notified().await;
    let refused = client.get_journeys(ask("ada")).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(proto::describe(&refused).contains("grpc.max_concurrent_calls"), "{}", proto::describe(&refused));
    server.lookups.released.notify_one();
    assert!(waits.await.unwrap().is_ok());
    assert!(client.get_journeys(ask("ada")).await.is_ok());
}

#[tokio::test]
async fn a_call_in_flight_ends_before_the_server_does_and_no_new_one_is_taken() {
    let server = server(&[]).await;
    let mut client = server.client().await;
    let waits = tokio::spawn(async move { client.get_journeys(ask("slow")).await });
    server.lookups.entered.notified().await;
    server.stop.stop();
    while tokio::net::TcpStream::connect(server.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!server.serving.is_finished());
    server.lookups.released.notify_one();
    assert!(waits.await.unwrap().is_ok());
    server.serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn reflection_shows_the_contract_to_who_has_the_token() {
    use tonic_reflection::pb::v1::ServerReflectionRequest;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

    let server = server(&[]).await;
    let ask = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut request = Request::new(tokio_stream::iter([ask]));
    let mut client = ServerReflectionClient::new(server.channel().await);
    request.metadata_mut().insert("authorization", format!("Bearer {TOKEN}").parse().unwrap());
    let mut answers = client.server_reflection_info(request).await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else { panic!("{answer:?}") };
    let names: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
    for expected in
        ["vuelve.journeys.v1.JourneysService", "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"]
    {
        assert!(names.iter().any(|name| name == expected), "{expected} in {names:?}");
    }
}

#[tokio::test]
async fn neither_the_token_nor_what_goes_over_the_wire_is_ever_logged() {
    let (lines, _guard) = crate::telemetry::capture(&["telemetry.log_filter=trace"]);
    let server = server(&[]).await;
    let mut client = server.client().await;
    client.get_journeys(ask("ada")).await.unwrap();
    client.get_journeys(ask("")).await.unwrap_err();
    tracing::info!("the calls are over");
    let text = lines.text();
    assert!(text.contains("the calls are over"), "{text}");
    assert!(!text.contains(TOKEN), "{text}");
    assert!(!text.contains(r#""target":"h2"#), "{text}");
    assert!(!text.contains("ada"), "{text}");
}
