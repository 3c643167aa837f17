//! A core with topics, and a producer that counts its sequence numbers.

use std::collections::BTreeMap;

use devbroker::core::log::{Appended, Isolation};
use devbroker::core::records::{self, BatchBuilder, ProducerStamp, Record};
use devbroker::core::topics::TopicPartition;
use devbroker::core::transactions::ProducerIdentity;
use devbroker::core::{Core, CoreConfig, ErrorCode, FetchWish};

pub(crate) const EVERYTHING: usize = 1 << 30;

pub(crate) fn core() -> Core {
    with_topic(CoreConfig::default(), &[])
}

/// A core with topic `t` of two partitions.
pub(crate) fn with_topic(config: CoreConfig, settings: &[(&str, &str)]) -> Core {
    let mut core = Core::new(config);
    let overrides: BTreeMap<String, String> =
        settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    core.create_topic("t", Some(2), overrides, false).unwrap();
    core
}

pub(crate) fn at(partition: i32) -> TopicPartition {
    TopicPartition::new("t", partition)
}

/// Appends one record with this value, from no producer in particular.
pub(crate) fn put(core: &mut Core, key: &str, value: Option<&str>, now_ms: i64) -> Appended {
    let batch = BatchBuilder::new().record(Some(key.as_bytes()), value.map(str::as_bytes), now_ms).build(None);
    core.produce(&at(0), &batch, now_ms).unwrap()
}

/// The records from an offset to the end, as a client makes them out of what it fetches: aborted ones dropped.
pub(crate) fn read(core: &Core, from: &TopicPartition, offset: i64, isolation: Isolation) -> Vec<Record> {
    let wish = FetchWish { at: from.clone(), offset, max_bytes: EVERYTHING };
    let fetched = core.fetch(&[wish], EVERYTHING, isolation).remove(0).unwrap();
    let mut aborted = fetched.aborted.unwrap_or_default();
    aborted.sort_by_key(|aborted| aborted.first_offset);
    let mut hidden: Vec<i64> = Vec::new();
    let mut seen = Vec::new();
    for bytes in &fetched.batches {
        let header = devbroker::core::batch::read_header(bytes).unwrap();
        while let Some(next) = aborted.first().filter(|aborted| aborted.first_offset <= header.base_offset) {
            hidden.push(next.producer_id);
            aborted.remove(0);
        }
        if header.is_control() {
            let marker = records::read(&header, bytes).unwrap();
            if marker[0].key.as_ref().unwrap()[3] == 0 {
                hidden.retain(|producer| *producer != header.producer_id);
            }
        } else if !(header.is_transactional() && hidden.contains(&header.producer_id)) {
            let fetched = records::read(&header, bytes).unwrap();
            seen.extend(fetched.into_iter().filter(|record| record.offset >= offset));
        }
    }
    seen
}

pub(crate) fn values(records: &[Record]) -> Vec<String> {
    let value = |record: &Record| record.value.as_ref().map(|value| String::from_utf8(value.to_vec()).unwrap());
    records.iter().map(|record| value(record).unwrap_or_else(|| "-".to_owned())).collect()
}

pub(crate) fn committed(core: &Core, partition: i32) -> Vec<String> {
    values(&read(core, &at(partition), core.log(&at(partition)).unwrap().log_start_offset(), Isolation::ReadCommitted))
}

/// An idempotent or transactional producer.
#[derive(Clone, Debug)]
pub(crate) struct Producer {
    pub(crate) transactional_id: Option<String>,
    pub(crate) identity: ProducerIdentity,
    pub(crate) sequences: BTreeMap<TopicPartition, i32>,
}

impl Producer {
    pub(crate) fn idempotent(core: &mut Core) -> Self {
        let identity = core.init_producer_id(None, 0, None, 0).unwrap();
        Self { transactional_id: None, identity, sequences: BTreeMap::new() }
    }

    pub(crate) fn transactional(core: &mut Core, id: &str, now_ms: i64) -> Self {
        let identity = core.init_producer_id(Some(id), 10_000, None, now_ms).unwrap();
        Self { transactional_id: Some(id.to_owned()), identity, sequences: BTreeMap::new() }
    }

    fn stamp(&self, to: &TopicPartition) -> ProducerStamp {
        ProducerStamp {
            id: self.identity.id,
            epoch: self.identity.epoch,
            sequence: self.sequences.get(to).copied().unwrap_or(0),
            transactional: self.transactional_id.is_some(),
        }
    }

    pub(crate) fn send(
        &mut self,
        core: &mut Core,
        partition: i32,
        value: &str,
        now_ms: i64,
    ) -> Result<Appended, ErrorCode> {
        let to = at(partition);
        if let Some(id) = &self.transactional_id {
            core.add_partitions_to_transaction(id, self.identity, std::slice::from_ref(&to), now_ms).remove(0)?;
        }
        self.send_bare(core, &to, value, now_ms)
    }

    /// Without adding the partition to the transaction first.
    pub(crate) fn send_bare(
        &mut self,
        core: &mut Core,
        to: &TopicPartition,
        value: &str,
        now_ms: i64,
    ) -> Result<Appended, ErrorCode> {
        let batch = BatchBuilder::new().record(Some(b"k"), Some(value.as_bytes()), now_ms).build(Some(self.stamp(to)));
        let appended = core.produce(to, &batch, now_ms).map_err(|refusal| refusal.code)?;
        let sequence = self.sequences.entry(to.clone()).or_default();
        *sequence = sequence.checked_add(1).unwrap_or(0);
        Ok(appended)
    }

    pub(crate) fn end(&self, core: &mut Core, commit: bool, now_ms: i64) -> Result<(), ErrorCode> {
        core.end_transaction(self.transactional_id.as_deref().unwrap(), self.identity, commit, now_ms)
    }
}
