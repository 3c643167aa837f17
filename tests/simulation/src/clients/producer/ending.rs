//! The end of a transaction: a message of its own, which may come late, twice, or after its producer was made anew.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use devbroker::core::ErrorCode;
use devbroker::core::transactions::ProducerIdentity;
use kafka::port::ClientError;

use super::{TransactionalProducer, transaction};
use crate::broken::Broken;
use crate::clients::micros;
use crate::plan::{Coordinator, Point};
use crate::world::{MS, Micros, SECOND, World};

/// The end of a transaction is not repeated any more.
const LAST_TRY: u32 = 1_000;

/// When the answer is there, and what it is.
pub(super) type Answer = Arc<Mutex<Option<(Micros, Result<(), ErrorCode>)>>>;

/// A request to end a transaction that is under way.
#[derive(Clone)]
pub(super) struct Ending {
    commit: bool,
    answer: Answer,
    sent_at: Micros,
}

impl TransactionalProducer<'_> {
    /// Ends the transaction; called again it goes on with the same request.
    pub(super) fn end(&self, commit: bool, timeout: Duration) -> Result<(), ClientError> {
        let identity = {
            let state = self.state();
            match (&state.fatal, state.identity) {
                (None, Some(identity)) => identity,
                _ => return Err(transaction("fenced", true, false, false)),
            }
        };
        if !self.state().takes_part {
            return Ok(());
        }
        let now = self.handle.world().now;
        let deadline = now + micros(timeout);
        loop {
            let under_way = self.state().ending.clone().filter(|ending| ending.commit == commit);
            let ending = match under_way {
                Some(ending) => ending,
                None => self.send_end(identity, commit),
            };
            if self.handle.is_broken(Broken::AcknowledgesEarly) && commit {
                self.state().ending = None;
                return Ok(());
            }
            let answered = *ending.answer.lock().unwrap_or_else(PoisonError::into_inner);
            let now = self.handle.world().now;
            match answered {
                Some((at, answer)) if at <= now => {
                    self.state().ending = None;
                    match answer {
                        Ok(()) => return Ok(()),
                        Err(ErrorCode::ConcurrentTransactions) => {}
                        Err(error) => return Err(self.judge(error)),
                    }
                }
                // The request or its answer was lost: the client sends it once more.
                None if now > ending.sent_at + 20 * SECOND => self.state().ending = None,
                _ => {}
            }
            if now >= deadline {
                return Err(transaction("the end of the transaction was not answered yet", false, false, true));
            }
            self.handle.sleep(5 * MS);
        }
    }

    /// The end of the transaction leaves. What strikes the process now strikes the network, too.
    fn send_end(&self, identity: ProducerIdentity, commit: bool) -> Ending {
        let struck = self.handle.world().comes_to(self.handle.process, Point::EndSent);
        let ending = self.handle.world().send_end(&self.id, identity, commit, struck);
        self.state().ending = Some(ending.clone());
        if struck {
            self.handle.sleep(1);
        }
        ending
    }
}

impl World {
    /// The end of a transaction is on its way: it arrives, late or never, whatever becomes of who sent it.
    fn send_end(&mut self, id: &Arc<str>, identity: ProducerIdentity, commit: bool, held_back: bool) -> Ending {
        let answer: Answer = Arc::default();
        let ending = Ending { commit, answer: Arc::clone(&answer), sent_at: self.now };
        let late = self.network.late_end_ppm;
        let there = if held_back || self.chance.parts_per_million(late) {
            self.chance.between(SECOND, 12 * SECOND)
        } else if self.loses() {
            // librdkafka sends it again over the next connection.
            SECOND
        } else {
            self.latency()
        };
        let (sent, answered) = (Arc::clone(id), Arc::clone(&answer));
        self.after(there, move |world| world.arrive_end(sent, identity, commit, answered, 0));
        if self.broken == Some(Broken::RepeatsTheEnd) && self.is_doubled() {
            let (sent, later) = (Arc::clone(id), there + 100 * MS);
            self.after(later, move |world| world.arrive_end(sent, identity, commit, Answer::default(), 0));
        }
        if self.is_doubled() {
            // It comes before anything that is sent once the first was answered, and nobody listens to what it is answered.
            let id = Arc::clone(id);
            self.after(there + 1, move |world| world.arrive_end(id, identity, commit, Answer::default(), LAST_TRY));
        }
        ending
    }

    fn arrive_end(&mut self, id: Arc<str>, identity: ProducerIdentity, commit: bool, answer: Answer, tries: u32) {
        if !self.broker_answers() || !self.coordinates(Coordinator::Transactions) {
            if tries == LAST_TRY {
                return;
            }
            let wait = self.broker_away_until.saturating_sub(self.now) + 50 * MS;
            self.after(wait, move |world| world.arrive_end(id, identity, commit, answer, tries + 1));
            return;
        }
        let now_ms = self.now_ms();
        let result = self.core.end_transaction(&id, identity, commit, now_ms);
        self.deliver();
        self.tell(|| format!("{id} ends its transaction ({}): {result:?}", if commit { "commit" } else { "abort" }));
        if result == Err(ErrorCode::ConcurrentTransactions) && tries < LAST_TRY {
            self.after(20 * MS, move |world| world.arrive_end(id, identity, commit, answer, tries + 1));
            return;
        }
        let back = if self.loses() { 2 * SECOND } else { self.latency() };
        answer.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert((self.now + back, result));
    }
}
