//! The customer as conditions see her: only the fields that some condition reads.

use std::hash::Hasher;

use definitions::{Scope, Thresholds, serialize_json};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Map;
use xxhash_rust::xxh3::Xxh3;

use crate::field::{Profile, Value};
use crate::policy::{Policy, Read};

/// What conditions are evaluated with.
pub(crate) fn scope(policy: &Policy, profile: &Profile<'_>) -> Scope {
    let mut scope = Scope::new();
    scope.set("customer", Customer { reads: policy.reads(), profile, at: 0 });
    scope
}

/// Hash of what the conditions read, as far as they can tell: of a number, between which of their thresholds it lies.
pub(crate) fn fingerprint(policy: &Policy, profile: &Profile<'_>) -> i64 {
    let mut hash = Xxh3::new();
    for Read { field, thresholds, .. } in policy.reads() {
        match (profile.value(field), thresholds) {
            (Value::Int(value), Thresholds::At(numbers)) => {
                hash.write_u8(1);
                hash.write_usize(numbers.range(..=value).count());
            }
            (Value::Int(value), Thresholds::Anywhere) => {
                hash.write_u8(2);
                hash.write_i64(value);
            }
            (Value::Missing, _) => hash.write_u8(3),
            (Value::Bool(value), _) => hash.write_u8(4 + u8::from(value)),
            (Value::Text(text), _) => {
                hash.write_u8(6);
                hash.write_usize(text.len());
                hash.write(text.as_bytes());
            }
            (Value::Texts(texts), _) => {
                hash.write_u8(7);
                hash.write_usize(texts.len());
                for text in texts {
                    hash.write_usize(text.len());
                    hash.write(text.as_bytes());
                }
            }
            (Value::Json(value), _) => {
                let text = value.to_string();
                hash.write_u8(8);
                hash.write_usize(text.len());
                hash.write(text.as_bytes());
            }
        }
    }
    hash.digest().cast_signed()
}

/// What a condition read, but for personal data: for the record of what came of it.
pub(crate) fn detail<'p>(paths: impl Iterator<Item = &'p str>, policy: &Policy, profile: &Profile<'_>) -> String {
    let mut detail = Map::new();
    for path in paths {
        let Some(read) = policy.reads().iter().find(|read| *read.path == *path) else { continue };
        if read.field.is_personal() {
            continue;
        }
        let value = match profile.value(&read.field) {
            Value::Missing => serde_json::Value::Null,
            Value::Bool(value) => value.into(),
            Value::Int(value) => value.into(),
            Value::Text(text) => text.into(),
            Value::Texts(texts) => texts.into(),
            Value::Json(value) => value,
        };
        detail.insert(path.to_owned(), value);
    }
    serde_json::Value::Object(detail).to_string()
}

/// A map of those of the fields that begin alike; what is missing is left out, so that `has()` tells.
struct Customer<'a> {
    /// In the order of their paths.
    reads: &'a [Read],
    profile: &'a Profile<'a>,
    /// How much of each path was read.
    at: usize,
}

impl Serialize for Customer<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let mut reads = self.reads;
        while let Some(first) = reads.first() {
            let rest = &first.path[self.at..];
            if let Some((name, _)) = rest.split_once('.')
                && !first.field.is_personal()
            {
                let at = self.at + name.len() + 1;
                let prefix = &first.path[..at];
                let count = reads.iter().take_while(|read| read.path.starts_with(prefix)).count();
                let (inside, after) = reads.split_at(count);
                map.serialize_entry(name, &Customer { reads: inside, profile: self.profile, at })?;
                reads = after;
                continue;
            }
            reads = &reads[1..];
            if first.field.is_personal() {
                // Traits are read by any name: they come as they are, once.
                reads = &reads[reads.iter().take_while(|read| read.field.is_personal()).count()..];
                if let Value::Json(traits) = self.profile.value(&crate::field::Field::Traits) {
                    map.serialize_entry("traits", &Json(&traits))?;
                }
                continue;
            }
            match self.profile.value(&first.field) {
                Value::Missing => {}
                Value::Bool(value) => map.serialize_entry(rest, &value)?,
                Value::Int(value) => map.serialize_entry(rest, &value)?,
                Value::Text(value) => map.serialize_entry(rest, value)?,
                Value::Texts(value) => map.serialize_entry(rest, &value)?,
                Value::Json(value) => map.serialize_entry(rest, &Json(&value))?,
            }
        }
        map.end()
    }
}

struct Json<'v>(&'v serde_json::Value);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize_json(self.0, serializer)
    }
}
