//! The one place that turns what went wrong into a gRPC status.

use std::fmt::Write as _;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// The domain of our reasons in `google.rpc.ErrorInfo`.
const DOMAIN: &str = "vuelve";

/// Why a call was not answered: one variant for each thing that a caller can do differently.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The request is wrong: mend it (`INVALID_ARGUMENT`, with the field).
    #[error("{field}: {problem}")]
    Invalid {
        /// The field of the request, as the contract spells it.
        field: &'static str,
        /// What is wrong with it and what would be right.
        problem: String,
    },
    /// There is no such thing (`NOT_FOUND`, with the resource).
    #[error("there is no {kind} `{name}`")]
    NotFound {
        /// What was looked for: `message`, `customer`.
        kind: &'static str,
        /// Its id, as the caller gave it.
        name: String,
    },
    /// Not now: try again after a while (`UNAVAILABLE`, with the reason and the time).
    #[error("{problem}")]
    Unavailable {
        /// A constant word, in capitals: `STORE_AWAY`, `STARTING`, `DRAINING`.
        reason: &'static str,
        /// The same for people.
        problem: String,
        /// When it may be worth another try.
        retry_after: Duration,
    },
    /// Too much at once: slow down (`RESOURCE_EXHAUSTED`, with the limit).
    #[error("{limit} is used up")]
    Exhausted {
        /// The limit, as the configuration spells it.
        limit: &'static str,
        /// When it may be worth another try.
        retry_after: Duration,
    },
    /// Who are you? (`UNAUTHENTICATED`.)
    #[error("{0}")]
    Unauthenticated(&'static str),
    /// The deadline has passed: give it more time, or ask for less (`DEADLINE_EXCEEDED`).
    #[error("the deadline has passed")]
    DeadlineExceeded,
    /// Our fault (`INTERNAL`). What it is stands in the log, under the id; the caller learns nothing of our inside.
    #[error("something went wrong here; it is in the log as request {request_id}")]
    Internal {
        /// The request's id.
        request_id: String,
    },
}

impl Refusal {
    /// The gRPC code.
    pub const fn code(&self) -> Code {
        match self {
            Self::Invalid { .. } => Code::InvalidArgument,
            Self::NotFound { .. } => Code::NotFound,
            Self::Unavailable { .. } => Code::Unavailable,
            Self::Exhausted { .. } => Code::ResourceExhausted,
            Self::Unauthenticated(_) => Code::Unauthenticated,
            Self::DeadlineExceeded => Code::DeadlineExceeded,
            Self::Internal { .. } => Code::Internal,
        }
    }

    fn details(&self) -> ErrorDetails {
        match self {
            Self::Invalid { field, problem } => ErrorDetails::with_bad_request_violation(*field, problem),
            Self::NotFound { kind, name } => {
                ErrorDetails::with_resource_info(*kind, name, "", "it may have expired, or the id is mistyped")
            }
            Self::Unavailable { reason, retry_after, .. } => {
                let mut details = ErrorDetails::with_error_info(*reason, DOMAIN, []);
                details.set_retry_info(Some(*retry_after));
                details
            }
            Self::Exhausted { limit, retry_after } => {
                let mut details = ErrorDetails::with_quota_failure_violation(*limit, self.to_string());
                details.set_retry_info(Some(*retry_after));
                details
            }
            Self::Unauthenticated(_) => ErrorDetails::with_error_info("UNAUTHENTICATED", DOMAIN, []),
            Self::DeadlineExceeded => ErrorDetails::with_error_info("DEADLINE_EXCEEDED", DOMAIN, []),
            Self::Internal { request_id } => ErrorDetails::with_request_info(request_id, ""),
        }
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        Status::with_error_details(refusal.code(), refusal.to_string(), refusal.details())
    }
}

/// A status for people who read it in a terminal: the code, the message and what the details add.
pub fn describe(status: &Status) -> String {
    let mut text = format!("{:?}: {}", status.code(), status.message());
    let details = status.get_error_details();
    if let Some(info) = details.error_info() {
        let _ = write!(text, " [{}]", info.reason);
    }
    if let Some(delay) = details.retry_info().and_then(|info| info.retry_delay) {
        let _ = write!(text, "; try again in {} s", delay.as_secs_f32());
    }
    text
}
