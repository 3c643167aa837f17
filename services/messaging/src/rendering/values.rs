//! What a template sees: the request's context as Liquid values.
//!
//! Wanted properties:
//! - in the HTML part every text is escaped before the template gets it, so that no filter, comparison or loop can put
//!   a customer's text into the page as markup;
//! - a link that is not `http`, `https` or `mailto` is not there;
//! - what is not known is empty, at every depth, rather than an error;
//! - texts and lists have a longest length.

use std::collections::BTreeMap;
use std::fmt;

use liquid_core::model::{ArrayView, DisplayCow, KStringCow, ObjectView, ScalarCow, State, Value, ValueView};
use serde_json::Value as Json;

use super::escape::{self, Part};

/// A longer text is cut.
const MAX_TEXT_BYTES: usize = 4_096;
/// A longer list is cut.
const MAX_ITEMS: usize = 200;

/// A value that a template sees.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Nil,
    Scalar(Value),
    List(Vec<Self>),
    Map(BTreeMap<String, Self>),
}

static NIL: Node = Node::Nil;
static LIQUID_NIL: Value = Value::Nil;

impl Node {
    /// The values of a JSON text for one part of the message.
    pub(super) fn of(json: &Json, part: Part) -> Self {
        match json {
            Json::Null => Self::Nil,
            Json::Bool(flag) => Self::Scalar(Value::scalar(*flag)),
            Json::Number(number) => {
                let whole = number.as_i64().map(Value::scalar);
                Self::Scalar(whole.unwrap_or_else(|| Value::scalar(number.as_f64().unwrap_or_default())))
            }
            Json::String(text) => Self::text(text, part),
            Json::Array(items) => Self::List(items.iter().take(MAX_ITEMS).map(|item| Self::of(item, part)).collect()),
            Json::Object(fields) => {
                let field = |(name, value): (&String, &Json)| {
                    let value = match value.as_str() {
                        Some(link) if names_a_link(name) => Self::link(link, part),
                        _ => Self::of(value, part),
                    };
                    (name.clone(), value)
                };
                Self::Map(fields.iter().map(field).collect())
            }
        }
    }

    /// A text, escaped as its part of the message wants it.
    pub(super) fn text(text: &str, part: Part) -> Self {
        let end = text.floor_char_boundary(MAX_TEXT_BYTES);
        Self::Scalar(Value::scalar(escape::escape(&text[..end], part).into_owned()))
    }

    fn link(link: &str, part: Part) -> Self {
        let link = link.trim();
        let scheme = link.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
        let is_safe = matches!(scheme.as_deref(), Some("http" | "https" | "mailto"));
        if is_safe && !link.contains(char::is_control) { Self::text(link, part) } else { Self::Nil }
    }

    fn liquid(&self) -> &Value {
        match self {
            Self::Scalar(value) => value,
            _ => &LIQUID_NIL,
        }
    }
}

fn names_a_link(name: &str) -> bool {
    matches!(name, "url" | "href" | "link" | "src" | "image") || name.ends_with("_url")
}

impl ValueView for Node {
    fn as_debug(&self) -> &dyn fmt::Debug {
        self
    }

    fn render(&self) -> DisplayCow<'_> {
        match self {
            Self::List(items) => items.render(),
            Self::Map(_) | Self::Nil => LIQUID_NIL.render(),
            Self::Scalar(value) => value.render(),
        }
    }

    fn source(&self) -> DisplayCow<'_> {
        self.render()
    }

    fn type_name(&self) -> &'static str {
        match self {
            Self::List(_) => "array",
            Self::Map(_) => "object",
            Self::Nil | Self::Scalar(_) => self.liquid().type_name(),
        }
    }

    fn query_state(&self, state: State) -> bool {
        match self {
            Self::List(items) => items.query_state(state),
            Self::Map(fields) => state == State::Truthy || fields.is_empty(),
            Self::Nil | Self::Scalar(_) => self.liquid().query_state(state),
        }
    }

    fn to_kstr(&self) -> KStringCow<'_> {
        match self {
            Self::List(items) => items.to_kstr(),
            _ => self.liquid().to_kstr(),
        }
    }

    fn to_value(&self) -> Value {
        match self {
            Self::Nil | Self::Scalar(_) => self.liquid().clone(),
            Self::List(items) => items.to_value(),
            Self::Map(fields) => {
                Value::Object(fields.iter().map(|(name, value)| (name.clone().into(), value.to_value())).collect())
            }
        }
    }

    fn as_scalar(&self) -> Option<ScalarCow<'_>> {
        self.liquid().as_scalar()
    }

    fn as_array(&self) -> Option<&dyn ArrayView> {
        if let Self::List(items) = self { Some(items) } else { None }
    }

    /// What is not there is an object without fields, so that what would be in it is not there either.
    fn as_object(&self) -> Option<&dyn ObjectView> {
        if matches!(self, Self::Map(_) | Self::Nil) { Some(self) } else { None }
    }

    fn is_nil(&self) -> bool {
        matches!(self, Self::Nil)
    }
}

impl Node {
    fn fields(&self) -> impl Iterator<Item = (&String, &Self)> {
        if let Self::Map(fields) = self { Some(fields) } else { None }.into_iter().flatten()
    }
}

impl ObjectView for Node {
    fn as_value(&self) -> &dyn ValueView {
        self
    }

    fn size(&self) -> i64 {
        self.fields().count() as i64
    }

    fn keys<'k>(&'k self) -> Box<dyn Iterator<Item = KStringCow<'k>> + 'k> {
        Box::new(self.fields().map(|(name, _)| name.as_str().into()))
    }

    fn values<'k>(&'k self) -> Box<dyn Iterator<Item = &'k dyn ValueView> + 'k> {
        Box::new(self.fields().map(|(_, value)| value as &dyn ValueView))
    }

    fn iter<'k>(&'k self) -> Box<dyn Iterator<Item = (KStringCow<'k>, &'k dyn ValueView)> + 'k> {
        Box::new(self.fields().map(|(name, value)| (name.as_str().into(), value as &dyn ValueView)))
    }

    fn contains_key(&self, index: &str) -> bool {
        if let Self::Map(fields) = self { fields.contains_key(index) } else { false }
    }

    fn get<'s>(&'s self, index: &str) -> Option<&'s dyn ValueView> {
        let found = if let Self::Map(fields) = self { fields.get(index) } else { None };
        // Liquid itself answers `size` where there is no field of that name.
        found.or_else(|| (index != "size").then_some(&NIL)).map(|value| value as &dyn ValueView)
    }
}
