//! Erasing over gRPC.

use std::time::Duration;

use proto::privacy::v1::privacy_service_client::PrivacyServiceClient;
use proto::privacy::v1::{EraseRequest, PrivacyRequest};
use proto::segmentation::v1::GetSegmentsRequest;
use proto::segmentation::v1::segmentation_service_client::SegmentationServiceClient;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

/// What whoever may erase sends.
pub(crate) const MAY_ERASE: &str = "may-erase-customers-and-no-more";
/// What whoever may look customers up sends.
pub(crate) const MAY_LOOK: &str = "may-look-customers-up-and-no-more";
const WITHIN: Duration = Duration::from_secs(2);

/// Asks a process for a customer to be erased, and waits a little.
pub(crate) fn erase(port: u16, token: &str, customer_id: &str, request_id: &str) -> Result<PrivacyRequest, Status> {
    call(port, async |channel| {
        let (customer_id, request_id) = (customer_id.to_owned(), request_id.to_owned());
        let wish = EraseRequest { customer_id, request_id, shop: "test".to_owned() };
        let answer = PrivacyServiceClient::new(channel).erase(with(token, wish)).await?;
        Ok(answer.into_inner().request.unwrap())
    })
}

/// How a lookup with this token is answered.
pub(crate) fn look_up(port: u16, token: &str, customer_id: &str) -> Code {
    let asked = GetSegmentsRequest { customer_id: customer_id.to_owned(), at_least: None };
    let answer = call(port, async |channel| {
        SegmentationServiceClient::new(channel).get_segments(with(token, asked)).await.map(drop)
    });
    answer.err().map_or(Code::Ok, |status| status.code())
}

fn call<T>(port: u16, ask: impl AsyncFnOnce(Channel) -> Result<T, Status>) -> Result<T, Status> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let channel = Endpoint::from_shared(format!("http://127.0.0.1:{port}")).unwrap().connect().await.unwrap();
        ask(channel).await
    })
}

fn with<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(WITHIN);
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}
