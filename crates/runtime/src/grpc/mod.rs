//! The gRPC server of a process: lookups for other services and for people.
//!
//! Wanted properties:
//! - without the token, or a key that the service knows, nobody gets anything but health, and nothing else that they send is
//!   read; comparing takes the same time whatever was sent. A service with a token of its own answers who has that one, and
//!   that one opens no other;
//! - every call has a deadline until its answer begins, a request id (given or made, and sent back) and a span; every message
//!   a largest size;
//! - connections and calls are bounded; calls above the bound are refused at once, not queued;
//! - health follows readiness; reflection (v1 and v1alpha) shows the whole contract;
//! - with a certificate nobody is answered but over TLS, and where clients are asked for theirs nobody without one; both are
//!   replaced without a restart, and the connections that are open stay;
//! - when it is asked to end, no call is accepted any more, and those in flight end; those that wait for something hear of it by the
//!   [`StopToken`] among their extensions, and answer with what there is.

mod call;
mod connections;
mod health;
mod preface;
mod threads;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use certificates::Tls;
use http::{HeaderMap, Request, Response};
use proto::DeadlineLayer;
use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::service::{Routes, RoutesBuilder};
use tower::layer::layer_fn;
use tower::{Service, ServiceBuilder};

pub use call::RequestId;

use crate::config::{GrpcOptions, Secret};
use crate::host::StopToken;
use crate::readiness::Readiness;
use call::{Admission, Guard, Observed, OwnToken};

/// A gRPC server, to which services are added before it serves.
pub struct GrpcServer {
    options: GrpcOptions,
    readiness: Readiness,
    routes: RoutesBuilder,
    health: health::Health,
    admission: Option<Admission>,
    own: Vec<OwnToken>,
}

impl GrpcServer {
    /// A server with health and reflection, and no service yet.
    pub fn new(options: &GrpcOptions, readiness: Readiness) -> Self {
        let mut routes = Routes::builder();
        let (health, service) = health::Health::new();
        routes.add_service(service);
        Self { options: options.clone(), readiness, routes, health, admission: None, own: Vec::new() }
    }

    /// Lets in whoever the service knows by the metadata of the call, instead of whoever has the token.
    #[must_use]
    pub fn admitting(mut self, knows: impl Fn(&HeaderMap) -> bool + Send + Sync + 'static) -> Self {
        self.admission = Some(Admission::Known(Box::new(knows)));
        self
    }

    /// Adds a service. `build` is given the largest message that is taken or given, in bytes:
    /// `|limit| JourneysServiceServer::new(lookups).max_decoding_message_size(limit).max_encoding_message_size(limit)`.
    #[must_use]
    pub fn service<S>(mut self, build: impl FnOnce(usize) -> S) -> Self
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        self.health.add(S::NAME);
        self.routes.add_service(build(self.options.max_message_bytes.as_usize()));
        self
    }

    /// The same for a service that whoever has this token may call, and nobody else: not whom the server lets in to the others.
    #[must_use]
    pub fn service_under<S>(mut self, token: &Secret, build: impl FnOnce(usize) -> S) -> Self
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        self.own.push(OwnToken::new(S::NAME, token));
        self.service(build)
    }

    /// Serves on a bound port until it is asked to stop and the calls in flight have ended.
    pub async fn serve(mut self, listener: TcpListener, stop: StopToken) -> anyhow::Result<()> {
        let address: SocketAddr = listener.local_addr()?;
        let tls = self.options.tls.load().context("grpc")?.map(Arc::new);
        self.add_reflection()?;
        let deadline = DeadlineLayer::new(self.options.default_deadline.as_std(), self.options.max_deadline.as_std());
        let guard = Arc::new(Guard::new(&self.options, self.admission, self.own, stop.clone()));
        // One layer of the router: each would box every call once more.
        let observed = layer_fn(move |calls| Observed { guard: Arc::clone(&guard), calls });
        let layers = ServiceBuilder::new().layer(observed).layer(deadline);
        let router: Router = self.routes.routes().into_axum_router().layer(layers);
        tracing::info!(%address, tls = tls.is_some(), "gRPC is served");
        let health = self.health.follow(self.readiness);
        let reload = reload(tls.clone(), self.options.tls.reload_interval.as_std());
        tokio::select! {
            () = health => anyhow::bail!("the health service has ended"),
            () = reload => anyhow::bail!("the certificates are not looked at any more"),
            served = connections::serve(listener, router, tls, self.options.max_connections, stop) => served,
        }
    }

    fn add_reflection(&mut self) -> anyhow::Result<()> {
        let configure = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        self.routes.add_service(configure().build_v1()?);
        self.routes.add_service(configure().build_v1alpha()?);
        Ok(())
    }
}

/// Looks at the certificates again and again; never ends by itself.
async fn reload(tls: Option<Arc<Tls>>, every: Duration) {
    let Some(tls) = tls else { return std::future::pending().await };
    loop {
        tokio::time::sleep(every).await;
        let looking = Arc::clone(&tls);
        match tokio::task::spawn_blocking(move || looking.reload()).await {
            Ok(Ok(false)) => {}
            Ok(Ok(true)) => tracing::info!("the certificates of gRPC have changed"),
            Ok(Err(problem)) => {
                tracing::warn!(problem = %format!("grpc.{problem}"), "the certificates stay as they were");
            }
            Err(error) => tracing::warn!(%error, "the certificates could not be looked at"),
        }
    }
}
