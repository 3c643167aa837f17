//! Reads for lookups over gRPC: states of customers, and who is under a label, from the view that the workers keep.
//!
//! Wanted properties:
//! - all that is asked for at once is answered, or nothing is;
//! - an answer says what it stands for: its [`StorePosition`];
//! - who stays under a label while its members are listed page by page is in one page, also where others come and go, or the
//!   view is built anew: keys are listed in the order of their bytes;
//! - a view that is behind what was acknowledged to this process (an older copy was put back, a batch is half written)
//!   answers nothing: an error, never an old state as if it were the latest.

use std::collections::HashMap;
use std::fmt::Debug;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;
use stream::{Key, Label, Partition, StoreError, StorePosition};

/// What the view of a key's partition stands for, and the key's framed changelog value.
pub type Stored = (StorePosition, Bytes);

/// What is under a key that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Looked {
    /// What the view of its partition stood for: also where there is nothing under the key, which is an answer as of then, too.
    pub position: Arc<StorePosition>,
    /// The key's framed changelog value; none where it has no state.
    pub value: Option<Bytes>,
}

/// Who is under a label in a partition?
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MembersQuery {
    /// The label.
    pub label: Label,
    /// Those whose keys come after this one, in the order of their bytes; none for all.
    pub after: Option<Key>,
    /// At most so many; 0 where only their number is wanted.
    pub limit: usize,
}

/// The answer to a [`MembersQuery`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Members {
    /// What the view stood for when it answered.
    pub position: StorePosition,
    /// How many there are under the label in all.
    pub count: u64,
    /// Their keys, in the order of their bytes.
    pub keys: Vec<Key>,
}

/// Reads of states, shared by all lookups of a service. Calls block: an async caller wraps them in its runtime's
/// `spawn_blocking`.
pub trait Lookups: Debug + Send + Sync {
    /// What is stored under each of these keys, in their order. At once, where the store can.
    /// States of one partition may be of different moments where a batch was applied in between.
    fn get_all(&self, wanted: &[(Partition, &str)]) -> Result<Vec<Looked>, LookupError>;

    /// What is stored under one key; none where it has no state.
    fn get(&self, partition: Partition, key: &str) -> Result<Option<Stored>, LookupError> {
        let looked = self.get_all(&[(partition, key)])?.pop();
        Ok(looked.and_then(|Looked { position, value }| Some((Arc::unwrap_or_clone(position), value?))))
    }

    /// Who is under labels, in the order of the questions. At once, where the store can; each answer is of one moment.
    fn members(&self, asked: &[(Partition, MembersQuery)]) -> Result<Vec<Members>, LookupError>;

    /// Reads of states from an async thread; none where the store has no such.
    fn glance(&self) -> Option<Box<dyn Glance>> {
        None
    }
}

/// Reads of states that block nobody, over a connection of their own: for an async thread with many
/// lookups at once. To be used in the runtime in which it is used first.
pub trait Glance: Send {
    /// Like [`Lookups::get_all`]; but none for a state that can't be told at a glance: it is for [`Lookups::get_all`] to say what
    /// is with it.
    fn get_all<'a>(
        &'a mut self,
        wanted: &'a [(Partition, &'a str)],
    ) -> Pin<Box<dyn Future<Output = Vec<Option<Looked>>> + Send + 'a>>;
}

/// Why a lookup has no answer.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// No view that may be read: it is being built, or stands behind what was acknowledged. Its owner heals it: try again.
    #[error("the state of partition {0} is being restored: try again")]
    Restoring(Partition),
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How far the store has acknowledged this process's writes, by partition. Clones share it: the store notes, lookups compare.
#[derive(Clone, Debug, Default)]
pub struct Acknowledged(Arc<RwLock<HashMap<Partition, StorePosition>>>);

impl Acknowledged {
    /// Notes that the view stands at `position`.
    pub fn note(&self, partition: Partition, position: StorePosition) {
        self.0.write().insert(partition, position);
    }

    /// Forgets a partition that this process no longer owns.
    pub fn forget(&self, partition: Partition) {
        self.0.write().remove(&partition);
    }

    /// What was acknowledged last; none for a partition that this process does not own.
    pub fn of(&self, partition: Partition) -> Option<StorePosition> {
        self.0.read().get(&partition).cloned()
    }

    /// The same of several, in their order.
    pub(crate) fn all_of(&self, partitions: impl Iterator<Item = Partition>) -> Vec<Option<StorePosition>> {
        let known = self.0.read();
        partitions.map(|partition| known.get(&partition).cloned()).collect()
    }
}

/// Whether a view at `position` is behind, or of another log than, what was acknowledged before it was read.
pub(crate) fn is_behind(position: &StorePosition, acknowledged: Option<&StorePosition>) -> bool {
    acknowledged.is_some_and(|known| known.log != position.log || known.header_offset > position.header_offset)
}
