//! What the resolver keeps under one key: which messages it has seen; of a device also whom it is linked to, and what was
//! done on it while nobody knew who did (`identity.rs`, `history.rs`).
//!
//! Wanted properties:
//! - a message id stays known for the whole window after the broker stored it, and at most an hour longer;
//! - except that a key never holds more than its cap: the eldest are forgotten first, and counted;
//! - a key that sends nothing has no state in the end: a user's after a window and an hour, an unknown visitor's after the
//!   age of a history, a linked device's after the age of a link; but for the date of an erasure, which stays.

use std::fmt;

use domain::{HumanDuration, Timestamp};
use schemas::{AvroSchema, PastEvent, StateContract};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use stream::{Due, State};

const HOUR: HumanDuration = HumanDuration::from_hours(1);

/// What is known under one key.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ResolverState {
    /// The messages seen, eldest hour first.
    #[serde(default)]
    pub seen: Vec<SeenHour>,
    /// How many message ids were forgotten before their time, because the key had too many.
    #[serde(default)]
    pub forgotten: i64,
    /// The customer to whom the device is linked.
    pub linked_to: Option<String>,
    /// All to whom it was linked, hashed: with more than three, strangers share it.
    #[serde(default)]
    pub customers: Hashes,
    /// When the link is forgotten if nothing more is heard.
    pub linked_until: Option<Timestamp>,
    /// Somebody unknown used the device: when that is forgotten if nothing more is heard.
    pub anonymous_until: Option<Timestamp>,
    /// It is a customer's id, and no device.
    #[serde(default)]
    pub is_a_user: bool,
    /// What she did, in the order in which it was told.
    #[serde(default)]
    pub history: Vec<PastEvent>,
    /// Until when what happened is not to be known: whoever it is asked to be erased.
    pub erased_at: Option<Timestamp>,
    /// Until when what a device of this id tells is not to be known: somebody whose device it was asked to be erased.
    pub device_erased_at: Option<Timestamp>,
}

/// The messages that the broker stored in one hour.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeenHour {
    /// When they are forgotten.
    pub until: Timestamp,
    /// Their ids, hashed.
    pub hashes: Hashes,
}

/// Hashes of message ids: in memory numbers, on the wire 8 bytes each.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hashes(pub Vec<u64>);

/// What [`ResolverState::see`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Not seen before; it is remembered now.
    First,
    /// Seen before.
    Again,
}

impl ResolverState {
    /// Asks whether a message was seen before, and remembers it. `stored_at` is the broker's time of the record.
    pub fn see(&mut self, message_id: &str, stored_at: Timestamp, window: HumanDuration, cap: usize) -> Seen {
        let hash = hash_of(message_id);
        // A repeat changes nothing, not even what has had its time.
        if self.holds(hash, stored_at) {
            return Seen::Again;
        }
        self.seen.retain(|hour| hour.until > stored_at);
        let until = end_of_hour(stored_at) + window;
        match self.seen.binary_search_by_key(&until, |hour| hour.until) {
            Ok(index) => self.seen[index].hashes.0.push(hash),
            Err(index) => self.seen.insert(index, SeenHour { until, hashes: Hashes(vec![hash]) }),
        }
        self.forget_beyond(cap);
        Seen::First
    }

    /// Whether a message was seen before.
    pub fn has_seen(&self, message_id: &str, stored_at: Timestamp) -> bool {
        self.holds(hash_of(message_id), stored_at)
    }

    fn holds(&self, hash: u64, stored_at: Timestamp) -> bool {
        self.seen.iter().any(|hour| hour.until > stored_at && hour.hashes.0.contains(&hash))
    }

    /// Forgets what has had its time.
    pub fn expire(&mut self, now: Timestamp) {
        self.seen.retain(|hour| hour.until > now);
        if self.linked_until.is_some_and(|until| until <= now) {
            (self.linked_to, self.linked_until) = (None, None);
            self.customers.0.clear();
        }
        if self.anonymous_until.is_some_and(|until| until <= now) {
            self.anonymous_until = None;
            self.history.clear();
        }
        if self.seen.is_empty() && self.linked_until.is_none() && self.anonymous_until.is_none() {
            let Self { erased_at, device_erased_at, .. } = *self;
            *self = Self { erased_at, device_erased_at, ..Self::default() };
        }
    }

    /// Forgets whose it is and what was done until `at`, but not which messages came. `of_device`: not that it is a customer's,
    /// either, and what comes without a device is not meant.
    pub fn erase(&mut self, at: Timestamp, of_device: bool) {
        let dated = |date: Option<Timestamp>, is_meant: bool| if is_meant { date.max(Some(at)) } else { date };
        *self = Self {
            seen: std::mem::take(&mut self.seen),
            forgotten: self.forgotten,
            is_a_user: self.is_a_user && of_device,
            erased_at: dated(self.erased_at, !of_device),
            device_erased_at: dated(self.device_erased_at, of_device),
            ..Self::default()
        };
    }

    /// Whether what happened then is not to be known any more; of what a device of this id tells, or of what comes without one.
    pub fn is_erased(&self, event_time: i64, by_device: bool) -> bool {
        let date = self.erased_at.max(self.device_erased_at.filter(|_| by_device));
        date.is_some_and(|date| event_time <= date.as_millis())
    }

    /// How many message ids are held.
    pub fn held(&self) -> usize {
        self.seen.iter().map(|hour| hour.hashes.0.len()).sum()
    }

    fn forget_beyond(&mut self, cap: usize) {
        let mut surplus = self.held().saturating_sub(cap.max(1));
        self.forgotten = self.forgotten.saturating_add(surplus as i64);
        while let Some(eldest) = self.seen.first_mut()
            && surplus > 0
        {
            let drop = surplus.min(eldest.hashes.0.len());
            eldest.hashes.0.drain(..drop);
            surplus -= drop;
            if eldest.hashes.0.is_empty() {
                self.seen.remove(0);
            }
        }
    }
}

/// What stands for an id in the state: of messages and customers there may be many.
pub(crate) fn hash_of(id: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64(id.as_bytes())
}

fn end_of_hour(time: Timestamp) -> Timestamp {
    let hour = HOUR.as_millis();
    Timestamp::from_millis(time.as_millis().div_euclid(hour).saturating_add(1).saturating_mul(hour))
}

impl State for ResolverState {
    /// Of the messages seen when their last hour ends: earlier hours are dropped in passing, so that a busy key is not
    /// written once an hour only to be made a little smaller.
    fn due(&self) -> Due {
        let seen = self.seen.last().map(|hour| hour.until);
        let timer = [seen, self.linked_until, self.anonymous_until].into_iter().flatten().min();
        Due { timer, ..Due::default() }
    }
}

impl StateContract for ResolverState {
    const NAME: &'static str = "ResolverChangelog";

    fn changelog() -> &'static AvroSchema {
        &schemas::RESOLVER_CHANGELOG
    }
}

impl Serialize for Hashes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes: Vec<u8> = self.0.iter().flat_map(|hash| hash.to_le_bytes()).collect();
        serializer.serialize_bytes(&bytes)
    }
}

impl<'de> Deserialize<'de> for Hashes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;

        impl Visitor<'_> for Bytes {
            type Value = Hashes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("hashes of 8 bytes each")
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Hashes, E> {
                let (hashes, rest) = bytes.as_chunks::<8>();
                if !rest.is_empty() {
                    return Err(E::invalid_length(bytes.len(), &self));
                }
                Ok(Hashes(hashes.iter().map(|hash| u64::from_le_bytes(*hash)).collect()))
            }
        }

        deserializer.deserialize_bytes(Bytes)
    }
}
