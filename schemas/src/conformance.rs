//! Whether a Rust type fits its schema: a service calls [`check`] in a test for its state.
//!
//! Values are made from the schema alone: with everything filled, with everything optional left out, and many by a
//! seed. Each is written by the reference implementation (apache-avro), read as the Rust type, written again by us, and
//! must be the same bytes: so no field is forgotten, misnamed or mistyped. Fields must also be declared in schema
//! order, which is what lets the encoder write without buffering.

use apache_avro::Schema;
use apache_avro::schema::{NamesRef, ResolvedSchema};
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use thiserror::Error;

use crate::{ChangelogRecord, Contract, Schemas, StateContract};

const DATASET: &str = "conformance";
const SCHEMA_ID: u32 = 1;
const SEEDS: u64 = 64;

/// A Rust type does not fit its schema.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{contract} does not fit its schema ({example:?}): {reason}")]
pub struct Mismatch {
    /// The contract.
    pub contract: &'static str,
    /// With which value.
    pub example: Example,
    /// What differs.
    pub reason: String,
}

/// Which value of a schema to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Example {
    /// Every union has its value, every array two elements, every enum its last symbol.
    Filled,
    /// Every union is null, every array empty, every enum at its first symbol.
    Empty,
    /// Whatever a hash of the seed says.
    Seeded(u64),
}

/// Whether values of the contract's schema are read and written as they are.
pub fn check<T: Contract>() -> Result<(), Mismatch> {
    let examples = [Example::Filled, Example::Empty].into_iter().chain((0..SEEDS).map(Example::Seeded));
    for example in examples {
        read_and_write_again::<T>(example).map_err(|reason| Mismatch { contract: T::NAME, example, reason })?;
    }
    field_order::<T>().map_err(|reason| Mismatch { contract: T::NAME, example: Example::Filled, reason })
}

/// [`check`] for the changelog of a state.
pub fn check_state<S: StateContract>() -> Result<(), Mismatch> {
    check::<ChangelogRecord<S>>()
}

/// An example of a schema as Avro bytes, unframed.
pub fn datum(avsc: &str, example: Example) -> Result<Vec<u8>, apache_avro::Error> {
    let schema = Schema::parse_str(avsc)?;
    let resolved = ResolvedSchema::new(&schema)?;
    let value = Maker { names: resolved.get_names(), example, made: 0 }.value(&schema, "");
    GenericDatumWriter::builder(&schema).build()?.write_value_to_vec(value)
}

fn example<T: Contract>(example: Example) -> Result<(Schemas, Vec<u8>, T), String> {
    let schemas = Schemas::new();
    schemas.bind(DATASET, SCHEMA_ID);
    schemas.learn(SCHEMA_ID, T::schema().text()).map_err(|error| error.to_string())?;
    let mut framed = vec![0];
    framed.extend(SCHEMA_ID.to_be_bytes());
    framed.extend(datum(T::schema().text(), example).map_err(|error| error.to_string())?);
    let value = schemas.decode(&framed).map_err(|error| error.to_string())?;
    Ok((schemas, framed, value))
}

fn read_and_write_again<T: Contract>(which: Example) -> Result<(), String> {
    let (schemas, framed, value) = example::<T>(which)?;
    let mut again = Vec::with_capacity(framed.len());
    schemas.encode(DATASET, &value, &mut again).map_err(|error| error.to_string())?;
    if again == framed {
        Ok(())
    } else {
        Err("written again it is not the same: does the Rust type lack a field of the schema?".to_owned())
    }
}

/// JSON text keeps the order in which the Rust type declares its fields.
fn field_order<T: Contract>() -> Result<(), String> {
    let (_, _, value) = example::<T>(Example::Filled)?;
    let json = serde_json::to_string(&value).map_err(|error| error.to_string())?;
    let schema = Schema::parse_str(T::schema().text()).map_err(|error| error.to_string())?;
    let mut rest = json.as_str();
    in_order(&schema, &mut rest)
}

fn in_order(schema: &Schema, rest: &mut &str) -> Result<(), String> {
    match schema {
        Schema::Record(record) => record.fields.iter().try_for_each(|field| {
            let name = format!("\"{}\":", field.name);
            let at = rest.find(&name).ok_or_else(|| {
                format!("field {} of {} is not declared where the schema has it", field.name, record.name)
            })?;
            *rest = &rest[at + name.len()..];
            in_order(&field.schema, rest)
        }),
        Schema::Union(union) => union.variants().iter().try_for_each(|variant| in_order(variant, rest)),
        // Two elements, each with the record's fields.
        Schema::Array(array) => in_order(&array.items, rest).and_then(|()| in_order(&array.items, rest)),
        Schema::Map(map) => in_order(&map.types, rest),
        _ => Ok(()),
    }
}

/// Makes a value of a schema.
struct Maker<'a> {
    names: &'a NamesRef<'a>,
    example: Example,
    made: u64,
}

impl Maker<'_> {
    /// A number below `bound`: the highest, the lowest, or by the seed.
    fn choose(&mut self, bound: usize) -> usize {
        match self.example {
            Example::Filled => bound - 1,
            Example::Empty => 0,
            Example::Seeded(_) => (self.number() % bound as u64) as usize,
        }
    }

    /// A number that differs from those before it.
    fn number(&mut self) -> u64 {
        self.made += 1;
        match self.example {
            Example::Seeded(seed) => mix(seed ^ mix(self.made)),
            Example::Filled | Example::Empty => self.made,
        }
    }

    fn text(&mut self, field: &str) -> String {
        let number = self.number();
        match self.example {
            Example::Seeded(_) => match number % 4 {
                0 => String::new(),
                1 => format!("{field} ñandú 🛒 \"{number}\""),
                _ => "x".repeat((number >> 8) as usize % 200),
            },
            Example::Filled | Example::Empty => format!("{field}-{number}"),
        }
    }

    fn value(&mut self, schema: &Schema, field: &str) -> Value {
        match schema {
            Schema::Null => Value::Null,
            Schema::Boolean => Value::Boolean(self.choose(2) == 1),
            Schema::Int => Value::Int(self.number() as i32),
            Schema::Long => Value::Long(self.number() as i64),
            Schema::Float => Value::Float(self.number() as f32),
            Schema::Double => Value::Double(self.number() as f64),
            Schema::TimestampMillis => Value::TimestampMillis(self.number() as i64),
            Schema::TimestampMicros => Value::TimestampMicros(self.number() as i64),
            Schema::Bytes => Value::Bytes(self.text(field).into_bytes()),
            Schema::Enum(of) => {
                let symbol = self.choose(of.symbols.len());
                Value::Enum(symbol as u32, of.symbols[symbol].clone())
            }
            Schema::Union(union) => {
                let variant = self.choose(union.variants().len());
                Value::Union(variant as u32, Box::new(self.value(&union.variants()[variant], field)))
            }
            Schema::Array(array) => {
                let elements = self.choose(3);
                Value::Array((0..elements).map(|_| self.value(&array.items, field)).collect())
            }
            // One entry at most: more would have no order to compare by.
            Schema::Map(map) => {
                let entries = self.choose(2);
                Value::Map((0..entries).map(|_| (self.text(field), self.value(&map.types, field))).collect())
            }
            Schema::Record(record) => Value::Record(
                record.fields.iter().map(|of| (of.name.clone(), self.value(&of.schema, &of.name))).collect(),
            ),
            Schema::Ref { name } => match self.names.get(name) {
                Some(schema) => self.value(schema, field),
                None => Value::Null,
            },
            // Other types than these have no place in a contract; the writer then refuses the text.
            _ => Value::String(self.text(field)),
        }
    }
}

/// `SplitMix64`'s finaliser (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
