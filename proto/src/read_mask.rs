//! Which fields of a message are wanted.
//!
//! Wanted properties:
//! - what a mask does not name is not given, at whatever depth; what it names is given as it is;
//! - a path that names nothing is refused, and named: nobody takes a typing error for a field that is empty.
//!
//! Both follow from the contract's own descriptors, so that no list of fields stands beside it.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use prost::Message;
use prost::bytes::{Buf, BufMut};
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, encode_varint, skip_field};
pub use prost_types::FieldMask;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};

use crate::{DESCRIPTORS, Refusal};

/// The messages of the contract, by their full names.
static MESSAGES: LazyLock<BTreeMap<String, DescriptorProto>> = LazyLock::new(|| {
    let files = FileDescriptorSet::decode(DESCRIPTORS).unwrap_or_default().file;
    let in_file = |file: prost_types::FileDescriptorProto| {
        let package = file.package.unwrap_or_default();
        file.message_type.into_iter().map(move |message| (format!("{package}.{}", message.name()), message))
    };
    files.into_iter().flat_map(in_file).collect()
});

/// Which fields of a message are wanted: those of a `google.protobuf.FieldMask`, and those that are always given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadMask(Wanted);

/// Of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    All,
    /// By number.
    Fields(BTreeMap<u32, Wanted>),
}

impl ReadMask {
    /// Of the message with this full name, beside the fields that are given `always`. No mask, an empty one and `*` want all.
    pub fn new(mask: Option<&FieldMask>, message: &str, always: &[&str]) -> Result<Self, Refusal> {
        let Some(FieldMask { paths }) = mask.filter(|mask| !mask.paths.is_empty()) else {
            return Ok(Self(Wanted::All));
        };
        let invalid = |problem| Refusal::Invalid { field: "read_mask", problem };
        let mut wanted = Wanted::Fields(BTreeMap::new());
        for path in paths.iter().map(String::as_str).chain(always.iter().copied()) {
            if path != "*" {
                wanted.add(path, message).map_err(invalid)?;
            }
        }
        let all = paths.iter().any(|path| path == "*");
        Ok(Self(if all { Wanted::All } else { wanted }))
    }

    /// The message with these fields alone.
    pub fn keep<M: Message + Default>(&self, message: M) -> M {
        let Wanted::Fields(_) = &self.0 else { return message };
        let mut kept = Vec::new();
        // What was encoded here can be read here.
        let read = self.0.copy(&message.encode_to_vec(), &mut kept);
        read.and_then(|()| M::decode(&kept[..]).ok()).unwrap_or_default()
    }
}

impl Wanted {
    /// Adds what a path names; an error says that it names nothing.
    fn add(&mut self, path: &str, message: &str) -> Result<(), String> {
        let mut wanted = self;
        let mut message = message;
        let mut names = path.split('.').peekable();
        while let Some(name) = names.next() {
            let field =
                field(message, name).ok_or_else(|| format!("`{path}`: there is no field `{name}` in {message}"))?;
            let is_last = names.peek().is_none();
            if !is_last && field.label() == Label::Repeated {
                return Err(format!("`{path}` goes into a list: `{name}` is given as a whole"));
            }
            if !is_last && field.r#type() != Type::Message {
                return Err(format!("`{path}`: nothing is in `{name}`"));
            }
            let number = field.number() as u32;
            wanted = match wanted {
                // Within what is wanted as a whole; the rest of the path is checked all the same.
                Self::All => wanted,
                Self::Fields(fields) => fields.entry(number).or_insert_with(|| Self::Fields(BTreeMap::new())),
            };
            message = field.type_name().trim_start_matches('.');
        }
        *wanted = Self::All;
        Ok(())
    }

    /// Copies the wanted fields of an encoded message; none where it can't be read.
    fn copy(&self, mut from: &[u8], to: &mut Vec<u8>) -> Option<()> {
        let fields = match self {
            Self::All => {
                to.put_slice(from);
                return Some(());
            }
            Self::Fields(fields) => fields,
        };
        while from.has_remaining() {
            let whole = from;
            let (number, wire_type) = decode_key(&mut from).ok()?;
            let key = &whole[..whole.len() - from.len()];
            let value = from;
            skip_field(wire_type, number, &mut from, DecodeContext::default()).ok()?;
            match fields.get(&number) {
                None => {}
                Some(inside @ Self::Fields(_)) if wire_type == WireType::LengthDelimited => {
                    let mut value = value;
                    let length = usize::try_from(decode_varint(&mut value).ok()?).ok()?;
                    let mut kept = Vec::new();
                    inside.copy(value.get(..length)?, &mut kept)?;
                    to.put_slice(key);
                    encode_varint(kept.len() as u64, to);
                    to.put_slice(&kept);
                }
                Some(_) => to.put_slice(&whole[..whole.len() - from.len()]),
            }
        }
        Some(())
    }
}

fn field<'d>(message: &str, name: &str) -> Option<&'d FieldDescriptorProto> {
    MESSAGES.get(message)?.field.iter().find(|field| field.name() == name)
}
