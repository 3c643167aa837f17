//! What every call passes: its span, request id and figures; then the token and the bound on calls at once.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use proto::Refusal;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tonic::{Code, Status};
use tower::{Service, ServiceExt as _};
use tracing::{Instrument, field};

use crate::config::{GrpcOptions, Secret};
use crate::host::StopToken;
use crate::metrics::Rpc;
use crate::telemetry::continue_from_headers;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const MAX_REQUEST_ID_BYTES: usize = 64;
const REFLECTION: &str = "/grpc.reflection.";
const HEALTH: &str = "/grpc.health.v1.Health/";
const BUSY_RETRY: Duration = Duration::from_millis(200);

/// The request's id; in the extensions of every request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// The caller's if it is short and plain, else a new one.
    fn of(headers: &HeaderMap) -> Self {
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
        let given = headers
            .get(REQUEST_ID)
            .filter(|id| (1..=MAX_REQUEST_ID_BYTES).contains(&id.len()) && id.as_bytes().iter().all(is_plain));
        Self(given.cloned().unwrap_or_else(|| {
            let mut buffer = uuid::Uuid::encode_buffer();
            let text = uuid::Uuid::now_v7().hyphenated().encode_lower(&mut buffer);
            // It can't fail: digits and hyphens.
            HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static("none"))
        }))
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

/// What answers calls.
pub(super) trait Calls: Service<Request, Response = Response, Error = Infallible, Future: Send> + Send {}

impl<S: Service<Request, Response = Response, Error = Infallible, Future: Send> + Send> Calls for S {}

/// Calls, each of them observed.
#[derive(Clone)]
pub(super) struct Observed<S> {
    pub(super) guard: Arc<Guard>,
    pub(super) calls: S,
}

impl<S: Calls + Clone + 'static> Service<Request> for Observed<S> {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let Self { guard, calls } = self.clone();
        Box::pin(async move { Ok(observe(&guard, request, calls).await) })
    }
}

/// Who may call, and how many at once; what is counted of calls, and when they are to end.
pub(super) struct Guard {
    stop: StopToken,
    admission: Admission,
    own: Vec<OwnToken>,
    calls: Semaphore,
    metrics: Rpc,
}

/// Who may call, by the metadata of the call.
pub(super) enum Admission {
    /// Anybody.
    Open,
    /// Whoever has the token with this digest.
    Token([u8; 32]),
    /// Whoever the service knows.
    Known(Box<dyn Fn(&HeaderMap) -> bool + Send + Sync>),
}

/// A service that whoever has its own token may call, and nobody else.
pub(super) struct OwnToken {
    /// What the paths of its calls begin with.
    prefix: String,
    digest: [u8; 32],
}

impl OwnToken {
    pub(super) fn new(service: &str, token: &Secret) -> Self {
        Self { prefix: format!("/{service}/"), digest: digest(token.expose().as_bytes()) }
    }
}

impl Guard {
    pub(super) fn new(
        options: &GrpcOptions,
        admission: Option<Admission>,
        own: Vec<OwnToken>,
        stop: StopToken,
    ) -> Self {
        let calls = Semaphore::new(usize::try_from(options.max_concurrent_calls).unwrap_or(usize::MAX));
        let token = options.token.as_ref().map(|token| Admission::Token(digest(token.expose().as_bytes())));
        Self { stop, admission: admission.or(token).unwrap_or(Admission::Open), own, calls, metrics: Rpc::new() }
    }

    fn admits(&self, path: &str, headers: &HeaderMap) -> Result<(), Refusal> {
        if let Some(own) = self.own.iter().find(|own| path.starts_with(&own.prefix)) {
            return has_token(headers, &own.digest);
        }
        // Whoever may call anything here may see the contract.
        if path.starts_with(REFLECTION) && self.own.iter().any(|own| has_token(headers, &own.digest).is_ok()) {
            return Ok(());
        }
        match &self.admission {
            Admission::Open => Ok(()),
            Admission::Known(knows) if knows(headers) => Ok(()),
            Admission::Known(_) => {
                Err(Refusal::Unauthenticated("no key that is in force here: send `authorization: Bearer …`"))
            }
            Admission::Token(expected) => has_token(headers, expected),
        }
    }
}

/// Digests are compared, in constant time: neither the token's bytes nor its length show in how long it takes.
fn has_token(headers: &HeaderMap, expected: &[u8; 32]) -> Result<(), Refusal> {
    let Some(given) = headers.get(header::AUTHORIZATION) else {
        return Err(Refusal::Unauthenticated("no token: send `authorization: Bearer …`"));
    };
    let token = match given.as_bytes().split_at_checked(7) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case(b"bearer ") => token,
        _ => return Err(Refusal::Unauthenticated("the authorization header is not `Bearer …`")),
    };
    if bool::from(digest(token).ct_eq(expected)) {
        Ok(())
    } else {
        Err(Refusal::Unauthenticated("the token is not the one that is in force here"))
    }
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Refuses who has no token and what is too much. Health is for everybody: orchestrators ask for it.
async fn pass(guard: &Guard, request: Request, calls: impl Calls) -> Response {
    let is_health = request.uri().path().starts_with(HEALTH);
    if !is_health && let Err(refusal) = guard.admits(request.uri().path(), request.headers()) {
        return refuse(refusal);
    }
    match guard.calls.try_acquire() {
        Ok(_place) => answer(calls, request).await,
        Err(_) if is_health => answer(calls, request).await,
        Err(_) => refuse(Refusal::Exhausted { limit: "grpc.max_concurrent_calls", retry_after: BUSY_RETRY }),
    }
}

async fn answer(calls: impl Calls, request: Request) -> Response {
    calls.oneshot(request).await.unwrap_or_else(|never| match never {})
}

/// Of an answer: the call was refused before anybody looked whether there is such a method.
#[derive(Clone, Copy)]
struct Refused;

fn refuse(refusal: Refusal) -> Response {
    let mut response = Status::from(refusal).into_http::<Body>();
    response.extensions_mut().insert(Refused);
    response
}

/// Gives the call its request id, its span and what tells it that the server ends, lets it pass or refuses it, and counts it.
async fn observe(guard: &Guard, mut request: Request, calls: impl Calls) -> Response {
    let began = Instant::now();
    let id = RequestId::of(request.headers());
    let uri = request.uri().clone();
    let path = uri.path().trim_start_matches('/');
    let span = tracing::info_span!(
        "rpc",
        otel.name = path,
        otel.kind = "server",
        otel.status_code = field::Empty,
        rpc.system.name = "grpc",
        rpc.method = path,
        rpc.response.status_code = field::Empty,
        vuelve.request_id = id.as_str(),
    );
    continue_from_headers(&span, request.headers());
    // For those who are shown the metadata alone.
    request.headers_mut().insert(REQUEST_ID, id.0.clone());
    request.extensions_mut().insert(id.clone());
    request.extensions_mut().insert(guard.stop.clone());

    let mut response = pass(guard, request, calls).instrument(span.clone()).await;

    let code = Status::from_header_map(response.headers()).map_or(Code::Ok, |status| status.code());
    let status = code_name(code);
    span.record("rpc.response.status_code", status);
    if is_our_fault(code) {
        span.record("otel.status_code", "ERROR");
        span.in_scope(|| tracing::warn!(status, request_id = id.as_str(), method = path, "a call has failed"));
    }
    // Methods that nobody implements would be labels without bound; so would those of which nobody knows whether there are any.
    let is_refused = response.extensions_mut().remove::<Refused>().is_some();
    let method = if is_refused || code == Code::Unimplemented { "_OTHER" } else { path };
    guard.metrics.record(method, status, began.elapsed());
    let RequestId(mut header) = id;
    // None comes twice: in HPACK's table, where each would take the place of another, they are of no use.
    header.set_sensitive(true);
    response.headers_mut().insert(REQUEST_ID, header);
    response
}

/// The codes that the semantic conventions count as a server's errors.
const fn is_our_fault(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}

const fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
