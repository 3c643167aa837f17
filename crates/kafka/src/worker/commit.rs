//! What the worker decided, done: states are loaded, batches committed, and the store follows.

use std::collections::HashMap;
use std::time::Instant;

use stream::{Applied, Batch, HaltReason, LoadRequest, Loaded, Partition, Service, StoreError};

use super::hear::learn;
use super::time::boot_time;
use super::transaction::Outcome;
use super::{BACKOFF, Driver, chain, pause, retry};
use crate::KafkaFailure;

impl<S: Service> Driver<'_, S> {
    pub(super) fn load(&mut self, requests: &[(Partition, LoadRequest)]) -> Result<Vec<Loaded>, KafkaFailure> {
        let mut answers = Vec::with_capacity(requests.len());
        for (partition, request) in requests {
            let mut healed = 0;
            let answer = loop {
                let expected = self.positions.get(partition).cloned();
                match self.store.load(*partition, request)? {
                    Some(loaded) if Some(&loaded.position) == expected.as_ref() => {
                        let due = loaded.due.iter().filter_map(|(_, _, value)| value.as_ref());
                        // Another version may have written them.
                        for value in loaded.states.iter().flatten().chain(due) {
                            learn(&self.schemas, self.options.registry.as_ref(), value)?;
                        }
                        break loaded;
                    }
                    found => {
                        let found = found.map(|loaded| loaded.position);
                        tracing::warn!(partition, ?expected, ?found, "the store is not where it should be: healing");
                        self.heal(*partition, &mut healed)?;
                    }
                }
            };
            answers.push(answer);
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
        let began = Instant::now();
        self.claimed_at = boot_time();
        let outcome = self.transactions.commit(batch, group, &mut self.spans);
        if began.elapsed() > self.options.cluster.session_timeout / 2 {
            self.disturbed_at = Some(Instant::now());
        }
        match outcome {
            Outcome::Committed(headers) => {
                self.store_changes(batch, &headers)?;
                self.worker.committed();
                self.spans.dead_lettered(batch);
                self.report.committed(self.topology.service, &batch.counts, batch.outputs.len(), began.elapsed());
            }
            Outcome::Aborted(error) => {
                self.report.aborted(self.topology.service, &error.to_string());
                self.worker.aborted();
                self.spans.settle(&self.worker);
                pause(BACKOFF.0);
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
                retry(self.stopped, self.report, || transactions.rebuild())?;
            }
        }
        Ok(())
    }

    /// After the commit: the store follows, however long it takes to come back.
    fn store_changes(
        &mut self,
        batch: &Batch<S>,
        headers: &HashMap<Partition, Option<i64>>,
    ) -> Result<(), KafkaFailure> {
        for commit in batch.partitions.iter().filter(|commit| commit.header.is_some()) {
            let partition = commit.partition;
            let header = headers.get(&partition).copied().flatten();
            let mut backoff = BACKOFF.0;
            loop {
                let applied = match (header, self.positions.get(&partition)) {
                    (Some(offset), Some(position)) => self.store.apply(partition, position, offset, &commit.changes),
                    // The broker did not say where the header is, or nobody knows the view: the changelog does.
                    _ => Ok(Applied::Refused(None)),
                };
                let result = match applied {
                    Ok(Applied::Done | Applied::AlreadyThere) => {
                        if let (Some(offset), Some(position)) = (header, self.positions.get_mut(&partition)) {
                            position.header_offset = offset;
                        }
                        break;
                    }
                    Ok(Applied::Refused(found)) => {
                        tracing::warn!(partition, ?found, "the store refused a batch: healing");
                        self.restore(partition, true).map(drop)
                    }
                    Err(error) => Err(KafkaFailure::Store(error)),
                };
                match result {
                    Ok(()) => break,
                    Err(failure) if failure.is_passing() && !(self.stopped)() => {
                        self.report.ready(false, &failure.to_string());
                        tracing::warn!(partition, error = %chain(&failure), "waiting for the store");
                        pause(backoff);
                        backoff = (backoff * 2).min(BACKOFF.1);
                    }
                    Err(failure) => return Err(failure),
                }
            }
        }
        self.tell_readiness();
        Ok(())
    }
}
