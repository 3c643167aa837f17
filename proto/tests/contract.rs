//! What callers rely on: codes, details, deadlines.

use std::convert::Infallible;
use std::time::Duration;

use http::{Request, Response};
use proto::{Deadline, DeadlineLayer, Refusal, describe, timestamp, to_timestamp};
use tonic::{Code, Status};
use tonic_types::StatusExt;
use tower::{Layer, ServiceExt, service_fn};

fn code_of(response: &Response<String>) -> Option<Code> {
    Status::from_header_map(response.headers()).map(|status| status.code())
}

#[test]
fn a_wrong_request_names_the_field_and_what_would_be_right() {
    let refusal = Refusal::Invalid { field: "customer_id", problem: "is empty: say whose journeys".into() };
    let status = Status::from(refusal);
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(status.message(), "customer_id: is empty: say whose journeys");
    let violations = status.get_error_details().bad_request().unwrap().field_violations.clone();
    assert_eq!(violations[0].field, "customer_id");
}

#[test]
fn what_is_away_for_now_says_when_to_try_again() {
    let status = Status::from(Refusal::Unavailable {
        reason: "STORE_AWAY",
        problem: "the store does not answer".into(),
        retry_after: Duration::from_secs(2),
    });
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(describe(&status), "Unavailable: the store does not answer [STORE_AWAY]; try again in 2 s");
}

#[test]
fn our_own_fault_tells_nothing_but_where_to_look() {
    let status = Status::from(Refusal::Internal { request_id: "r-1".into() });
    assert_eq!(status.code(), Code::Internal);
    assert_eq!(status.get_error_details().request_info().unwrap().request_id, "r-1");
}

#[test]
fn every_service_and_enum_is_in_the_descriptors() {
    let text = String::from_utf8_lossy(proto::DESCRIPTORS);
    for name in [
        "vuelve.ingestion.v1",
        "IngestionService",
        "vuelve.journeys.v1",
        "JourneysService",
        "GetJourneysResponse",
        "ARM_UNSPECIFIED",
        "vuelve.privacy.v1",
        "PrivacyService",
        "PRIVACY_STAGE_PENDING",
        "vuelve.segmentation.v1",
        "SegmentationService",
        "GetSegmentsResponse",
        "ListMembersResponse",
        "CountMembersResponse",
        "ACTIVITY_UNSPECIFIED",
        "google/protobuf/field_mask.proto",
        "google/protobuf/timestamp.proto",
    ] {
        assert!(text.contains(name), "{name}");
    }
}

#[test]
fn event_time_survives_the_wire_also_before_1970() {
    for millis in [0, 1, 1_700_000_000_123, -1, -86_400_001] {
        assert_eq!(to_timestamp(&timestamp(millis)), millis);
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_passes_is_deadline_exceeded_and_not_cancelled() {
    let never = service_fn(|_: Request<()>| async {
        std::future::pending::<()>().await;
        Ok::<_, Infallible>(Response::new(String::new()))
    });
    let service = DeadlineLayer::new(Duration::from_secs(1), Duration::from_secs(10)).layer(never);
    for timeout in [Some("50m"), Some("99999999H"), Some("nonsense"), None] {
        let mut request = Request::new(());
        if let Some(timeout) = timeout {
            request.headers_mut().insert("grpc-timeout", timeout.parse().unwrap());
        }
        let response = service.clone().oneshot(request).await.unwrap();
        assert_eq!(code_of(&response), Some(Code::DeadlineExceeded), "{timeout:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_sees_what_is_left() {
    let layer = DeadlineLayer::new(Duration::from_secs(3), Duration::from_secs(10));
    let tells = layer.layer(service_fn(|request: Request<()>| async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let left = request.extensions().get::<Deadline>().unwrap().remaining();
        Ok::<_, Infallible>(Response::new(left.as_secs().to_string()))
    }));
    assert_eq!(tells.clone().oneshot(Request::new(())).await.unwrap().into_body(), "2");
    let mut patient = Request::new(());
    patient.headers_mut().insert("grpc-timeout", "1H".parse().unwrap());
    assert_eq!(tells.oneshot(patient).await.unwrap().into_body(), "9");
}
