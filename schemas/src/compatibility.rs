//! Whether a schema may follow its past versions: `FULL_TRANSITIVE`, and what our own readers ask beyond it.
//!
//! Avro's rule, in both directions, against every past version: each reads what the other wrote. Beyond that, since
//! records are read by the writer's schema without resolution: a field keeps its name and its type, is never removed,
//! and a new one is `["null", T]` with default null; an enum keeps its symbols and its default.

use apache_avro::Schema;
use apache_avro::schema::{EnumSchema, RecordField, RecordSchema};
use apache_avro::schema_compatibility::{Compatibility, SchemaCompatibility};
use thiserror::Error;

/// Why a schema may not follow a past version.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Incompatible {
    /// A text is no Avro schema.
    #[error("{which} is not an Avro schema: {reason}")]
    NotAvro {
        /// Which text.
        which: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Avro's own rule is broken.
    #[error("{reader} can't read what {writer} wrote: {reason}")]
    Unreadable {
        /// Who reads.
        reader: String,
        /// Who wrote.
        writer: String,
        /// What stands in the way.
        reason: String,
    },
    /// A rule of ours is broken.
    #[error("{place} differs from past version {version}: {reason}")]
    Changed {
        /// Where: record and field.
        place: String,
        /// The past version, counted from 1.
        version: usize,
        /// What changed, and what to do instead.
        reason: &'static str,
    },
}

/// Whether `new` may follow `olds` (version 1 first); every breach, not only the first.
pub fn check_full_transitive(new: &str, olds: &[&str]) -> Result<(), Vec<Incompatible>> {
    let mut breaches = Vec::new();
    let new = parse("the new schema", new).map_err(|breach| vec![breach])?;
    for (version, old) in (1..).zip(olds) {
        match parse(&format!("past version {version}"), old) {
            Ok(old) => check_pair(&new, &old, version, &mut breaches),
            Err(breach) => breaches.push(breach),
        }
    }
    if breaches.is_empty() { Ok(()) } else { Err(breaches) }
}

fn parse(which: &str, text: &str) -> Result<Schema, Incompatible> {
    Schema::parse_str(text)
        .map_err(|error| Incompatible::NotAvro { which: which.to_owned(), reason: error.to_string() })
}

fn check_pair(new: &Schema, old: &Schema, version: usize, breaches: &mut Vec<Incompatible>) {
    let (new_name, old_name) = ("the new schema".to_owned(), format!("past version {version}"));
    for (reader, writer, reader_name, writer_name) in
        [(new, old, &new_name, &old_name), (old, new, &old_name, &new_name)]
    {
        let reason = match SchemaCompatibility::can_read(writer, reader) {
            Ok(Compatibility::Full) => continue,
            Ok(Compatibility::Partial) => "it can read only some of the values".to_owned(),
            Err(error) => error.to_string(),
        };
        breaches.push(Incompatible::Unreadable { reader: reader_name.clone(), writer: writer_name.clone(), reason });
    }
    Comparison { version, breaches }.schemas("the record", new, old);
}

struct Comparison<'a> {
    version: usize,
    breaches: &'a mut Vec<Incompatible>,
}

impl Comparison<'_> {
    fn breach(&mut self, place: &str, reason: &'static str) {
        self.breaches.push(Incompatible::Changed { place: place.to_owned(), version: self.version, reason });
    }

    fn schemas(&mut self, place: &str, new: &Schema, old: &Schema) {
        match (new, old) {
            (Schema::Record(new), Schema::Record(old)) => self.records(new, old),
            (Schema::Enum(new), Schema::Enum(old)) => self.enums(place, new, old),
            (Schema::Array(new), Schema::Array(old)) => self.schemas(place, &new.items, &old.items),
            (Schema::Map(new), Schema::Map(old)) => self.schemas(place, &new.types, &old.types),
            (Schema::Union(new), Schema::Union(old)) => {
                if new.variants().len() != old.variants().len() {
                    return self.breach(place, "a union may not grow or shrink: add a field");
                }
                for (new, old) in new.variants().iter().zip(old.variants()) {
                    self.schemas(place, new, old);
                }
            }
            // A name stands for a record or enum of this text, which is compared where it is written out.
            (Schema::Ref { name: new }, Schema::Ref { name: old }) if new == old => {}
            _ if new == old => {}
            _ => self.breach(place, "a type may not change: add a field"),
        }
    }

    fn records(&mut self, new: &RecordSchema, old: &RecordSchema) {
        if new.name != old.name {
            self.breach(old.name.as_ref(), "a record keeps its name and namespace");
        }
        for past in &old.fields {
            let place = format!("{}.{}", old.name, past.name);
            match new.fields.iter().find(|field| field.name == past.name) {
                Some(field) => {
                    if field.default != past.default {
                        self.breach(&place, "a default may not change: past readers fill in the old one");
                    }
                    self.schemas(&place, &field.schema, &past.schema);
                }
                None => self.breach(&place, "a field may not be removed: leave it and write null"),
            }
        }
        for field in &new.fields {
            if !old.fields.iter().any(|past| past.name == field.name) && !is_optional(field) {
                self.breach(&format!("{}.{}", new.name, field.name), "a new field is [\"null\", T] with default null");
            }
        }
    }

    fn enums(&mut self, place: &str, new: &EnumSchema, old: &EnumSchema) {
        if new.name != old.name {
            self.breach(place, "an enum keeps its name and namespace");
        }
        if new.default != old.default {
            self.breach(place, "an enum's default may not change");
        }
        if old.symbols.iter().any(|symbol| !new.symbols.contains(symbol)) {
            self.breach(place, "a symbol may not be removed");
        }
    }
}

fn is_optional(field: &RecordField) -> bool {
    let nullable = matches!(&field.schema, Schema::Union(union)
        if union.variants().len() == 2 && union.variants()[0] == Schema::Null);
    nullable && field.default.as_ref().is_some_and(serde_json::Value::is_null)
}
