//! Who answers calls, without the server: a host gives the contract's messages, and knows nothing of what carries them.

use std::fmt;
use std::future::Future;

use tonic::{Request, Response, Status};

use crate::journeys::v1::journeys_service_server::{JourneysService, JourneysServiceServer};
use crate::journeys::v1::{ExplainRequest, ExplainResponse, GetJourneysRequest, GetJourneysResponse};
use crate::{Deadline, Extensions, Refusal};

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

fn respond<T>(answer: Result<T, Refusal>) -> Result<Response<T>, Status> {
    answer.map(Response::new).map_err(Status::from)
}

/// Whether a call still has time left; one without a deadline has.
pub fn has_time(call: &Extensions) -> bool {
    call.get::<Deadline>().is_none_or(|deadline| !deadline.remaining().is_zero())
}
