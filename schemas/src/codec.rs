//! Bytes on a topic: Confluent framing (a zero byte, the schema id in four bytes, Avro).
//!
//! Wanted properties:
//! - What is written with a contract's current schema is read back equal.
//! - What any past version wrote is read by the writer's schema; fields that it lacked get their documented default.
//! - No bytes whatever make reading panic, or allocate more than a small multiple of their length.
//! - A value above [`MAX_VALUE_BYTES`] is neither written nor read.
//! - A schema is parsed once, never for a record; a contract's fields are in schema order, so writing buffers nothing.

use std::collections::HashMap;
use std::io::BufRead;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use foldhash::fast::RandomState;
use serde::{Deserialize, Serialize};
use serde_avro_fast::de::read::SliceRead;
use serde_avro_fast::de::{DeserializerConfig, DeserializerState};
use serde_avro_fast::ser::{SerializerConfig, SerializerState};

use crate::changelog::{BorrowedRecord, ChangelogHeader, StateContract};
use crate::error::{DecodeError, EncodeError, LearnError, without_value};
use crate::{AvroSchema, ChangelogRecord, Contract};

/// Largest value that is written or read, framed: it fits a broker's default of 1 MiB a batch with key and headers.
pub const MAX_VALUE_BYTES: usize = 1_000_000;

/// So much room a storefront event leaves below [`MAX_VALUE_BYTES`] for what services tell beside it: whose it is, and who she
/// is as of it.
pub const ROOM_BYTES: usize = 64 * 1024;

/// Derived records carry a hop count of at most so much: what went round so often leads to nothing more.
pub const MAX_HOPS: i32 = 16;
/// Largest schema text that is learnt.
pub const MAX_SCHEMA_BYTES: usize = 1 << 20;
/// How many writers' schemas are kept; more than that means a producer that registers a schema for each record.
pub const MAX_SCHEMAS: usize = 10_000;

const MAGIC: u8 = 0;
const FRAME_BYTES: usize = 5;

/// Knows under which schema id each dataset is written, and the writer's schema behind each id. A clone is cheap and
/// shares what is known.
#[derive(Clone, Debug, Default)]
pub struct Schemas {
    known: Arc<RwLock<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    /// A dozen at most, so a scan is faster than a hash.
    bindings: Vec<Binding>,
    writers: HashMap<u32, Arc<WriterSchema>, RandomState>,
}

#[derive(Debug)]
struct Binding {
    dataset: String,
    id: u32,
    /// What the dataset holds, where `topics.yaml` has it.
    contract: Option<&'static str>,
}

#[derive(Debug)]
struct WriterSchema {
    /// Name of the record, without its namespace.
    name: String,
    parsed: serde_avro_fast::Schema,
}

impl Schemas {
    /// Nothing known yet; to be filled from a registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// Every compiled-in contract under a fixed id, for tests and for what never meets a registry.
    ///
    /// Like a registry, it gives one schema one id, however many datasets hold it.
    pub fn offline() -> Self {
        let schemas = Self::new();
        for (dataset, contract, _) in crate::contracts() {
            let position = crate::schemas().iter().position(|schema| schema.name() == contract).unwrap_or_default();
            schemas.bind(dataset, position as u32 + 1);
        }
        schemas
    }

    /// From now on, records of the dataset are written under this schema id; the id stands for the compiled-in schema
    /// of the dataset's contract. A dataset that `topics.yaml` does not have needs [`learn`](Self::learn) to be read.
    pub fn bind(&self, dataset: &str, id: u32) {
        let schema = crate::schema_of(dataset);
        if let Some(schema) = schema {
            // The text is ours, so learning it can fail only by the number of schemas; reading then says so.
            let _ = self.learn(id, schema.text());
        }
        let binding = Binding { dataset: dataset.to_owned(), id, contract: schema.map(AvroSchema::name) };
        let mut known = self.write();
        match known.bindings.iter_mut().find(|known| known.dataset == dataset) {
            Some(known) => *known = binding,
            None => known.bindings.push(binding),
        }
    }

    /// Remembers the writer's schema behind an id, as the registry gave it. An id never changes its meaning, so what
    /// is known already stays.
    pub fn learn(&self, id: u32, avsc: &str) -> Result<(), LearnError> {
        if self.read().writers.contains_key(&id) {
            return Ok(());
        }
        if avsc.len() > MAX_SCHEMA_BYTES {
            return Err(LearnError::TooLarge { id, size_bytes: avsc.len(), limit_bytes: MAX_SCHEMA_BYTES });
        }
        let parsed: serde_avro_fast::Schema = avsc.parse().map_err(|error: serde_avro_fast::schema::SchemaError| {
            LearnError::NotAvro { id, reason: error.to_string() }
        })?;
        let name = record_name(avsc)
            .ok_or_else(|| LearnError::NotAvro { id, reason: "it is not a record with a name".to_owned() })?;
        let mut known = self.write();
        if known.writers.len() >= MAX_SCHEMAS {
            return Err(LearnError::TooMany { id, limit: MAX_SCHEMAS });
        }
        known.writers.entry(id).or_insert_with(|| Arc::new(WriterSchema { name, parsed }));
        Ok(())
    }

    /// The schema id of a framed value, if its schema is not known yet and has to be fetched and
    /// [learnt](Self::learn) before the value can be read.
    pub fn missing(&self, value: &[u8]) -> Option<u32> {
        let (id, _) = split_frame(value)?;
        (!self.read().writers.contains_key(&id)).then_some(id)
    }

    /// Whether a framed value is written under the schema of a dataset that is [bound](Self::bind) here.
    pub fn is_bound(&self, dataset: &str, value: &[u8]) -> bool {
        let written_under = split_frame(value).map(|(id, _)| id);
        self.read().bindings.iter().any(|known| known.dataset == dataset && Some(known.id) == written_under)
    }

    /// Appends the framed value to `out`; leaves `out` as it was if it can't.
    pub fn encode<T: Contract>(&self, dataset: &str, value: &T, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.encode_as::<T, T>(dataset, value, out)
    }

    /// Appends a framed changelog record to `out`, with the state borrowed from where it lives.
    pub fn encode_changelog<S: StateContract>(
        &self,
        dataset: &str,
        header: Option<&ChangelogHeader>,
        time: Option<i64>,
        state: Option<&S>,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        self.encode_as::<ChangelogRecord<S>, _>(dataset, &BorrowedRecord { header, time, state }, out)
    }

    fn encode_as<T: Contract, V: Serialize>(
        &self,
        dataset: &str,
        value: &V,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let id = self.id_for(dataset, T::NAME)?;
        let start = out.len();
        out.push(MAGIC);
        out.extend_from_slice(&id.to_be_bytes());
        // Without any buffer in it the configuration costs nothing to make; fields in schema order need none.
        let mut config = SerializerConfig::new(T::schema().parsed());
        let mut state = SerializerState::from_writer(&mut *out, &mut config);
        let written = value.serialize(state.serializer());
        let size_bytes = out.len() - start;
        let result = match written {
            Err(error) => Err(EncodeError::Unfit { contract: T::NAME, reason: without_value(&error.to_string()) }),
            Ok(()) if size_bytes > MAX_VALUE_BYTES => {
                Err(EncodeError::TooLarge { contract: T::NAME, size_bytes, limit_bytes: MAX_VALUE_BYTES })
            }
            Ok(()) => Ok(()),
        };
        if result.is_err() {
            out.truncate(start);
        }
        result
    }

    /// Reads a framed value by its writer's schema.
    pub fn decode<T: Contract>(&self, value: &[u8]) -> Result<T, DecodeError> {
        self.decode_view::<T, T>(value)
    }

    /// Reads of a framed value of `T` what `V` has fields for; the others are passed over, and texts may be borrowed.
    pub fn decode_view<'v, T: Contract, V: Deserialize<'v>>(&self, value: &'v [u8]) -> Result<V, DecodeError> {
        let (id, datum) = split_frame(value).ok_or(DecodeError::NotFramed)?;
        if value.len() > MAX_VALUE_BYTES {
            return Err(DecodeError::TooLarge { size_bytes: value.len(), limit_bytes: MAX_VALUE_BYTES });
        }
        let writer = self.read().writers.get(&id).cloned().ok_or(DecodeError::UnknownSchema { id })?;
        if writer.name != T::NAME {
            return Err(DecodeError::OtherContract { id, expected: T::NAME, found: writer.name.clone() });
        }
        let mut config = DeserializerConfig::new(&writer.parsed);
        // Every element takes a byte at least, so a longer sequence is a hostile length (of elements of no size).
        config.max_seq_size = datum.len();
        let mut state = DeserializerState::with_config(SliceRead::new(datum), config);
        let decoded = V::deserialize(state.deserializer()).map_err(|error| DecodeError::Malformed {
            contract: T::NAME,
            id,
            reason: without_value(&error.to_string()),
        })?;
        match state.into_reader().fill_buf().map_or(0, <[u8]>::len) {
            0 => Ok(decoded),
            left_bytes => Err(DecodeError::LeftOver { contract: T::NAME, id, left_bytes }),
        }
    }

    fn id_for(&self, dataset: &str, contract: &'static str) -> Result<u32, EncodeError> {
        let known = self.read();
        let binding = known
            .bindings
            .iter()
            .find(|binding| binding.dataset == dataset)
            .ok_or_else(|| EncodeError::UnboundDataset { dataset: dataset.to_owned() })?;
        match binding.contract {
            Some(expected) if expected != contract => {
                Err(EncodeError::OtherContract { dataset: dataset.to_owned(), expected, found: contract })
            }
            _ => Ok(binding.id),
        }
    }

    // Nothing panics while a lock is held; and what is known stays consistent even if something did.
    fn read(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Schema id and Avro bytes of a framed value.
fn split_frame(value: &[u8]) -> Option<(u32, &[u8])> {
    let (frame, datum) = value.split_first_chunk::<FRAME_BYTES>()?;
    let [MAGIC, id @ ..] = *frame else { return None };
    Some((u32::from_be_bytes(id), datum))
}

/// Name of a record schema, without its namespace.
fn record_name(avsc: &str) -> Option<String> {
    let schema: serde_json::Value = serde_json::from_str(avsc).ok()?;
    let name = (schema.get("type")? == "record").then(|| schema.get("name"))??.as_str()?;
    Some(name.rsplit('.').next().unwrap_or(name).to_owned())
}
