//! Records on their way to the broker, in batches that are numbered: sent twice they are stored once.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use devbroker::core::ErrorCode;
use devbroker::core::records::ProducerStamp;
use devbroker::core::topics::TopicPartition;
use devbroker::core::transactions::ProducerIdentity;
use domain::Timestamp;
use kafka::port::Producer;

use super::{REQUEST, TransactionalProducer, transaction};
use crate::broken::Broken;
use crate::plan::{Coordinator, SERVICES};
use crate::world::{MS, SECOND, World};

impl TransactionalProducer<'_> {
    /// The client's own thread sends what waits, partition by partition, in any order.
    pub(super) fn transmit(&self) {
        let Ok(identity) = self.check() else {
            self.give_up_queue("the transaction has failed");
            return;
        };
        let mut places: Vec<TopicPartition> = self.state().queue.keys().cloned().collect();
        self.handle.world().chance.shuffle(&mut places);
        for at in places {
            if !self.state().joined.contains(&at) {
                let (id, place) = (Arc::clone(&self.id), at.clone());
                let added = self.handle.coordinated(Coordinator::Transactions, REQUEST, move |world| {
                    let now_ms = world.now_ms();
                    world.core.add_partitions_to_transaction(&id, identity, &[place], now_ms).remove(0)
                });
                match added {
                    Ok(Ok(())) => {
                        let mut state = self.state();
                        state.joined.insert(at.clone());
                        state.takes_part = true;
                    }
                    // Unknown, or busy with the markers of the transaction before: again, later.
                    Err(_) => {
                        self.state().takes_part = true;
                        continue;
                    }
                    Ok(Err(error)) => {
                        if !self.judge(error).is_retriable() {
                            return self.give_up_queue("the transaction has failed");
                        }
                        self.handle.sleep(5 * MS);
                        continue;
                    }
                }
            }
            self.produce(&at, identity);
        }
    }

    fn produce(&self, at: &TopicPartition, identity: ProducerIdentity) {
        let (bytes, records, again, sequence) = {
            let mut state = self.state();
            let sequence = state.sequences.get(at).copied().unwrap_or(0);
            let Some(waiting) = state.queue.get_mut(at) else { return };
            let stamp = ProducerStamp { id: identity.id, epoch: identity.epoch, sequence, transactional: true };
            let again = std::mem::replace(&mut waiting.sent_before, true);
            (waiting.batch.build(Some(stamp)), waiting.records, again, sequence)
        };
        let place = at.clone();
        let answer = self.handle.request(REQUEST, move |world| {
            if !again && world.refuses() {
                return Err(ErrorCode::InvalidTxnState);
            }
            world.arrives_again(&place, &bytes);
            world.store_batch(&place, &bytes)
        });
        match answer {
            Ok(Ok(stored)) => {
                let mut state = self.state();
                state.queue.remove(at);
                state.sequences.insert(at.clone(), sequence + records as i32);
                drop(state);
                // Of a repeat the broker says that it has it, and the client does not say where.
                if !again || !self.handle.is_broken(Broken::OverlooksRepeats) {
                    self.deliveries().written(&at.topic, at.partition, if again { -1 } else { stored.last });
                }
                if let (Some(millis), false) = (stored.broker_time_ms, again) {
                    let own_clock = self.handle.is_broken(Broken::TrustsItsOwnClock);
                    let offset_ms = if own_clock { self.handle.clock_offset_ms() } else { 0 };
                    self.deliveries().broker_time = Some(Timestamp::from_millis(millis + offset_ms));
                }
            }
            Err(_) => {}
            Ok(Err(error)) => {
                self.judge(error);
                self.give_up_queue(&format!("{error:?}"));
            }
        }
    }

    /// What an engine does that writes the store before it commits: as soon as it knows where its header is.
    pub(super) fn write_the_store(&self) {
        for _ in 0..20 {
            if self.state().queue.is_empty() {
                break;
            }
            self.transmit();
        }
        let Some(service) = SERVICES.into_iter().find(|service| self.id.contains(service)) else { return };
        let changes = std::mem::take(&mut self.state().changes);
        let mut headers = BTreeMap::new();
        for (topic, last) in &self.deliveries().last {
            if topic.ends_with(".changelog.v1") {
                headers.extend(last.iter().map(|(partition, offset)| (*partition, *offset)));
            }
        }
        let mut world = self.handle.world();
        for (partition, header) in headers.into_iter().filter(|(_, offset)| *offset >= 0) {
            let changes = changes.get(&partition).map(Vec::as_slice).unwrap_or_default();
            world.redis.entry(service).or_default().write_unfenced(partition, header, changes);
        }
    }

    pub(super) fn give_up_queue(&self, why: &str) {
        let given_up: Vec<TopicPartition> = {
            let mut state = self.state();
            state.purged |= !state.queue.is_empty();
            std::mem::take(&mut state.queue).into_keys().collect()
        };
        if let Some(at) = given_up.first() {
            let error = transaction(why, self.state().fatal.is_some(), true, false);
            self.deliveries().failure.get_or_insert_with(|| (error, at.topic.to_string(), at.partition));
        }
    }
}

/// What the broker says of a batch that it has stored.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stored {
    /// The offset of its last record.
    pub(super) last: i64,
    /// When, where the topic has the broker's times.
    pub(super) broker_time_ms: Option<i64>,
}

impl World {
    /// A batch arrives at the broker.
    pub(super) fn store_batch(&mut self, at: &TopicPartition, bytes: &Bytes) -> Result<Stored, ErrorCode> {
        let appended = self.produce(at, bytes).map_err(|refusal| refusal.code)?;
        let records = devbroker::core::batch::read_header(bytes).map_or(1, |header| i64::from(header.record_count));
        let broker_time_ms = Some(appended.log_append_time_ms).filter(|millis| *millis >= 0);
        Ok(Stored { last: appended.base_offset + records - 1, broker_time_ms })
    }

    /// A request arrives twice.
    pub(super) fn is_doubled(&mut self) -> bool {
        let parts = self.network.twice_ppm;
        self.chance.parts_per_million(parts)
    }

    /// The broker refuses a request of a transaction.
    pub(super) fn refuses(&mut self) -> bool {
        let parts = self.network.refused_ppm;
        self.chance.parts_per_million(parts)
    }

    /// A batch that its sender took for lost, and has sent again since, comes after all: perhaps when its transaction is over.
    fn arrives_again(&mut self, at: &TopicPartition, bytes: &Bytes) {
        if self.is_doubled() {
            let (at, bytes) = (at.clone(), bytes.clone());
            let late = *self.chance.clone().one_of(&[2 * MS, 100 * MS, 3 * SECOND]);
            let late = self.chance.between(1, late);
            self.after(late, move |world| {
                let stored = world.store_batch(&at, &bytes);
                world.tell(|| format!("a batch of {} {} arrives again: {stored:?}", at.topic, at.partition));
            });
        }
    }
}
