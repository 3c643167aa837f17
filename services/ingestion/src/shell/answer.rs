//! What the door answers: Segment's errors, in one place.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use proto::Refusal;
use serde_json::json;

use super::limits::Reached;
use super::log::LogError;
use crate::mapping::Unreadable;

/// Why a call is not taken. Nothing of it is stored, or it is to be sent again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("{0}")]
    Unreadable(#[from] Unreadable),
    #[error("the body is empty; a JSON object is expected")]
    Empty,
    #[error("the body is neither JSON in UTF-8 nor such JSON compressed with gzip or zlib")]
    NotText,
    #[error("the compressed body breaks off or is damaged")]
    Damaged,
    #[error("the body broke off before it was whole")]
    Interrupted,
    #[error("the body did not come in time")]
    Slow,
    #[error(
        "the write key is missing or unknown; give it as HTTP Basic user name, as ?writeKey=, or as writeKey in the body"
    )]
    WrongKey,
    #[error("the webhook's signature is missing, or is not that of this body under a secret in force")]
    WrongSignature,
    #[error("the body is larger than {most_bytes} bytes (uncompressed); send less in one call")]
    TooLarge { most_bytes: usize },
    #[error("too many calls at once; send this one again in a moment")]
    Shed,
    #[error("too much waits to be stored; send this call again in a moment, and fewer of them")]
    Overloaded,
    #[error("this write key may send {} events a {}; send this call again in {} s", .0.limit.0, .0.limit.1, .0.retry_after_seconds())]
    Limited(Reached),
    #[error("the event log does not answer, so the events are not stored; send them again")]
    Unavailable,
    #[error("the events can't be stored")]
    Unstorable,
    #[error("there is nothing at this path; calls go to POST /v1/track, identify, page, screen, group, alias or batch")]
    NoSuchPath,
    #[error("this path is not for this method; calls are POST")]
    WrongMethod,
    #[error("something went wrong here; send the call again")]
    Broken,
}

impl Refused {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Unreadable(Unreadable::TooMany { .. } | Unreadable::SharedTooLarge { .. })
            | Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unreadable(_) | Self::Empty | Self::NotText | Self::Damaged | Self::Interrupted => {
                StatusCode::BAD_REQUEST
            }
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::WrongKey | Self::WrongSignature => StatusCode::UNAUTHORIZED,
            Self::Overloaded | Self::Limited(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Shed | Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Unstorable | Self::Broken => StatusCode::INTERNAL_SERVER_ERROR,
            Self::NoSuchPath => StatusCode::NOT_FOUND,
            Self::WrongMethod => StatusCode::METHOD_NOT_ALLOWED,
        }
    }

    /// The `code` of the answer: for programs.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Unreadable(Unreadable::TooMany { .. }) => "too_many_events",
            Self::Unreadable(Unreadable::SharedTooLarge { .. }) | Self::TooLarge { .. } => "too_large",
            Self::Unreadable(_) | Self::Empty | Self::NotText | Self::Damaged => "unreadable",
            Self::Interrupted => "interrupted",
            Self::Slow => "timeout",
            Self::WrongKey => "wrong_write_key",
            Self::WrongSignature => "wrong_signature",
            Self::Shed => "overloaded",
            Self::Overloaded => "slow_down",
            Self::Limited(_) => "rate_limited",
            Self::Unavailable => "unavailable",
            Self::Unstorable => "unstorable",
            Self::NoSuchPath => "no_such_path",
            Self::WrongMethod => "wrong_method",
            Self::Broken => "internal",
        }
    }

    /// When to come again, where that helps.
    fn retry_after_seconds(&self) -> Option<u32> {
        match self {
            Self::Shed | Self::Overloaded => Some(1),
            Self::Unavailable => Some(2),
            Self::Limited(reached) => Some(reached.retry_after_seconds()),
            _ => None,
        }
    }

    /// The same over gRPC, for the request of this id.
    pub(crate) fn over_grpc(&self, request_id: &str) -> Refusal {
        let retry_after = Duration::from_secs(self.retry_after_seconds().unwrap_or(1).into());
        let problem = self.to_string();
        match self {
            Self::WrongKey | Self::WrongSignature => Refusal::Unauthenticated("the write key is missing or unknown"),
            Self::Shed => Refusal::Exhausted { limit: "ingestion.door.max_calls", retry_after },
            Self::Overloaded => Refusal::Exhausted { limit: "the producer's buffer", retry_after },
            Self::Limited(reached) => Refusal::Exhausted { limit: reached.option(), retry_after },
            Self::Unavailable | Self::Slow | Self::Interrupted => {
                Refusal::Unavailable { reason: "LOG_AWAY", problem, retry_after }
            }
            Self::Unreadable(_) | Self::Empty | Self::NotText | Self::Damaged | Self::TooLarge { .. } => {
                Refusal::Invalid { field: "events", problem }
            }
            Self::Unstorable | Self::Broken | Self::NoSuchPath | Self::WrongMethod => {
                Refusal::Internal { request_id: request_id.to_owned() }
            }
        }
    }
}

impl From<Reached> for Refused {
    fn from(reached: Reached) -> Self {
        Self::Limited(reached)
    }
}

impl From<LogError> for Refused {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Unavailable => Self::Unavailable,
            LogError::Overloaded => Self::Overloaded,
            LogError::Refused(_) => Self::Unstorable,
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let body = Json(json!({ "code": self.code(), "message": self.to_string() }));
        let mut response = (self.status(), body).into_response();
        if let Some(seconds) = self.retry_after_seconds() {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// All is stored. Exactly 200: two official SDKs raise on 202 and send again.
pub(crate) fn accepted() -> Response {
    Json(json!({ "success": true })).into_response()
}
