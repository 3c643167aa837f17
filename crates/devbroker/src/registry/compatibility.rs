//! May one schema follow another? Confluent's seven levels, on apache-avro's checker.
//!
//! Wanted properties:
//! - Only what always works counts as compatible: a reader that fails on some values (a lost enum symbol, a lost
//!   branch of a union) does not.
//! - Where a named type is defined inside a schema makes no difference: references are replaced by what they stand for
//!   before two schemas are compared.

use std::collections::HashMap;

use apache_avro::Schema;
use apache_avro::schema::{ArraySchema, MapSchema, Name, RecordField, RecordSchema, UnionSchema};
use apache_avro::schema_compatibility::{Compatibility, SchemaCompatibility};

/// A schema with all its references replaced may have so many parts.
const MAX_PARTS: usize = 50_000;

/// What a new version must be compatible with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    None,
    Backward,
    BackwardTransitive,
    Forward,
    ForwardTransitive,
    Full,
    FullTransitive,
}

const LEVELS: [(Level, &str); 7] = [
    (Level::None, "NONE"),
    (Level::Backward, "BACKWARD"),
    (Level::BackwardTransitive, "BACKWARD_TRANSITIVE"),
    (Level::Forward, "FORWARD"),
    (Level::ForwardTransitive, "FORWARD_TRANSITIVE"),
    (Level::Full, "FULL"),
    (Level::FullTransitive, "FULL_TRANSITIVE"),
];

impl Level {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        LEVELS.iter().find(|(_, name)| *name == text).map(|(level, _)| *level)
    }

    pub(crate) fn as_str(self) -> &'static str {
        LEVELS.iter().find(|(level, _)| *level == self).map_or("NONE", |(_, name)| name)
    }

    /// Is every earlier version looked at, not only the latest?
    pub(crate) fn is_transitive(self) -> bool {
        matches!(self, Self::BackwardTransitive | Self::ForwardTransitive | Self::FullTransitive)
    }

    /// Must the new schema read what was written before?
    fn looks_back(self) -> bool {
        matches!(self, Self::Backward | Self::BackwardTransitive | Self::Full | Self::FullTransitive)
    }

    /// Must earlier readers read what is written from now on?
    fn looks_ahead(self) -> bool {
        matches!(self, Self::Forward | Self::ForwardTransitive | Self::Full | Self::FullTransitive)
    }

    /// Why `new` may not stand beside `old`; empty if it may.
    pub(crate) fn breaches(self, new: &Schema, old: &Schema) -> Vec<String> {
        let mut breaches = Vec::new();
        if self.looks_back() {
            breaches.extend(breach("the new schema can't read data of the old one", old, new));
        }
        if self.looks_ahead() {
            breaches.extend(breach("the old schema can't read data of the new one", new, old));
        }
        breaches
    }
}

fn breach(what: &str, writer: &Schema, reader: &Schema) -> Option<String> {
    match SchemaCompatibility::can_read(writer, reader) {
        Ok(Compatibility::Full) => None,
        Ok(Compatibility::Partial) => Some(format!("{what}: a branch of a union or a symbol of an enum is missing")),
        Err(error) => {
            let mut why = error.to_string();
            let mut cause = std::error::Error::source(&error);
            while let Some(error) = cause {
                why = format!("{why}: {error}");
                cause = error.source();
            }
            Some(format!("{what}: {}", why.chars().take(500).collect::<String>()))
        }
    }
}

/// Parses a schema; named types that it refers to are looked for in `referenced`. The result holds no reference but
/// those of a type to itself.
pub(crate) fn parse(text: &str, referenced: &[String]) -> Result<Schema, String> {
    let (schema, others) =
        Schema::parse_str_with_list(text, referenced).map_err(|error| format!("Invalid schema: {error}"))?;
    let mut inliner = Inliner { known: HashMap::new(), parts: 0 };
    for other in others.iter().chain([&schema]) {
        inliner.collect(other);
    }
    inliner.inline(&schema, &mut Vec::new())
}

struct Inliner {
    known: HashMap<Name, Schema>,
    parts: usize,
}

impl Inliner {
    fn collect(&mut self, schema: &Schema) {
        if let Some(name) = schema.name().filter(|_| !matches!(schema, Schema::Ref { .. })) {
            self.known.insert(name.clone(), schema.clone());
        }
        match schema {
            Schema::Record(record) => record.fields.iter().for_each(|field| self.collect(&field.schema)),
            Schema::Array(array) => self.collect(&array.items),
            Schema::Map(map) => self.collect(&map.types),
            Schema::Union(union) => union.variants().iter().for_each(|variant| self.collect(variant)),
            _ => {}
        }
    }

    fn inline(&mut self, schema: &Schema, within: &mut Vec<Name>) -> Result<Schema, String> {
        self.parts += 1;
        if self.parts > MAX_PARTS {
            return Err(format!("Invalid schema: with its references resolved it has more than {MAX_PARTS} parts"));
        }
        Ok(match schema {
            Schema::Ref { name } => match self.known.get(name).cloned() {
                Some(known) if !within.contains(name) => self.inline(&known, within)?,
                _ => schema.clone(),
            },
            Schema::Record(record) => {
                within.push(record.name.clone());
                let mut fields = Vec::with_capacity(record.fields.len());
                for field in &record.fields {
                    fields.push(RecordField { schema: self.inline(&field.schema, within)?, ..field.clone() });
                }
                within.pop();
                Schema::Record(RecordSchema { fields, ..record.clone() })
            }
            Schema::Array(array) => {
                Schema::Array(ArraySchema { items: Box::new(self.inline(&array.items, within)?), ..array.clone() })
            }
            Schema::Map(map) => {
                Schema::Map(MapSchema { types: Box::new(self.inline(&map.types, within)?), ..map.clone() })
            }
            Schema::Union(union) => {
                let mut variants = Vec::with_capacity(union.variants().len());
                for variant in union.variants() {
                    variants.push(self.inline(variant, within)?);
                }
                Schema::Union(UnionSchema::new(variants).map_err(|error| format!("Invalid schema: {error}"))?)
            }
            other => other.clone(),
        })
    }
}
