//! A partition is ours: its view and header are restored, then the worker is told.

use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::{Offset, TopicPartitionList};
use stream::{Partition, Service, Takeover};

use super::{Driver, restore};
use crate::KafkaFailure;

impl<S: Service> Driver<'_, S> {
    pub(super) fn take_over(&mut self, partition: Partition) -> Result<(), KafkaFailure> {
        let began = Instant::now();
        self.raise_bounds()?;
        let known = self.has_committed_offset(partition);
        let had_view = self.store.position(partition)?.is_some_and(|position| position.header_offset >= 0);
        let restored = self.restore(partition)?;
        if restored.header.is_none() && (known || had_view) {
            return Err(KafkaFailure::Installation(format!(
                "{} partition {partition} has {} but its changelog {} has no header: it was deleted, or the prefix is \
                 another installation's; restore the topic, or begin anew under another prefix",
                self.topology.service,
                if known { "committed offsets" } else { "a view in the store" },
                self.options.cluster.topic(self.topology.changelog),
            )));
        }
        let (mut log_starts, mut log_ends) = (Vec::new(), Vec::new());
        for input in self.topology.inputs {
            let (start, end) = self.restorer.stable_range(&self.options.cluster.topic(input.dataset), partition)?;
            log_starts.push(start);
            log_ends.push(end);
        }
        self.worker.taken_over(partition, Takeover { header: restored.header, log_starts, log_ends });
        self.report.taken_over(self.topology.service, partition, restored.records, began.elapsed());
        self.report.ready(true, "");
        Ok(())
    }

    /// Asks for the group's stable offset; whether there is one.
    fn has_committed_offset(&self, partition: Partition) -> bool {
        let topic = self.options.cluster.topic(self.topology.primary().dataset);
        let mut list = TopicPartitionList::new();
        list.add_partition(&topic, partition);
        // While a dead worker's transaction is open this fails in passing; the changelog then says whose it is.
        match self.group.committed_offsets(list, Duration::from_millis(500)) {
            Ok(list) => list.elements().iter().any(|element| matches!(element.offset(), Offset::Offset(_))),
            Err(error) => {
                tracing::debug!(%error, partition, "the group's offsets are not stable yet");
                false
            }
        }
    }

    pub(super) fn restore(&mut self, partition: Partition) -> Result<restore::Restored, KafkaFailure> {
        let stopped = self.stopped;
        let restored = self.restorer.restore::<S>(partition, self.store, &self.schemas, &|| !stopped())?;
        self.positions.insert(partition, restored.position.clone());
        Ok(restored)
    }

    /// What others wrote to our outputs before a takeover lies below their ends as of now.
    fn raise_bounds(&mut self) -> Result<(), KafkaFailure> {
        if self.topology.marks.is_none() || !self.bounds_are_old {
            return Ok(());
        }
        for dataset in self.topology.outputs {
            let topic = self.options.cluster.topic(dataset);
            for partition in 0..self.options.cluster.partitions {
                let end = self.restorer.end(&topic, partition)?;
                self.transactions.raise_bound(dataset, partition, end);
            }
        }
        self.bounds_are_old = false;
        Ok(())
    }
}
