//! Rebalances, taken out of the client's callback: the loop answers them when it has finished what it holds.
//!
//! Wanted properties: a partition is given back only after its last batch was committed or taken back; while the
//! consumer is being closed, nobody is left to answer, so the callback does.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};

use rdkafka::ClientContext;
use rdkafka::TopicPartitionList;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::types::RDKafkaRespErr;
use stream::Partition;

use crate::clients::log;

/// What the group decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rebalance {
    Assigned(Vec<Partition>),
    Revoked { partitions: Vec<Partition>, lost: bool },
}

#[derive(Debug, Default)]
pub(super) struct GroupContext {
    waiting: Mutex<VecDeque<Rebalance>>,
    closing: AtomicBool,
}

impl GroupContext {
    pub(super) fn next(&self) -> Option<Rebalance> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
    }
}

impl ClientContext for GroupContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka client error");
    }
}

impl ConsumerContext for GroupContext {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, error: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let assigned = error == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if self.closing.load(Ordering::SeqCst) {
            if !assigned && let Err(error) = consumer.incremental_unassign(&TopicPartitionList::new()) {
                tracing::debug!(%error, "giving partitions back while closing");
            }
            return;
        }
        let elements = list.elements();
        let partitions = elements.iter().map(TopicPartitionListElem::partition).collect();
        let event = if assigned {
            Rebalance::Assigned(partitions)
        } else {
            Rebalance::Revoked { partitions, lost: consumer.assignment_lost() }
        };
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push_back(event);
    }
}
