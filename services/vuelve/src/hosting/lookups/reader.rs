//! Reads states: by the desk, and off the async threads where something has to be waited for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ingestion::partition_of;
use proto::{Extensions, Refusal};
use schemas::{DecodeError, Schemas};
use store::{Looked, Lookups};
use stream::Partition;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::at_least::{AtLeast, Patience, Progress};
use super::desk::{Desk, Wanted};
use super::failure::Failure;
use super::{RETRY, place};
use crate::hosting::Installation;

/// How often a view is looked at that is not new enough: soon, as it may be about to be, and then less often.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

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
            let mut looked =
                this.lookups.get_all(&[(this.partition(&customer_id), &customer_id)]).map_err(Failure::Lookup)?;
            this.decode(looked.pop().as_ref(), read)
        })
        .await
    }

    /// What `work` makes of the views, off the async threads.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        call: &Extensions,
        work: impl FnOnce(&Self) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Refusal> {
        let place = self.place()?;
        let this = self.clone();
        let work = move || {
            let _place = place;
            work(&this)
        };
        let result = tokio::task::spawn_blocking(work).await;
        result.unwrap_or_else(|error| Err(Failure::Other(error.into()))).map_err(|failure| failure.refusal(call))
    }

    /// The place that a lookup keeps.
    fn place(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        place(&self.places).ok_or(Refusal::Exhausted { limit: "grpc.max_concurrent_calls", retry_after: RETRY })
    }

    /// Whether a state was written by a schema that is not known here yet: the registry is asked for it.
    fn is_new(&self, looked: &Looked) -> bool {
        looked.value.as_deref().is_some_and(|value| self.installation.schemas.missing(value).is_some())
    }

    pub(super) fn partition(&self, customer_id: &str) -> Partition {
        partition_of(customer_id.as_bytes(), self.installation.cluster.partitions)
    }

    fn decode<T>(
        &self,
        looked: Option<&Looked>,
        read: impl FnOnce(&Schemas, Option<&[u8]>) -> Result<T, DecodeError>,
    ) -> Result<T, Failure> {
        let value = looked.and_then(|looked| looked.value.as_deref());
        if let Some(value) = value {
            self.installation.learn(value).map_err(Failure::Registry)?;
        }
        read(&self.installation.schemas, value).map_err(|error| Failure::Other(error.into()))
    }
}

/// What was made of customers' states, as of when.
#[derive(Debug)]
pub(super) struct Read<T> {
    /// In the order of the customers.
    pub(super) made: Vec<T>,
    /// By partition, the offset of the last header that all that was read of it includes.
    pub(super) as_of: BTreeMap<Partition, i64>,
}

/// Reads states that are at least as new as their callers ask for.
#[derive(Clone)]
pub(super) struct FreshReader {
    pub(super) reader: Reader,
    pub(super) desk: Arc<Desk>,
    pub(super) progress: Arc<Progress>,
}

impl FreshReader {
    /// What `read` makes of each customer's state, in their order. Where the view is not new enough it is looked at again,
    /// until a little before the call's deadline.
    pub(super) async fn several<T: Send + 'static>(
        &self,
        customer_ids: impl IntoIterator<Item = String>,
        at_least: AtLeast,
        call: &Extensions,
        read: impl Fn(&str, &Schemas, Option<&[u8]>) -> Result<T, DecodeError> + Send + Sync + 'static,
    ) -> Result<Read<T>, Refusal> {
        let patience = Patience::of(call);
        let wanted: Wanted = customer_ids.into_iter().map(|id| (self.reader.partition(&id), id)).collect();
        let asked = Arc::new((wanted, at_least, read));
        let mut pause = FIRST_PAUSE;
        loop {
            let looked = self.look(Arc::clone(&asked.0), call).await?;
            let waits = asked.1.asks_the_log() || looked.iter().any(|looked| self.reader.is_new(looked));
            let (asked, progress) = (Arc::clone(&asked), Arc::clone(&self.progress));
            let make = move |reader: &Reader| {
                let (wanted, at_least, read) = &*asked;
                let placed: Vec<(Partition, &Looked)> =
                    wanted.iter().map(|(partition, _)| *partition).zip(&looked).collect();
                if let Some(behind) = progress.behind(at_least, &placed)? {
                    return Ok(Err(behind));
                }
                let mut as_of = BTreeMap::new();
                for (partition, looked) in placed {
                    let offset = looked.position.header_offset;
                    as_of.entry(partition).and_modify(|least: &mut i64| *least = offset.min(*least)).or_insert(offset);
                }
                let decode = |(looked, (_, id)): (&Looked, &(Partition, String))| {
                    reader.decode(Some(looked), |schemas, value| read(id, schemas, value))
                };
                let made = looked.iter().zip(wanted.iter()).map(decode).collect::<Result<_, _>>()?;
                Ok(Ok(Read { made, as_of }))
            };
            let made = if waits {
                self.reader.blocking(call, make).await?
            } else {
                make(&self.reader).map_err(|failure| failure.refusal(call))?
            };
            let behind = match made {
                Ok(read) => return Ok(read),
                Err(behind) => behind,
            };
            let left = patience.to_wait();
            if left.is_zero() {
                return Err(behind.refusal());
            }
            tokio::time::sleep(pause.min(left)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// What the store holds.
    async fn look(&self, wanted: Wanted, call: &Extensions) -> Result<Vec<Looked>, Refusal> {
        let place = self.reader.place()?;
        let looked = match self.desk.read(wanted, place).await {
            Some(looked) => looked.map_err(Failure::Lookup),
            None => Err(Failure::Other(anyhow::anyhow!("whoever read states has panicked"))),
        };
        looked.map_err(|failure| failure.refusal(call))
    }
}
