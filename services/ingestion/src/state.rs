//! What the resolver keeps under one key: which messages it has seen.
//!
//! Wanted properties:
//! - a message id stays known for the whole window after the broker stored it, and at most an hour longer;
//! - except that a key never holds more than its cap: the eldest are forgotten first, and counted;
//! - a key that sends nothing for a window and an hour has no state at all.

use std::fmt;

use domain::{HumanDuration, Timestamp};
use schemas::{AvroSchema, StateContract};
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
        let hash = xxhash_rust::xxh3::xxh3_64(message_id.as_bytes());
        self.seen.retain(|hour| hour.until > stored_at);
        if self.seen.iter().any(|hour| hour.hashes.0.contains(&hash)) {
            return Seen::Again;
        }
        let until = end_of_hour(stored_at) + window;
        match self.seen.binary_search_by_key(&until, |hour| hour.until) {
            Ok(index) => self.seen[index].hashes.0.push(hash),
            Err(index) => self.seen.insert(index, SeenHour { until, hashes: Hashes(vec![hash]) }),
        }
        self.forget_beyond(cap);
        Seen::First
    }

    /// A window has passed since the last message: nothing is known any more.
    pub fn expire(&mut self, now: Timestamp) {
        self.seen.retain(|hour| hour.until > now);
        if self.seen.is_empty() {
            *self = Self::default();
        }
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

fn end_of_hour(time: Timestamp) -> Timestamp {
    let hour = HOUR.as_millis();
    Timestamp::from_millis(time.as_millis().div_euclid(hour).saturating_add(1).saturating_mul(hour))
}

impl State for ResolverState {
    /// One timer a key, when its last hour ends: earlier hours are dropped in passing, so that a busy key is not
    /// written once an hour only to be made a little smaller.
    fn due(&self) -> Due {
        Due { timer: self.seen.last().map(|hour| hour.until), ..Due::default() }
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
