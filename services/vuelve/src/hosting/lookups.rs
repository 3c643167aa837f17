//! Lookups of journeys over gRPC: where a customer is, and why.
//!
//! Wanted properties:
//! - an answer is one state of one customer, read from the view that the workers keep; nothing changes by asking;
//! - no more lookups wait for the store at once than calls are taken, also where their callers have gone away.

use std::sync::Arc;
use std::time::Duration;

use ingestion::partition_of;
use journeys::lookups::{self, Customer};
use proto::journeys::v1::{ExplainRequest, ExplainResponse, GetJourneysRequest, GetJourneysResponse};
use proto::{Extensions, JourneysAnswers, Refusal, has_time, timestamp};
use runtime::config::{Config, GrpcOptions, KafkaOptions};
use runtime::grpc::{GrpcServer, RequestId};
use runtime::host::Host;
use store::{LookupError, Lookups};
use stream::StoreError;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Installation, lookup_words as words};
use crate::why;

/// As long as a key may be.
const MAX_ID_BYTES: usize = 1024;
const DEFAULT_PAGE: usize = 100;
const MAX_PAGE: usize = 1000;
/// After so long a state that is being restored, or a search that is under way, may be done.
const RETRY: Duration = Duration::from_millis(500);

/// Serves the lookups of journeys; returns the address at which it listens.
pub async fn add_lookups(
    host: &mut Host,
    config: &Config,
    installation: &Installation,
    lookups: Arc<dyn Lookups>,
) -> anyhow::Result<std::net::SocketAddr> {
    let options: &GrpcOptions = config.get();
    let listener: TcpListener = runtime::admin::bind("grpc.listen", options.listen).await?;
    let address = listener.local_addr()?;
    let answers = Answers {
        lookups,
        installation: installation.clone(),
        timeout: config.get::<KafkaOptions>().request_timeout.as_std(),
        places: Arc::new(Semaphore::new(options.max_concurrent_calls as usize)),
        searches: Arc::new(Semaphore::new(1)),
    };
    let server = GrpcServer::new(options, host.readiness().clone());
    let server = server.service(|limit| proto::journeys_server(answers, limit));
    host.door("gRPC", move |stop| server.serve(listener, stop));
    Ok(address)
}

struct Answers {
    lookups: Arc<dyn Lookups>,
    installation: Installation,
    timeout: Duration,
    /// A lookup goes on where its caller has gone away, and keeps its place.
    places: Arc<Semaphore>,
    /// A search of the log is a load: one at a time.
    searches: Arc<Semaphore>,
}

impl JourneysAnswers for Answers {
    async fn get_journeys(
        &self,
        request: GetJourneysRequest,
        call: Extensions,
    ) -> Result<GetJourneysResponse, Refusal> {
        let customer_id = id("customer_id", request.customer_id)?;
        let customer = self.customer(&customer_id, &call).await?;
        let runs = lookups::active_runs(&customer.state).iter().map(words::run).collect();
        Ok(GetJourneysResponse { customer_id, runs, as_of: customer.as_of.map(|at| timestamp(at.as_millis())) })
    }

    async fn explain(&self, request: ExplainRequest, call: Extensions) -> Result<ExplainResponse, Refusal> {
        let page = Page::of(&request)?;
        let message_id = (!request.message_id.is_empty()).then(|| id("message_id", request.message_id)).transpose()?;
        let customer_id = match &message_id {
            Some(message_id) if request.customer_id.is_empty() => self.customer_of(message_id, &call).await?,
            _ => id("customer_id", request.customer_id)?,
        };
        let customer = self.customer(&customer_id, &call).await?;
        let told = lookups::explain(&customer.state, message_id.as_deref());
        if let Some(message_id) = message_id.filter(|_| told.is_empty()) {
            return Err(Refusal::NotFound { kind: "message", name: message_id });
        }
        let (range, next_page_token) = page.of_entries(told.len());
        let explanations = told[range].iter().map(|told| words::explanation(&customer_id, told)).collect();
        Ok(ExplainResponse { explanations, next_page_token })
    }
}

impl Answers {
    /// A customer's state, off the async threads.
    async fn customer(&self, customer_id: &str, call: &Extensions) -> Result<Customer, Refusal> {
        let place =
            place(&self.places).ok_or(Refusal::Exhausted { limit: "grpc.max_concurrent_calls", retry_after: RETRY })?;
        let partition = partition_of(customer_id.as_bytes(), self.installation.cluster.partitions);
        let (lookups, installation, key) =
            (Arc::clone(&self.lookups), self.installation.clone(), customer_id.to_owned());
        let read = move || {
            let _place = place;
            let found = lookups.get(partition, &key).map_err(Failure::Lookup)?;
            let value = found.as_ref().map(|(_, value)| value.as_ref());
            if let Some(value) = value {
                installation.learn(value).map_err(Failure::Registry)?;
            }
            lookups::read(&installation.schemas, value).map_err(|error| Failure::Other(error.into()))
        };
        let result = tokio::task::spawn_blocking(read).await;
        result.unwrap_or_else(|error| Err(Failure::Other(error.into()))).map_err(|failure| failure.refusal(call))
    }

    /// Whose message it is, from the log.
    async fn customer_of(&self, message_id: &str, call: &Extensions) -> Result<String, Refusal> {
        let place = place(&self.searches).ok_or_else(|| Refusal::Unavailable {
            reason: "SEARCHING",
            problem: "another message's customer is being looked for; name the customer, or try again".to_owned(),
            retry_after: RETRY,
        })?;
        let (installation, timeout) = (self.installation.clone(), self.timeout);
        let (message, deadline) = (message_id.to_owned(), call.clone());
        let search = move || {
            let _place = place;
            why::customer_of(&installation, &message, timeout, &|| has_time(&deadline))
        };
        let found = tokio::task::spawn_blocking(search).await.unwrap_or_else(|error| Err(error.into()));
        match found {
            Ok(Some(customer_id)) => Ok(customer_id),
            Ok(None) => Err(Refusal::NotFound { kind: "message", name: message_id.to_owned() }),
            Err(_) if !has_time(call) => Err(Refusal::DeadlineExceeded),
            Err(error) => Err(Failure::Search(error).refusal(call)),
        }
    }
}

fn place(places: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    Arc::clone(places).try_acquire_owned().ok()
}

/// Why a lookup has no answer.
enum Failure {
    Lookup(LookupError),
    Registry(kafka::RegistryError),
    Search(anyhow::Error),
    Other(anyhow::Error),
}

impl Failure {
    /// What the caller can do about it.
    fn refusal(self, call: &Extensions) -> Refusal {
        let unavailable =
            |reason, problem: &str| Refusal::Unavailable { reason, problem: problem.to_owned(), retry_after: RETRY };
        let error = match self {
            Self::Lookup(error @ LookupError::Restoring(_)) => {
                return unavailable(
                    "RESTORING",
                    &format!("{error} (with store.kind = \"memory\", ask the process that owns it)"),
                );
            }
            Self::Lookup(LookupError::Store(StoreError::Unavailable(_))) => {
                return unavailable("STORE_AWAY", "the state store does not answer");
            }
            Self::Registry(error) if error.is_passing() => {
                return unavailable("REGISTRY_AWAY", "the schema registry does not answer");
            }
            Self::Search(error)
                if error.downcast_ref::<kafka::KafkaFailure>().is_some_and(kafka::KafkaFailure::is_passing) =>
            {
                return unavailable("LOG_AWAY", "the log does not answer");
            }
            Self::Lookup(error) => error.into(),
            Self::Registry(error) => error.into(),
            Self::Search(error) | Self::Other(error) => error,
        };
        let request_id = call.get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default();
        tracing::error!(request_id, error = format!("{error:#}"), "a lookup has failed");
        Refusal::Internal { request_id }
    }
}

/// An id that can be one.
fn id(field: &'static str, id: String) -> Result<String, Refusal> {
    if id.is_empty() {
        return Err(Refusal::Invalid { field, problem: "is empty".to_owned() });
    }
    if id.len() > MAX_ID_BYTES {
        let problem = format!("has {} bytes; an id has at most {MAX_ID_BYTES}", id.len());
        return Err(Refusal::Invalid { field, problem });
    }
    Ok(id)
}

/// Which entries are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Page {
    size: usize,
    /// Those before this one; none for the latest.
    before: Option<usize>,
}

impl Page {
    fn of(request: &ExplainRequest) -> Result<Self, Refusal> {
        let size = match usize::try_from(request.page_size) {
            Ok(0) => DEFAULT_PAGE,
            Ok(size) => size.min(MAX_PAGE),
            Err(_) => return Err(Refusal::Invalid { field: "page_size", problem: "is negative".to_owned() }),
        };
        let before =
            (!request.page_token.is_empty()).then(|| request.page_token.parse()).transpose().map_err(|_| {
                Refusal::Invalid { field: "page_token", problem: "is not the next_page_token of an answer".to_owned() }
            })?;
        Ok(Self { size, before })
    }

    /// The latest of so many entries that it asks for, and the token for those before them.
    fn of_entries(self, count: usize) -> (std::ops::Range<usize>, String) {
        let end = self.before.unwrap_or(count).min(count);
        let start = end.saturating_sub(self.size);
        (start..end, if start == 0 { String::new() } else { start.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_go_from_the_latest_to_the_earliest_and_leave_nothing_out() {
        let (mut token, mut seen) = (String::new(), Vec::new());
        loop {
            let request = ExplainRequest { page_size: 3, page_token: token, ..ExplainRequest::default() };
            let (range, next) = Page::of(&request).unwrap().of_entries(8);
            seen.splice(0..0, range);
            token = next;
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(seen, (0..8).collect::<Vec<_>>());
    }

    #[test]
    fn a_page_that_makes_no_sense_is_refused_by_its_field() {
        let of = |page_size, page_token: &str| {
            let request = ExplainRequest { page_size, page_token: page_token.to_owned(), ..ExplainRequest::default() };
            Page::of(&request).map(|page| page.size).map_err(|refusal| refusal.to_string())
        };
        assert_eq!(of(0, ""), Ok(DEFAULT_PAGE));
        assert_eq!(of(1_000_000, "17"), Ok(MAX_PAGE));
        assert_eq!(of(-1, ""), Err("page_size: is negative".to_owned()));
        assert_eq!(of(1, "-3"), Err("page_token: is not the next_page_token of an answer".to_owned()));
    }
}
