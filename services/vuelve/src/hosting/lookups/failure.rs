//! Why a lookup has no answer, and what is told of it.

use proto::{Extensions, Refusal};
use runtime::grpc::RequestId;
use store::LookupError;
use stream::StoreError;

use super::RETRY;

/// Why a lookup has no answer.
pub(super) enum Failure {
    Lookup(LookupError),
    Registry(kafka::RegistryError),
    Log(anyhow::Error),
    Other(anyhow::Error),
}

impl Failure {
    /// What the caller can do about it.
    pub(super) fn refusal(self, call: &Extensions) -> Refusal {
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
            Self::Log(error)
                if error.downcast_ref::<kafka::KafkaFailure>().is_some_and(kafka::KafkaFailure::is_passing) =>
            {
                return unavailable("LOG_AWAY", "the log does not answer");
            }
            Self::Lookup(error) => error.into(),
            Self::Registry(error) => error.into(),
            Self::Log(error) | Self::Other(error) => error,
        };
        let request_id = call.get::<RequestId>().map(|id| id.as_str().to_owned()).unwrap_or_default();
        tracing::error!(request_id, error = format!("{error:#}"), "a lookup has failed");
        Refusal::Internal { request_id }
    }
}
