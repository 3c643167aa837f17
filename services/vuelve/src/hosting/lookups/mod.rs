//! Lookups over gRPC: those of every service that this process runs, at one address; and erasing, under a token of its own.
//!
//! Wanted properties:
//! - an answer is one state of each customer, read from the view that the workers keep; nothing changes by asking;
//! - it is at least as new as its caller asks for, or there is none;
//! - no more lookups wait for the store at once than calls are taken, also where their callers have gone away.

mod at_least;
mod boundaries;
mod desk;
mod failure;
mod journeys;
mod journeys_words;
mod members;
mod privacy;
mod privacy_words;
mod reader;
mod segmentation;
mod segmentation_words;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use proto::Refusal;
use runtime::config::{Config, GrpcOptions, KafkaOptions};
use runtime::grpc::GrpcServer;
use runtime::host::Host;
use store::Lookups;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Installation, Sections};
use at_least::Progress;
use boundaries::InForce;
use desk::Desk;
use reader::{FreshReader, Reader};

/// As long as a key may be.
const MAX_ID_BYTES: usize = 1024;
/// After so long a state that is being restored, or a search that is under way, may be done.
const RETRY: Duration = Duration::from_millis(500);

/// What lookups read: the views of the services that this process runs.
#[derive(Clone, Debug, Default)]
pub struct Views {
    /// Segmentation's.
    pub segmentation: Option<Arc<dyn Lookups>>,
    /// Journeys'.
    pub journeys: Option<Arc<dyn Lookups>>,
}

/// Serves the lookups of all services whose views are given; returns the address at which it listens, if there are any.
pub async fn add_lookups(
    host: &mut Host,
    config: &Config,
    installation: &Installation,
    views: Views,
) -> anyhow::Result<Option<SocketAddr>> {
    let Views { segmentation, journeys } = views;
    if segmentation.is_none() && journeys.is_none() {
        return Ok(None);
    }
    let options: &GrpcOptions = config.get();
    let listener = runtime::admin::bind("grpc.listen", options.listen).await?;
    let address = listener.local_addr()?;
    let places = Arc::new(Semaphore::new(options.max_concurrent_calls as usize));
    let reader = |lookups| Reader { lookups, installation: installation.clone(), places: Arc::clone(&places) };
    let mut server = GrpcServer::new(options, host.readiness().clone());
    let timeout = config.get::<KafkaOptions>().request_timeout.as_std();
    if let Some(lookups) = segmentation {
        let boundaries = InForce::follow(host, installation, timeout).await?;
        let progress = Arc::new(Progress::new(installation, timeout));
        let desk = Arc::new(Desk::new(Arc::clone(&lookups)));
        let reader = FreshReader { reader: reader(lookups), desk, progress };
        let answers = segmentation::Answers::new(reader, boundaries, installation.replay);
        server = server.service(|limit| proto::segmentation_server(answers, limit));
        // A replay's customers are nobody's.
        if let Some(token) = options.privacy_token.as_ref().filter(|_| !installation.replay) {
            let secret = Sections::address_secret(config)?;
            let answers = privacy::Answers::new(installation, secret, Arc::clone(&places), timeout)?;
            server = server.service_under(token, |limit| proto::privacy_server(answers, limit));
        }
    }
    if let Some(lookups) = journeys {
        let answers = journeys::Answers::new(reader(lookups), timeout);
        server = server.service(|limit| proto::journeys_server(answers, limit));
    }
    host.door("gRPC", move |stop| server.serve(listener, stop));
    Ok(Some(address))
}

fn place(places: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    Arc::clone(places).try_acquire_owned().ok()
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
