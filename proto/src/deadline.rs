//! A deadline for every call of a server, and its own code when it passes.
//!
//! Wanted properties:
//! - a call without a `grpc-timeout` gets the default; one that asks for more than the maximum gets the maximum;
//! - when it passes, the caller reads `DEADLINE_EXCEEDED`;
//! - a handler can see how much time it has left ([`Deadline`] in the request's extensions).
//!
//! It covers the time until the response begins, which is all of it for unary calls; streams have limits of their own.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderMap, Request, Response};
use tokio::time::Instant;
use tonic::Status;
use tower::{Layer, Service};

use crate::Refusal;

const GRPC_TIMEOUT: &str = "grpc-timeout";

/// When a call has to be answered; in the extensions of every request that passed a [`DeadlineLayer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline(Instant);

impl Deadline {
    /// What is left of it; zero once it has passed.
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }
}

/// Puts a deadline on every call of a server's routes.
#[derive(Clone, Copy, Debug)]
pub struct DeadlineLayer {
    default: Duration,
    maximum: Duration,
}

impl DeadlineLayer {
    /// `default` is for calls that name none; none gets more than `maximum`.
    pub fn new(default: Duration, maximum: Duration) -> Self {
        Self { default: default.min(maximum), maximum }
    }
}

impl<S> Layer<S> for DeadlineLayer {
    type Service = DeadlineService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        DeadlineService { inner, layer: *self }
    }
}

/// A service whose calls have deadlines.
#[derive(Clone, Debug)]
pub struct DeadlineService<S> {
    inner: S,
    layer: DeadlineLayer,
}

impl<S, In, Out> Service<Request<In>> for DeadlineService<S>
where
    S: Service<Request<In>, Response = Response<Out>>,
    S::Future: Send + 'static,
    Out: Default,
{
    type Response = Response<Out>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Out>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<In>) -> Self::Future {
        let allowed = asked_for(request.headers()).unwrap_or(self.layer.default).min(self.layer.maximum);
        request.extensions_mut().insert(Deadline(Instant::now() + allowed));
        let call = tokio::time::timeout(allowed, self.inner.call(request));
        Box::pin(async { call.await.unwrap_or_else(|_| Ok(Status::from(Refusal::DeadlineExceeded).into_http())) })
    }
}

/// Reads `grpc-timeout`: at most eight digits and a unit. What can't be read counts as absent, as in other servers.
fn asked_for(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(GRPC_TIMEOUT)?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(amount * 3600)),
        "M" => Some(Duration::from_secs(amount * 60)),
        "S" => Some(Duration::from_secs(amount)),
        "m" => Some(Duration::from_millis(amount)),
        "u" => Some(Duration::from_micros(amount)),
        "n" => Some(Duration::from_nanos(amount)),
        _ => None,
    }
}
