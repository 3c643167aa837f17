//! Who answers calls, without the server: a host gives the contract's messages, and knows nothing of what carries them.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, BoxStream, StreamExt as _};
use http::HeaderMap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::{Request, Response, Status, Streaming};

use crate::ingestion::v1::ingestion_service_server::{IngestionService, IngestionServiceServer};
use crate::ingestion::v1::{RecordRequest, RecordResponse, RecordStreamRequest, RecordStreamResponse};
use crate::journeys::v1::journeys_service_server::{JourneysService, JourneysServiceServer};
use crate::journeys::v1::{ExplainRequest, ExplainResponse, GetJourneysRequest, GetJourneysResponse};
use crate::privacy::v1::privacy_service_server::{PrivacyService, PrivacyServiceServer};
use crate::privacy::v1::{EraseRequest, EraseResponse, GetRequestRequest, GetRequestResponse};
use crate::segmentation::v1::segmentation_service_server::{SegmentationService, SegmentationServiceServer};
use crate::segmentation::v1::{
    BatchGetCustomersRequest, BatchGetCustomersResponse, CountMembersRequest, CountMembersResponse, GetCustomerRequest,
    GetCustomerResponse, GetSegmentsRequest, GetSegmentsResponse, ListMembersRequest, ListMembersResponse,
};
use crate::{Deadline, Extensions, Refusal};

/// After so long there is most likely a server, or a place on it.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// A stream on which nothing came for so long is ended.
const IDLE_AFTER: Duration = Duration::from_mins(10);

/// Answers the calls of `vuelve.journeys.v1`. What the server knows of a call (its [`Deadline`], its request id) is in
/// the extensions.
pub trait JourneysAnswers: Send + Sync + 'static {
    /// The runs of a customer that have not ended.
    fn get_journeys(
        &self,
        request: GetJourneysRequest,
        call: Extensions,
    ) -> impl Future<Output = Result<GetJourneysResponse, Refusal>> + Send;

    /// What was decided about a message or a customer.
    fn explain(
        &self,
        request: ExplainRequest,
        call: Extensions,
    ) -> impl Future<Output = Result<ExplainResponse, Refusal>> + Send;
}

/// The service of whoever answers, for a server that takes and gives messages of at most `max_message_bytes`.
pub fn journeys_server<A: JourneysAnswers>(
    answers: A,
    max_message_bytes: usize,
) -> JourneysServiceServer<JourneysServer<A>> {
    JourneysServiceServer::new(JourneysServer(answers))
        .max_decoding_message_size(max_message_bytes)
        .max_encoding_message_size(max_message_bytes)
}

/// Turns answers into responses, and refusals into statuses.
pub struct JourneysServer<A>(A);

impl<A> fmt::Debug for JourneysServer<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JourneysServer").finish_non_exhaustive()
    }
}

#[tonic::async_trait]
impl<A: JourneysAnswers> JourneysService for JourneysServer<A> {
    async fn get_journeys(
        &self,
        request: Request<GetJourneysRequest>,
    ) -> Result<Response<GetJourneysResponse>, Status> {
        let (_, call, request) = request.into_parts();
        respond(self.0.get_journeys(request, call).await)
    }

    async fn explain(&self, request: Request<ExplainRequest>) -> Result<Response<ExplainResponse>, Status> {
        let (_, call, request) = request.into_parts();
        respond(self.0.explain(request, call).await)
    }
}

/// Answers the calls of `vuelve.segmentation.v1`; of a call's extensions as [`JourneysAnswers`] has it.
pub trait SegmentationAnswers: Send + Sync + 'static {
    /// A customer's profile and her segments.
    fn get_customer(
        &self,
        request: GetCustomerRequest,
        call: Extensions,
    ) -> impl Future<Output = Result<GetCustomerResponse, Refusal>> + Send;

    /// The segments that a customer is in.
    fn get_segments(
        &self,
        request: GetSegmentsRequest,
        call: Extensions,
    ) -> impl Future<Output = Result<GetSegmentsResponse, Refusal>> + Send;

    /// Several customers at once.
    fn batch_get_customers(
        &self,
        request: BatchGetCustomersRequest,
        call: Extensions,
    ) -> impl Future<Output = Result<BatchGetCustomersResponse, Refusal>> + Send;

    /// A page of a segment's members.
    fn list_members(
        &self,
        request: ListMembersRequest,
        call: Extensions,
    ) -> impl Future<Output = Result<ListMembersResponse, Refusal>> + Send;

    /// How many are in a segment.
    fn count_members(
        &self,
        request: CountMembersRequest,
        call: Extensions,
    ) -> impl Future<Output = Result<CountMembersResponse, Refusal>> + Send;
}

/// The service of whoever answers, for a server that takes and gives messages of at most `max_message_bytes`.
pub fn segmentation_server<A: SegmentationAnswers>(
    answers: A,
    max_message_bytes: usize,
) -> SegmentationServiceServer<SegmentationServer<A>> {
    SegmentationServiceServer::new(SegmentationServer(answers))
        .max_decoding_message_size(max_message_bytes)
        .max_encoding_message_size(max_message_bytes)
}

/// Turns answers into responses, and refusals into statuses.
pub struct SegmentationServer<A>(A);

impl<A> fmt::Debug for SegmentationServer<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SegmentationServer").finish_non_exhaustive()
    }
}

#[tonic::async_trait]
impl<A: SegmentationAnswers> SegmentationService for SegmentationServer<A> {
    async fn get_customer(
        &self,
        request: Request<GetCustomerRequest>,
    ) -> Result<Response<GetCustomerResponse>, Status> {
        let (_, call, request) = request.into_parts();
        respond(self.0.get_customer(request, call).await)
    }

    async fn get_segments(
        &self,
        request: Request<GetSegmentsRequest>,
    ) -> Result<Response<GetSegmentsResponse>, Status> {
        let (_, call, request) = request.into_parts();
        respond(self.0.get_segments(request, call).await)
    }

    async fn batch_get_customers(
        &self,
        request: Request<BatchGetCustomersRequest>,
    ) -> Result<Response<BatchGetCustomersResponse>, Status> {
        let (_, call, request) = request.into_parts();
        respond(self.0.batch_get_customers(request, call).await)
    }

    async fn list_members(
        &self,
        request: Request<ListMembersRequest>,
    ) -> Result<Response<ListMembersResponse>, Status> {
        let (_, call, request) = request.into_parts();
        respond(self.0.list_members(request, call).await)
    }

    async fn count_members(
        &self,
        request: Request<CountMembersRequest>,
    ) -> Result<Response<CountMembersResponse>, Status> {
        let (_, call, request) = request.into_parts();
        respond(self.0.count_members(request, call).await)
    }
}

/// Answers the calls of `vuelve.privacy.v1`; of a call's extensions as [`JourneysAnswers`] has it.
pub trait PrivacyAnswers: Send + Sync + 'static {
    /// Asks for a customer to be erased.
    fn erase(
        &self,
        request: EraseRequest,
        call: Extensions,
    ) -> impl Future<Output = Result<EraseResponse, Refusal>> + Send;

    /// How far a request is.
    fn get_request(
        &self,
        request: GetRequestRequest,
        call: Extensions,
    ) -> impl Future<Output = Result<GetRequestResponse, Refusal>> + Send;
}

/// The service of whoever answers, for a server that takes and gives messages of at most `max_message_bytes`.
pub fn privacy_server<A: PrivacyAnswers>(
    answers: A,
    max_message_bytes: usize,
) -> PrivacyServiceServer<PrivacyServer<A>> {
    PrivacyServiceServer::new(PrivacyServer(answers))
        .max_decoding_message_size(max_message_bytes)
        .max_encoding_message_size(max_message_bytes)
}

/// Turns answers into responses, and refusals into statuses.
pub struct PrivacyServer<A>(A);

impl<A> fmt::Debug for PrivacyServer<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivacyServer").finish_non_exhaustive()
    }
}

#[tonic::async_trait]
impl<A: PrivacyAnswers> PrivacyService for PrivacyServer<A> {
    async fn erase(&self, request: Request<EraseRequest>) -> Result<Response<EraseResponse>, Status> {
        let (_, call, request) = request.into_parts();
        respond(self.0.erase(request, call).await)
    }

    async fn get_request(&self, request: Request<GetRequestRequest>) -> Result<Response<GetRequestResponse>, Status> {
        let (_, call, request) = request.into_parts();
        respond(self.0.get_request(request, call).await)
    }
}

/// Answers the calls of `vuelve.ingestion.v1`.
pub trait IngestionAnswers: Send + Sync + 'static {
    /// Stores a batch; `headers` are the call's metadata.
    fn record(
        &self,
        request: RecordRequest,
        headers: &HeaderMap,
    ) -> impl Future<Output = Result<RecordResponse, Refusal>> + Send;

    /// Returns once no batch is to be begun any more.
    fn draining(&self) -> impl Future<Output = ()> + Send;
}

/// The service of whoever answers, for a server that takes and gives messages of at most `max_message_bytes`.
/// At most so many streams are open at once.
pub fn ingestion_server<A: IngestionAnswers>(
    answers: A,
    max_streams: usize,
    max_message_bytes: usize,
) -> IngestionServiceServer<IngestionServer<A>> {
    let streams = Arc::new(Semaphore::new(max_streams.min(Semaphore::MAX_PERMITS)));
    IngestionServiceServer::new(IngestionServer { answers: Arc::new(answers), streams })
        .max_decoding_message_size(max_message_bytes)
        .max_encoding_message_size(max_message_bytes)
}

/// Turns answers into responses and streams of them, and refusals into statuses.
pub struct IngestionServer<A> {
    answers: Arc<A>,
    streams: Arc<Semaphore>,
}

impl<A> fmt::Debug for IngestionServer<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IngestionServer").finish_non_exhaustive()
    }
}

#[tonic::async_trait]
impl<A: IngestionAnswers> IngestionService for IngestionServer<A> {
    async fn record(&self, request: Request<RecordRequest>) -> Result<Response<RecordResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        respond(self.answers.record(request, &metadata.into_headers()).await)
    }

    type RecordStreamStream = BoxStream<'static, Result<RecordStreamResponse, Status>>;

    async fn record_stream(
        &self,
        request: Request<Streaming<RecordStreamRequest>>,
    ) -> Result<Response<Self::RecordStreamStream>, Status> {
        let place = Arc::clone(&self.streams)
            .try_acquire_owned()
            .map_err(|_| Refusal::Exhausted { limit: "grpc.max_concurrent_calls", retry_after: AGAIN_AFTER })?;
        let (metadata, _, requests) = request.into_parts();
        let (answers, headers) = (Arc::clone(&self.answers), metadata.into_headers());
        let stream = Batches { answers, headers, requests, _place: place };
        let acknowledgements = stream::unfold(Some(stream), |stream| async {
            let mut stream = stream?;
            let acknowledgement = stream.next().await?;
            // After a failure nothing more is begun.
            let stream = acknowledgement.is_ok().then_some(stream);
            Some((acknowledgement, stream))
        });
        Ok(Response::new(acknowledgements.boxed()))
    }
}

/// The batches of a stream, one at a time: so they are stored in their order.
struct Batches<A> {
    answers: Arc<A>,
    headers: HeaderMap,
    requests: Streaming<RecordStreamRequest>,
    _place: OwnedSemaphorePermit,
}

impl<A: IngestionAnswers> Batches<A> {
    /// The next acknowledgement; none where the caller has sent its last batch.
    async fn next(&mut self) -> Option<Result<RecordStreamResponse, Status>> {
        let batch = tokio::select! {
            biased;
            () = self.answers.draining() => Err(Refusal::Unavailable {
                reason: "DRAINING",
                problem: "this server is about to stop; go on with another".to_owned(),
                retry_after: AGAIN_AFTER,
            }.into()),
            batch = tokio::time::timeout(IDLE_AFTER, self.requests.message()) => batch.unwrap_or_else(|_| {
                Err(Refusal::Unavailable {
                    reason: "IDLE",
                    problem: "nothing has come on this stream for ten minutes; open another".to_owned(),
                    retry_after: Duration::ZERO,
                }
                .into())
            }),
        };
        match batch {
            Ok(None) => None,
            Ok(Some(RecordStreamRequest { sequence, events, sent_at })) => {
                let answer = self.answers.record(RecordRequest { events, sent_at }, &self.headers).await;
                let acknowledged =
                    |RecordResponse { accepted, rejected }| RecordStreamResponse { sequence, accepted, rejected };
                Some(answer.map(acknowledged).map_err(Status::from))
            }
            Err(status) => Some(Err(status)),
        }
    }
}

fn respond<T>(answer: Result<T, Refusal>) -> Result<Response<T>, Status> {
    answer.map(Response::new).map_err(Status::from)
}

/// Whether a call still has time left; one without a deadline has.
pub fn has_time(call: &Extensions) -> bool {
    call.get::<Deadline>().is_none_or(|deadline| !deadline.remaining().is_zero())
}
