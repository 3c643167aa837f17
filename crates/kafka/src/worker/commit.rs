//! What the worker decided, done: states are loaded, batches committed, and the store follows.

use std::collections::HashMap;

use stream::{Advance, Applied, Batch, HaltReason, LoadRequest, Loaded, Partition, Service, StoreError};

use super::hear::learn;
use super::transaction::Outcome;
use super::{BACKOFF, Driver, retry};
use crate::KafkaFailure;
use crate::port::{ClientError, Clients, ErrorKind};

impl<C: Clients, S: Service> Driver<'_, C, S> {
    pub(super) fn load(&mut self, requests: &[(Partition, LoadRequest)]) -> Result<Vec<Loaded>, KafkaFailure> {
        let mut answers = Vec::with_capacity(requests.len());
        for ((partition, request), mut answer) in requests.iter().zip(self.store.load_all(requests)?) {
            let mut healed = 0;
            let loaded = loop {
                let expected = self.positions.get(partition).cloned();
                match answer {
                    Some(loaded) if Some(&loaded.position) == expected.as_ref() => break loaded,
                    found => {
                        let found = found.map(|loaded| loaded.position);
                        tracing::warn!(partition, ?expected, ?found, "the store is not where it should be: healing");
                        self.heal(*partition, &mut healed)?;
                        answer = self.store.load(*partition, request)?;
                    }
                }
            };
            let due = loaded.due.iter().filter_map(|(_, _, value)| value.as_ref());
            // Another version may have written them.
            for value in loaded.states.iter().flatten().chain(due) {
                learn(&self.schemas, self.options.registry.as_ref(), value)?;
            }
            answers.push(loaded);
        }
        Ok(answers)
    }

    fn heal(&mut self, partition: Partition, tries: &mut u32) -> Result<(), KafkaFailure> {
        *tries += 1;
        if *tries > 5 {
            return Err(KafkaFailure::Store(StoreError::Unavailable(format!(
                "the view of partition {partition} keeps changing under its owner"
            ))));
        }
        let begun = self.positions.get(&partition).is_some_and(|position| position.header_offset >= 0);
        self.restore(partition, begun).map(drop)
    }

    pub(super) fn commit(&mut self, batch: &Batch<S>) -> Result<(), KafkaFailure> {
        let Some(group) = self.group.metadata() else {
            self.worker.aborted();
            return Ok(());
        };
        let began = self.clients.monotonic();
        self.claimed_at = self.clients.boot_time();
        let (mut ears, transactions, restorer) = self.apart();
        let mut end = |topic: &str, partition| restorer.end(topic, partition).map_err(|failure| not_marked(&failure));
        let outcome = transactions.commit(batch, &group, &mut ears, &mut end);
        let said = ears.said;
        if self.clients.elapsed(began) > self.options.cluster.session_timeout / 2 {
            self.disturbed_at = Some(self.clients.monotonic());
        }
        match outcome {
            Outcome::Committed(headers) => {
                self.store_changes(batch, &headers)?;
                self.worker.committed();
                self.spans.dead_lettered(batch);
                let took = self.clients.elapsed(began);
                self.report.committed(self.topology.service, &batch.counts, batch.outputs.len(), took);
                for commit in &batch.partitions {
                    if let Some(untold) = commit.header.as_ref().and_then(|header| header.untold) {
                        self.report.untold(self.topology.service, commit.partition, untold.unsigned_abs());
                    }
                }
            }
            Outcome::Aborted(error) => {
                self.report.aborted(self.topology.service, &error.to_string());
                self.worker.aborted();
                self.spans.settle(&self.worker);
                self.clients.pause(BACKOFF.0);
            }
            Outcome::Unwritable(partition, reason) => {
                self.report.aborted(self.topology.service, &reason);
                self.worker.aborted();
                self.worker.halted(partition, HaltReason::Unwritable(reason));
                self.spans.settle(&self.worker);
            }
            Outcome::Rebuild(error) => {
                self.report.aborted(self.topology.service, &error.to_string());
                self.start_over()?;
                let transactions = &mut self.transactions;
                retry(self.clients, self.stopped, self.report, || transactions.rebuild())?;
            }
        }
        self.note(said)
    }

    /// After the commit: the store follows, however long it takes to come back.
    fn store_changes(
        &mut self,
        batch: &Batch<S>,
        headers: &HashMap<Partition, Option<i64>>,
    ) -> Result<(), KafkaFailure> {
        // Where the broker did not say where the header is, or nobody knows the view, the changelog does.
        let mut behind: Vec<Partition> =
            batch.partitions.iter().filter(|commit| commit.header.is_some()).map(|commit| commit.partition).collect();
        let (clients, stopped, report) = (self.clients, self.stopped, self.report);
        let (positions, store) = (&self.positions, &mut self.store);
        let advances: Vec<Advance<'_>> = batch
            .partitions
            .iter()
            .filter_map(|commit| {
                let header_offset = (*headers.get(&commit.partition)?)?;
                let expected = positions.get(&commit.partition)?;
                Some(Advance { partition: commit.partition, expected, header_offset, changes: &commit.changes })
            })
            .collect();
        let applied = retry(clients, stopped, report, || Ok(store.apply_all(&advances)?))?;
        let mut moved = Vec::with_capacity(advances.len());
        for (advance, applied) in advances.iter().zip(applied) {
            match applied {
                Applied::Done | Applied::AlreadyThere => moved.push((advance.partition, advance.header_offset)),
                Applied::Refused(found) => {
                    tracing::warn!(partition = advance.partition, ?found, "the store refused a batch: healing");
                }
            }
        }
        behind.retain(|partition| !moved.iter().any(|(there, _)| there == partition));
        for (partition, header_offset) in moved {
            if let Some(position) = self.positions.get_mut(&partition) {
                position.header_offset = header_offset;
            }
        }
        for partition in behind {
            retry(clients, stopped, report, || self.restore(partition, true))?;
        }
        self.tell_readiness();
        Ok(())
    }
}

/// A mark can't be written without it, so the transaction is aborted, and done again.
fn not_marked(failure: &KafkaFailure) -> ClientError {
    let kind = ErrorKind::Transaction { fatal: false, requires_abort: true, retriable: false };
    ClientError { kind, ..ClientError::passing(failure.to_string()) }
}
