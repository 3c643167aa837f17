//! The transaction coordinator's book: who may write under which epoch, and what is open.
//!
//! Wanted properties:
//! - Of all producers that ever initialised a `transactional.id`, only the last one can change anything.
//! - A transaction is ongoing until it is committed, aborted, timed out, or its id is initialised again.
//! - An epoch never overflows: the id then goes on under a new producer id.
//!
//! The markers themselves are written by [`super::Core`], which owns the logs.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::ResponseError;

use super::topics::{Name, TopicPartition};

/// State of a transactional id, in Kafka's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionState {
    /// Initialised, nothing done since.
    Empty,
    /// Open.
    Ongoing,
    /// Committed, but not all markers are written yet.
    PrepareCommit,
    /// Aborted, but not all markers are written yet.
    PrepareAbort,
    /// The last one was committed.
    CompleteCommit,
    /// The last one was aborted.
    CompleteAbort,
}

impl TransactionState {
    /// As `ListTransactions` shows it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Ongoing => "Ongoing",
            Self::PrepareCommit => "PrepareCommit",
            Self::PrepareAbort => "PrepareAbort",
            Self::CompleteCommit => "CompleteCommit",
            Self::CompleteAbort => "CompleteAbort",
        }
    }
}

/// A producer's id and epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerIdentity {
    /// The id.
    pub id: i64,
    /// The epoch: a higher one fences the lower ones.
    pub epoch: i16,
}

/// One transactional id.
#[derive(Clone, Debug)]
pub struct Transaction {
    /// The producer that owns it.
    pub producer: ProducerIdentity,
    /// The epoch before, if the producer itself asked for the present one: its repeated call is answered alike.
    previous_epoch: Option<i16>,
    /// After so long an open transaction is aborted.
    pub timeout_ms: i64,
    /// Where it stands.
    pub state: TransactionState,
    /// Since when, if ongoing.
    pub started_ms: i64,
    /// Partitions written to.
    pub partitions: BTreeSet<TopicPartition>,
    /// Groups that offsets are committed for.
    pub groups: BTreeSet<Name>,
}

/// An ended transaction: markers for these partitions, the fate of these groups' pending offsets. Once they are written,
/// [`Transactions::completed`] is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) id: Name,
    pub(crate) producer: ProducerIdentity,
    pub(crate) commit: bool,
    pub(crate) partitions: BTreeSet<TopicPartition>,
    pub(crate) groups: BTreeSet<Name>,
}

/// All transactional ids.
#[derive(Debug, Default)]
pub(crate) struct Transactions {
    by_id: BTreeMap<Name, Transaction>,
    id_by_producer: BTreeMap<i64, Name>,
}

impl Transactions {
    pub(crate) fn get(&self, id: &str) -> Option<&Transaction> {
        self.by_id.get(id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Name, &Transaction)> {
        self.by_id.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Gives the id to the caller; what is open is aborted under the new epoch.
    pub(crate) fn initialise(
        &mut self,
        id: &str,
        timeout_ms: i64,
        claimed: Option<ProducerIdentity>,
        next_producer_id: impl FnOnce() -> i64,
    ) -> Result<(ProducerIdentity, Option<Ended>), ResponseError> {
        let Some(transaction) = self.by_id.get_mut(id) else {
            let producer = ProducerIdentity { id: next_producer_id(), epoch: 0 };
            self.insert(id, Transaction::new(producer, timeout_ms));
            return Ok((producer, None));
        };
        transaction.check_settled()?;
        if let Some(claimed) = claimed {
            if claimed.id == transaction.producer.id && Some(claimed.epoch) == transaction.previous_epoch {
                return Ok((transaction.producer, None));
            }
            if claimed != transaction.producer {
                return Err(ResponseError::ProducerFenced);
            }
        }
        transaction.timeout_ms = timeout_ms;
        let fenced = transaction.bump_epoch();
        transaction.previous_epoch = claimed.map(|claimed| claimed.epoch);
        let ended = (transaction.state == TransactionState::Ongoing).then(|| transaction.end(id, false, fenced));
        if ended.is_none() {
            transaction.state = TransactionState::Empty;
        }
        if fenced.epoch == i16::MAX {
            let producer = ProducerIdentity { id: next_producer_id(), epoch: 0 };
            transaction.producer = producer;
            transaction.previous_epoch = None;
            self.id_by_producer.remove(&fenced.id);
            self.id_by_producer.insert(producer.id, id.into());
        }
        Ok((self.by_id[id].producer, ended))
    }

    fn insert(&mut self, id: &str, transaction: Transaction) {
        let id: Name = id.into();
        self.id_by_producer.insert(transaction.producer.id, Name::clone(&id));
        self.by_id.insert(id, transaction);
    }

    /// The transactional id's entry, if `producer` owns it now.
    pub(crate) fn owned(&mut self, id: &str, producer: ProducerIdentity) -> Result<&mut Transaction, ResponseError> {
        let found = self.by_id.get_mut(id).ok_or(ResponseError::InvalidProducerIdMapping)?;
        if found.producer.id != producer.id {
            return Err(ResponseError::InvalidProducerIdMapping);
        }
        if found.producer.epoch != producer.epoch {
            return Err(ResponseError::ProducerFenced);
        }
        found.check_settled()?;
        Ok(found)
    }

    /// Are markers of its last transaction still to be written?
    pub(crate) fn is_busy(&self, id: &str) -> bool {
        self.by_id.get(id).is_some_and(|transaction| transaction.check_settled().is_err())
    }

    /// Its new owner has done nothing yet.
    pub(crate) fn start_afresh(&mut self, id: &str) {
        if let Some(transaction) = self.by_id.get_mut(id) {
            transaction.state = TransactionState::Empty;
        }
    }

    /// All markers of an ended transaction are written.
    pub(crate) fn completed(&mut self, id: &str) {
        if let Some(transaction) = self.by_id.get_mut(id) {
            transaction.state = match transaction.state {
                TransactionState::PrepareCommit => TransactionState::CompleteCommit,
                TransactionState::PrepareAbort => TransactionState::CompleteAbort,
                other => other,
            };
        }
    }

    /// A topic is gone: nobody writes to it any more.
    pub(crate) fn forget_topic(&mut self, topic: &str) {
        for transaction in self.by_id.values_mut() {
            transaction.partitions.retain(|at| &*at.topic != topic);
        }
    }

    /// May this producer append a transactional batch to this partition?
    pub(crate) fn check_append(&self, producer: ProducerIdentity, at: &TopicPartition) -> Result<(), ResponseError> {
        let owner = self.id_by_producer.get(&producer.id).and_then(|id| self.by_id.get(id));
        let transaction = owner.ok_or(ResponseError::InvalidProducerIdMapping)?;
        if transaction.producer.epoch != producer.epoch {
            return Err(ResponseError::InvalidProducerEpoch);
        }
        if transaction.state != TransactionState::Ongoing || !transaction.partitions.contains(at) {
            return Err(ResponseError::InvalidTxnState);
        }
        Ok(())
    }

    /// Commits or aborts; a repeated call is answered alike.
    pub(crate) fn end(
        &mut self,
        id: &str,
        producer: ProducerIdentity,
        commit: bool,
    ) -> Result<Option<Ended>, ResponseError> {
        let transaction = self.owned(id, producer)?;
        match (transaction.state, commit) {
            (TransactionState::Ongoing, _) => Ok(Some(transaction.end(id, commit, producer))),
            (TransactionState::CompleteCommit, true) | (TransactionState::CompleteAbort, false) => Ok(None),
            _ => Err(ResponseError::InvalidTxnState),
        }
    }

    /// Aborts what has been open for too long; its producer is fenced.
    pub(crate) fn time_out(&mut self, now_ms: i64) -> Vec<Ended> {
        let overdue = |transaction: &Transaction| {
            transaction.state == TransactionState::Ongoing && now_ms - transaction.started_ms >= transaction.timeout_ms
        };
        let timed_out = self.by_id.iter_mut().filter(|(_, transaction)| overdue(transaction));
        timed_out
            .map(|(id, transaction)| {
                let fenced = transaction.bump_epoch();
                transaction.previous_epoch = None;
                transaction.end(id, false, fenced)
            })
            .collect()
    }

    /// When the next open transaction is overdue.
    pub(crate) fn next_deadline_ms(&self) -> Option<i64> {
        let ongoing = self.by_id.values().filter(|transaction| transaction.state == TransactionState::Ongoing);
        ongoing.map(|transaction| transaction.started_ms + transaction.timeout_ms).min()
    }
}

impl Transaction {
    fn new(producer: ProducerIdentity, timeout_ms: i64) -> Self {
        Self {
            producer,
            previous_epoch: None,
            timeout_ms,
            state: TransactionState::Empty,
            started_ms: 0,
            partitions: BTreeSet::new(),
            groups: BTreeSet::new(),
        }
    }

    /// Fences whoever holds the present epoch. At `i16::MAX` the producer id has served its time.
    fn bump_epoch(&mut self) -> ProducerIdentity {
        self.producer.epoch = self.producer.epoch.saturating_add(1);
        self.producer
    }

    /// Takes part from now on.
    pub(crate) fn join(&mut self, now_ms: i64) {
        if self.state != TransactionState::Ongoing {
            self.state = TransactionState::Ongoing;
            self.started_ms = now_ms;
            self.previous_epoch = None;
        }
    }

    /// While markers are being written nothing else may begin; the client asks again.
    fn check_settled(&self) -> Result<(), ResponseError> {
        match self.state {
            TransactionState::PrepareCommit | TransactionState::PrepareAbort => {
                Err(ResponseError::ConcurrentTransactions)
            }
            _ => Ok(()),
        }
    }

    fn end(&mut self, id: &str, commit: bool, producer: ProducerIdentity) -> Ended {
        self.state = if commit { TransactionState::PrepareCommit } else { TransactionState::PrepareAbort };
        Ended {
            id: id.into(),
            producer,
            commit,
            partitions: std::mem::take(&mut self.partitions),
            groups: std::mem::take(&mut self.groups),
        }
    }
}
