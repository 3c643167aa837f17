//! Customers are erased by a call, once for each wish, for whoever has the token of that.

use std::time::Duration;

use proto::privacy::v1::get_request_request::About;
use proto::privacy::v1::privacy_service_client::PrivacyServiceClient;
use proto::privacy::v1::{EraseRequest, GetRequestRequest, PrivacyKind, PrivacyRequest, PrivacyStage};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

use crate::shop::{PRIVACY_TOKEN, Shop, now, track};

const JOURNEY: &str = "
journey: left-cart
version: 1
trigger: { event: Product Added }
steps:
  - wait: 23h
";

struct Caller(PrivacyServiceClient<Channel>);

impl Caller {
    async fn of(shop: &Shop) -> Self {
        let channel = Endpoint::from_shared(format!("http://{}", shop.grpc)).unwrap().connect().await.unwrap();
        Self(PrivacyServiceClient::new(channel))
    }

    async fn erase(&mut self, customer_id: &str, request_id: &str, within: Duration) -> Result<PrivacyRequest, Status> {
        let (customer_id, request_id) = (customer_id.to_owned(), request_id.to_owned());
        let mut call = with_token(EraseRequest { customer_id, request_id, shop: "main".to_owned() });
        call.set_timeout(within);
        Ok(self.0.erase(call).await?.into_inner().request.unwrap())
    }

    async fn get(&mut self, about: About, request_id: &str) -> Result<PrivacyRequest, Status> {
        let call = with_token(GetRequestRequest { request_id: request_id.to_owned(), about: Some(about) });
        Ok(self.0.get_request(call).await?.into_inner().request.unwrap())
    }
}

fn with_token<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {PRIVACY_TOKEN}").parse().unwrap());
    request
}

fn of(customer_id: &str) -> About {
    About::CustomerId(customer_id.to_owned())
}

/// What a refusal says: the code, and the field that is wrong.
fn said<T: std::fmt::Debug>(answer: Result<T, Status>) -> (Code, String) {
    let status = answer.unwrap_err();
    let field = status.get_error_details().bad_request().map(|bad| bad.field_violations[0].field.clone());
    (status.code(), field.unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_asks_for_an_erasure_once_and_tells_how_far_it_is() {
    const SHORT: Duration = Duration::from_secs(2);
    let shop = Shop::open(JOURNEY).await;
    let mut caller = Caller::of(&shop).await;
    for customer in ["ana", "berta"] {
        shop.post("/v1/track", track(customer, "Product Added")).await;
    }

    // It is answered within its time, whatever has become of it; and whoever asks again asks for nothing new.
    let first = caller.erase(" ana ", "gdpr-1", SHORT).await.unwrap();
    assert_eq!((first.customer_id.as_str(), first.shop.as_str(), first.source.as_str()), ("ana", "main", "grpc"));
    assert!(first.due_by.is_some() && first.done_at.is_none());
    let mut again = caller;
    let forgotten = shop
        .until("nobody to know her", async |_| {
            let told = again.erase("ana", "gdpr-1", SHORT).await.unwrap();
            assert_eq!((told.requested_at, told.kind()), (first.requested_at, PrivacyKind::Erase));
            (told.stage() == PrivacyStage::Forgotten).then_some(told)
        })
        .await;
    assert_eq!(forgotten.ids, ["ana"]);
    assert!(forgotten.forgotten_at.is_some() && !forgotten.places.is_empty() && !forgotten.remains.is_empty());
    assert!(forgotten.places.iter().all(|place| place.removed_at.is_none()));
    let mut caller = again;
    assert_eq!(caller.get(of("ana"), "gdpr-1").await.unwrap(), forgotten);
    let requests = shop.all::<schemas::PrivacyRequest>("privacy.requests").await;
    let of_ana: Vec<_> =
        requests.iter().map(|request| (request.request_id.as_str(), request.source.as_str())).collect();
    assert_eq!(of_ana, [("gdpr-1", "grpc")]);

    // An address is nobody's id: it is hashed as the door hashes it, and two may have requests of the same id.
    let hashed = caller.erase("Zoe@Example.com", "gdpr-1", SHORT).await.unwrap();
    assert!(hashed.customer_id.starts_with("address-"), "{hashed:?}");
    let hers = caller.get(of("zoe@example.com"), "gdpr-1").await.unwrap();
    assert_eq!((&hers.customer_id, hers.requested_at), (&hashed.customer_id, hashed.requested_at));
    assert!(
        !shop
            .all::<schemas::PrivacyRequest>("privacy.requests")
            .await
            .iter()
            .any(|request| { request.customer_id.as_ref().is_some_and(|id| id.to_lowercase().contains("example")) })
    );

    // What came in another way is told as well, and its id is no id of an erasure.
    let export = schemas::PrivacyRequest {
        request_id: "copy-7".to_owned(),
        kind: schemas::PrivacyKind::Export,
        customer_id: Some("berta".to_owned()),
        shop: "main".to_owned(),
        at: now().as_millis(),
        source: "madrid".to_owned(),
        ..schemas::PrivacyRequest::default()
    };
    let mut value = Vec::new();
    shop.installation.schemas.encode("privacy.requests", &export, &mut value).unwrap();
    shop.append("privacy.requests", "berta", &value, &[]).await;
    let told = caller.get(of("berta"), "copy-7").await.unwrap();
    assert_eq!((told.kind(), told.stage(), told.due_by), (PrivacyKind::Export, PrivacyStage::Pending, None));
    let wrong = caller.erase("berta", "copy-7", SHORT).await;
    assert_eq!(said(wrong), (Code::InvalidArgument, "request_id".to_owned()));
    assert_eq!(said(caller.get(of("berta"), "gdpr-1").await).0, Code::NotFound);
    assert_eq!(said(caller.get(About::Shop("main".to_owned()), "gdpr-1").await).0, Code::NotFound);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_has_no_token_for_it_or_names_nobody_erases_nobody() {
    const LONG: Duration = Duration::from_secs(20);
    let shop = Shop::open(JOURNEY).await;
    let mut caller = Caller::of(&shop).await;
    let wish = || EraseRequest { customer_id: "ana".to_owned(), request_id: "gdpr-1".to_owned(), shop: String::new() };
    for token in [None, Some("wrong-but-of-some-length-all-the-same")] {
        let mut call = Request::new(wish());
        if let Some(token) = token {
            call.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        assert_eq!(said(caller.0.erase(call).await).0, Code::Unauthenticated, "{token:?}");
    }
    let long = "x".repeat(5_000);
    for (customer_id, request_id, field) in [
        ("ana", "", "request_id"),
        ("ana", "ana@example.com", "request_id"),
        ("ana", &long[..], "request_id"),
        ("", "gdpr-1", "customer_id"),
        ("undefined", "gdpr-1", "customer_id"),
        (&long[..], "gdpr-1", "customer_id"),
    ] {
        let refused = said(caller.erase(customer_id, request_id, LONG).await);
        assert_eq!(refused, (Code::InvalidArgument, field.to_owned()), "{request_id}");
    }
    let call = with_token(EraseRequest { shop: long, ..wish() });
    assert_eq!(said(caller.0.erase(call).await), (Code::InvalidArgument, "shop".to_owned()));
    let nobody = GetRequestRequest { request_id: "gdpr-1".to_owned(), about: None };
    assert_eq!(said(caller.0.get_request(with_token(nobody)).await), (Code::InvalidArgument, "customer_id".to_owned()));
    assert!(shop.all::<schemas::PrivacyRequest>("privacy.requests").await.is_empty());
    shop.close().await;
}
