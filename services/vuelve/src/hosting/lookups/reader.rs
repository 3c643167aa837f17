//! Reads states off the async threads.

use std::sync::Arc;

use ingestion::partition_of;
use proto::{Extensions, Refusal};
use schemas::{DecodeError, Schemas};
use store::{Lookups, Stored};
use stream::Partition;
use tokio::sync::Semaphore;

use super::failure::Failure;
use super::{RETRY, place};
use crate::hosting::Installation;

/// Reads one service's states.
#[derive(Clone)]
pub(super) struct Reader {
    pub(super) lookups: Arc<dyn Lookups>,
    pub(super) installation: Installation,
    /// A lookup goes on where its caller has gone away, and keeps its place; all services' lookups share them.
    pub(super) places: Arc<Semaphore>,
}

impl Reader {
    /// What `read` makes of a customer's state.
    pub(super) async fn one<T: Send + 'static>(
        &self,
        customer_id: &str,
        call: &Extensions,
        read: impl FnOnce(&Schemas, Option<&[u8]>) -> Result<T, DecodeError> + Send + 'static,
    ) -> Result<T, Refusal> {
        let customer_id = customer_id.to_owned();
        self.blocking(call, move |this| {
            let found = this.lookups.get(this.partition(&customer_id), &customer_id).map_err(Failure::Lookup)?;
            this.decode(found.as_ref(), read)
        })
        .await
    }

    /// What `read` makes of each customer's state, in their order.
    pub(super) async fn several<T: Send + 'static>(
        &self,
        customer_ids: Vec<String>,
        call: &Extensions,
        read: impl Fn(&str, &Schemas, Option<&[u8]>) -> Result<T, DecodeError> + Send + 'static,
    ) -> Result<Vec<T>, Refusal> {
        self.blocking(call, move |this| {
            let wanted: Vec<(Partition, &str)> =
                customer_ids.iter().map(|customer_id| (this.partition(customer_id), customer_id.as_str())).collect();
            let found = this.lookups.get_all(&wanted).map_err(Failure::Lookup)?;
            let decode = |(found, (_, customer_id)): (&Option<Stored>, &(_, &str))| {
                this.decode(found.as_ref(), |schemas, value| read(customer_id, schemas, value))
            };
            found.iter().zip(&wanted).map(decode).collect()
        })
        .await
    }

    /// What `work` makes of the views, off the async threads.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        call: &Extensions,
        work: impl FnOnce(&Self) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Refusal> {
        let place =
            place(&self.places).ok_or(Refusal::Exhausted { limit: "grpc.max_concurrent_calls", retry_after: RETRY })?;
        let this = self.clone();
        let work = move || {
            let _place = place;
            work(&this)
        };
        let result = tokio::task::spawn_blocking(work).await;
        result.unwrap_or_else(|error| Err(Failure::Other(error.into()))).map_err(|failure| failure.refusal(call))
    }

    fn partition(&self, customer_id: &str) -> Partition {
        partition_of(customer_id.as_bytes(), self.installation.cluster.partitions)
    }

    fn decode<T>(
        &self,
        found: Option<&Stored>,
        read: impl FnOnce(&Schemas, Option<&[u8]>) -> Result<T, DecodeError>,
    ) -> Result<T, Failure> {
        let value = found.map(|(_, value)| value.as_ref());
        if let Some(value) = value {
            self.installation.learn(value).map_err(Failure::Registry)?;
        }
        read(&self.installation.schemas, value).map_err(|error| Failure::Other(error.into()))
    }
}
