//! A partition is ours: its view and header are restored, then the worker is told.

use stream::{Partition, Service, Takeover};

use super::{Driver, restore};
use crate::KafkaFailure;
use crate::port::Clients;

impl<C: Clients, S: Service> Driver<'_, C, S> {
    pub(super) fn take_over(&mut self, partition: Partition) -> Result<(), KafkaFailure> {
        let began = self.clients.monotonic();
        self.raise_bounds()?;
        let stopped = self.stopped;
        self.restorer.wait_until_stable(partition, &|| !stopped())?;
        // Before anything is changed: a log that lost its header begins nothing anew.
        let known = self.group.has_offset(partition)?;
        let had_view = self.store.position(partition)?.is_some_and(|position| position.header_offset >= 0);
        let restored = self.restore(partition, known || had_view)?;
        let (mut log_starts, mut log_ends) = (Vec::new(), Vec::new());
        for input in self.topology.inputs {
            let (start, end) = self.restorer.stable_range(&self.options.cluster.topic(input.dataset), partition)?;
            log_starts.push(start);
            log_ends.push(end);
        }
        self.worker.taken_over(partition, Takeover { header: restored.header, log_starts, log_ends });
        self.report.taken_over(self.topology.service, partition, restored.records, self.clients.elapsed(began));
        self.halted.remove(&partition);
        self.tell_readiness();
        Ok(())
    }

    /// `begun`: the partition has been processed before, so its changelog has a header.
    pub(super) fn restore(&mut self, partition: Partition, begun: bool) -> Result<restore::Restored, KafkaFailure> {
        let stopped = self.stopped;
        let restored = self.restorer.restore::<S>(partition, self.store, &self.schemas, begun, &|| !stopped())?;
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
