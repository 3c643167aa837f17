//! Reads a section of the tree into its type, with every error at its key.
//!
//! serde's derived code stops at the first error; this reader finds unknown keys on the way (it is told the fields of
//! each struct), says where an error is, and lets [`super::layout`] put the default there and read on.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;

use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{self, DeserializeSeed, Deserializer, IntoDeserializer, Visitor};

use super::bounded::read_text;
use super::problems::{hint, shown};
use super::secret::{MAX_SECRET_SIZE, SECRET, SECRET_FILE};
use super::sources::parse_inline;
use super::tree::{Node, Value};

/// What was seen while a section was read.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Keys that no struct knows, with what to do.
    pub(super) unknown: RefCell<Vec<(Vec<String>, String)>>,
    /// Keys whose values are secrets.
    pub(super) secrets: RefCell<BTreeSet<Vec<String>>>,
}

/// An error at a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ReadError {
    pub(super) path: Option<Vec<String>>,
    pub(super) message: String,
}

impl ReadError {
    /// An error without a place gets this one.
    fn located(self, path: Vec<String>) -> Self {
        Self { path: self.path.or(Some(path)), ..self }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ReadError {}

impl de::Error for ReadError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { path: None, message: message.to_string() }
    }

    fn missing_field(field: &'static str) -> Self {
        Self::custom(format_args!("`{field}` is missing and has no default: set it"))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let variant: String = variant.chars().take(40).collect();
        let hint = hint(&variant, expected.iter().copied());
        Self::custom(format_args!("`{variant}` is not one of the values; {hint}"))
    }
}

/// Reads one node.
#[derive(Clone)]
pub(super) struct Reader<'a> {
    node: &'a Node,
    path: Vec<String>,
    seen: &'a Seen,
    /// The key ended with `_file`: the node is the path of a file that holds the value, which must be a secret.
    from_file: bool,
}

type Read<T> = Result<T, ReadError>;

impl<'a> Reader<'a> {
    pub(super) fn new(node: &'a Node, path: Vec<String>, seen: &'a Seen) -> Self {
        Self { node, path, seen, from_file: false }
    }

    fn child(&self, key: &str, node: &'a Node) -> Self {
        let mut path = self.path.clone();
        path.push(key.to_owned());
        Self { node, path, seen: self.seen, from_file: false }
    }

    /// Runs a visitor here.
    fn here<T>(self, read: impl FnOnce(&Self) -> Read<T>) -> Read<T> {
        if self.from_file {
            return Err(self.fail("unknown key: what it would name is no secret".to_owned()));
        }
        read(&self).map_err(|error| error.located(self.path))
    }

    fn fail(&self, message: String) -> ReadError {
        ReadError { path: Some(self.path.clone()), message }
    }

    fn wanted(&self, what: &str) -> ReadError {
        self.fail(format!("{} stands here, {what} is expected", self.node.value.kind()))
    }

    /// The text of a value that came from where everything is text.
    fn untyped(&self) -> Option<&'a str> {
        match &self.node.value {
            Value::Text(text) if self.node.origin.is_untyped() => Some(text.trim()),
            _ => None,
        }
    }

    fn parse<T: std::str::FromStr>(&self, text: &str, what: &str) -> Read<T> {
        let shown: String = text.chars().take(40).collect();
        text.parse().map_err(|_| self.fail(format!("`{shown}` is not {what}")))
    }

    fn integer(&self) -> Read<i64> {
        match &self.node.value {
            Value::Integer(number) => Ok(*number),
            _ => match self.untyped() {
                Some(text) => self.parse(text, "a whole number"),
                None => Err(self.wanted("a whole number")),
            },
        }
    }

    fn float(&self) -> Read<f64> {
        match &self.node.value {
            Value::Float(number) => Ok(*number),
            Value::Integer(number) => Ok(*number as f64),
            _ => match self.untyped() {
                Some(text) => self.parse(text, "a number"),
                None => Err(self.wanted("a number")),
            },
        }
    }

    fn boolean(&self) -> Read<bool> {
        match &self.node.value {
            Value::Bool(flag) => Ok(*flag),
            _ => match self.untyped() {
                Some(text) => self.parse(text, "true or false"),
                None => Err(self.wanted("true or false")),
            },
        }
    }

    fn text(&self) -> Read<&'a str> {
        match &self.node.value {
            Value::Text(text) => Ok(text),
            _ => Err(self.wanted("a text in quotes")),
        }
    }

    /// A list: `[a, b]`, or, in the environment and in flags, also `a,b`.
    fn list(&self) -> Read<Vec<Node>> {
        let node = |value| Node { value, origin: self.node.origin.clone() };
        match (&self.node.value, self.untyped()) {
            (Value::Array(items), _) => Ok(items.clone()),
            (_, Some("")) => Ok(Vec::new()),
            (_, Some(text)) if text.starts_with('[') => match parse_inline(text, &self.node.origin) {
                Some(Value::Array(items)) => Ok(items),
                _ => Err(self.fail("is not a list; write it like a,b or [\"a\", \"b\"]".to_owned())),
            },
            (_, Some(text)) => Ok(text.split(',').map(|item| node(Value::Text(item.trim().to_owned()))).collect()),
            _ => Err(self.wanted("a list")),
        }
    }

    /// The secret itself, from where secrets may come from.
    fn secret(&self, from_file: bool) -> Read<String> {
        self.seen.secrets.borrow_mut().insert(self.path.clone());
        if from_file {
            return self.text().and_then(|path| read_secret(path).map_err(|message| self.fail(message)));
        }
        if let (Value::Text(text), super::Origin::Environment(_)) = (&self.node.value, &self.node.origin) {
            return Ok(text.clone());
        }
        let key = shown(&self.path.join("."));
        let variable = shown(&self.path.join("__").replace('.', "_").to_ascii_uppercase());
        Err(self.fail(format!(
            "a secret is not written here: name a file that holds it with `{key}_file`, or set VUELVE__{variable}"
        )))
    }

    /// The keys of a struct with their readers; unknown ones are noted and left out.
    fn fields(&self, fields: &'static [&'static str]) -> Read<Vec<(String, Self)>> {
        let Value::Table(table) = &self.node.value else {
            return Err(self.wanted("a table"));
        };
        let mut known = Vec::with_capacity(table.len());
        for (key, node) in table {
            // A secret has no default, so what has one is no secret.
            let has_default = |key: &&str| table.get(*key).is_some_and(|node| node.origin == super::Origin::Default);
            let of_file = key.strip_suffix("_file").filter(|key| fields.contains(key) && !has_default(key));
            if fields.contains(&key.as_str()) {
                known.push((key.clone(), self.child(key, node)));
            } else if let Some(secret) = of_file {
                if table.contains_key(secret) {
                    let message = format!("both `{secret}` and `{key}` are given: keep one");
                    return Err(self.child(key, node).fail(message));
                }
                known.push((secret.to_owned(), Self { from_file: true, ..self.child(key, node) }));
            } else {
                let message = format!("unknown key; {}", hint(key, fields.iter().copied()));
                self.seen.unknown.borrow_mut().push((self.child(key, node).path, message));
            }
        }
        Ok(known)
    }
}

fn read_secret(path: &str) -> Result<String, String> {
    let text = read_text(path.as_ref(), MAX_SECRET_SIZE).map_err(|problem| format!("{path} {problem}"))?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(format!("{path} is empty; a secret is expected in it")),
        secret => Ok(secret.to_owned()),
    }
}

macro_rules! deserialize_integers {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
            self.here(|reader| visitor.visit_i64(reader.integer()?))
        }
    )*};
}

macro_rules! deserialize_texts {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
            self.here(|reader| visitor.visit_str(reader.text()?))
        }
    )*};
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = ReadError;

    deserialize_integers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
    }

    deserialize_texts! { deserialize_char deserialize_str deserialize_string deserialize_identifier }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        match &self.node.value {
            Value::Bool(_) => self.deserialize_bool(visitor),
            Value::Integer(_) => self.deserialize_i64(visitor),
            Value::Float(_) => self.deserialize_f64(visitor),
            Value::Text(_) => self.deserialize_str(visitor),
            Value::Array(_) => self.deserialize_seq(visitor),
            Value::Table(_) => self.deserialize_map(visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        self.here(|reader| visitor.visit_bool(reader.boolean()?))
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        self.here(|reader| visitor.visit_f64(reader.float()?))
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        self.deserialize_any(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        self.deserialize_any(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        visitor.visit_some(self)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        self.deserialize_any(visitor)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Read<V::Value> {
        self.deserialize_any(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Read<V::Value> {
        if name == SECRET || name == SECRET_FILE {
            let secret = self.secret(self.from_file || name == SECRET_FILE)?;
            return visitor.visit_newtype_struct(secret.into_deserializer());
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        self.here(|reader| {
            let items = reader.list()?;
            let mut items = items.iter().enumerate();
            visitor
                .visit_seq(Items { next: &mut || items.next().map(|(at, item)| reader.child(&at.to_string(), item)) })
        })
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Read<V::Value> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(self, _: &'static str, _: usize, visitor: V) -> Read<V::Value> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        let parsed =
            self.untyped().filter(|text| text.starts_with('{')).and_then(|text| parse_inline(text, &self.node.origin));
        if let Some(value) = parsed {
            let node = Node { value, origin: self.node.origin.clone() };
            return Reader { node: &node, ..self }.deserialize_map(visitor);
        }
        self.here(|reader| {
            let Value::Table(table) = &reader.node.value else {
                return Err(reader.wanted("a table"));
            };
            let entries = table.iter().map(|(key, node)| (key.clone(), reader.child(key, node))).collect();
            visitor.visit_map(Entries::new(entries))
        })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Read<V::Value> {
        self.here(|reader| visitor.visit_map(Entries::new(reader.fields(fields)?)))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Read<V::Value> {
        self.here(|reader| match &reader.node.value {
            Value::Text(text) => visitor.visit_enum(IntoDeserializer::<ReadError>::into_deserializer(text.trim())),
            Value::Table(table) if table.len() == 1 => {
                let entries = table.iter().map(|(key, node)| (key.clone(), reader.child(key, node))).collect();
                visitor.visit_enum(MapAccessDeserializer::new(Entries::new(entries)))
            }
            _ => Err(reader.wanted("one of a few words")),
        })
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! { i128 u128 }
}

/// Reads a value within another one: what its type refuses after it was read is wrong at its key too.
fn read_located<'de, S: DeserializeSeed<'de>>(seed: S, reader: Reader<'_>) -> Read<S::Value> {
    let path = reader.path.clone();
    seed.deserialize(reader).map_err(|error| error.located(path))
}

struct Items<'n, 'a> {
    next: &'n mut dyn FnMut() -> Option<Reader<'a>>,
}

impl<'de> de::SeqAccess<'de> for Items<'_, '_> {
    type Error = ReadError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Read<Option<T::Value>> {
        (self.next)().map(|reader| read_located(seed, reader)).transpose()
    }
}

struct Entries<'a> {
    rest: std::vec::IntoIter<(String, Reader<'a>)>,
    value: Option<Reader<'a>>,
}

impl<'a> Entries<'a> {
    fn new(entries: Vec<(String, Reader<'a>)>) -> Self {
        Self { rest: entries.into_iter(), value: None }
    }
}

impl<'de> de::MapAccess<'de> for Entries<'_> {
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Read<Option<K::Value>> {
        let Some((key, reader)) = self.rest.next() else { return Ok(None) };
        self.value = Some(reader);
        seed.deserialize(StrDeserializer::<ReadError>::new(&key)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Read<V::Value> {
        match self.value.take() {
            Some(reader) => read_located(seed, reader),
            None => Err(de::Error::custom("a value was asked for before its key")),
        }
    }
}
