//! A `mapping:` file: which events a signed webhook of any sender becomes, said in CEL.
//!
//! Wanted properties:
//! - pure; what is made of a payload is bounded, and so are loops: one below `each`, else two, over what the caller lets in;
//! - what the payload lacks, or has as null, is left out of the event; what can't be computed is told with its place, and so is
//!   what an element of a list lacks, for which the whole list would be missing;
//! - the same webhook becomes the same message ids, and no two events have the same, in whichever order lists come.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use domain::{HumanDuration, Timestamp};
use serde_json::{Map, Value, json};

use crate::document::digest;
use crate::expression::{EvaluationError, Expression, Scope, serialize_json};

/// Webhooks become no more events.
const MAX_CALLS: usize = 2_500;
/// Fields of a call that are computed: as they are written here, and as the specification has them.
pub(crate) const COMPUTED: [(&str, &str); 6] = [
    ("user_id", "userId"),
    ("anonymous_id", "anonymousId"),
    ("previous_id", "previousId"),
    ("group_id", "groupId"),
    ("name", "name"),
    ("timestamp", "timestamp"),
];
/// Fields of a call that hold others.
pub(crate) const PARTS: [&str; 3] = ["properties", "traits", "context"];
/// What the webhooks of a sender become.
#[derive(Clone, Debug, PartialEq)]
pub struct Mapping {
    /// Its name: what events say that they came by.
    pub name: Arc<str>,
    /// How its sender signs.
    pub signature: Signature,
    /// What is not wanted by any event.
    pub otherwise: Otherwise,
    /// What names the delivery: a repeat has the same.
    pub(crate) delivery: Option<Expression>,
    pub(crate) events: Vec<EventMapping>,
}

/// How a sender signs: HMAC with SHA-256 over the body, or over the values of some headers and the body, each followed by a dot
/// but the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The header of the signature, in lower case. It may hold several, with spaces between them.
    pub header: String,
    /// How the signature is written.
    pub encoding: Encoding,
    /// What stands before it.
    pub prefix: String,
    /// The headers, in lower case, whose values are signed before the body.
    pub before_body: Vec<String>,
    /// The header that says when it was signed, in lower case, in seconds since 1970; and how far from now that may be.
    pub timestamp: Option<(String, HumanDuration)>,
    /// How the secret is written.
    pub secret: SecretForm,
}

/// How a signature is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Hexadecimal digits.
    Hex,
    /// Base64 of the standard alphabet.
    Base64,
}

/// How a secret is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretForm {
    /// Its bytes are the key.
    Text,
    /// `whsec_` and the key in base64.
    StandardWebhooks,
}

/// What becomes of a webhook that no event wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Otherwise {
    /// It goes to the dead letters.
    DeadLetter,
    /// Nothing.
    Ignore,
}

/// One event that a webhook may become, or one for each element of a list.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct EventMapping {
    pub(crate) each: Option<Expression>,
    pub(crate) when: Option<Expression>,
    pub(crate) call: &'static str,
    pub(crate) event: Option<Name>,
    pub(crate) computed: Vec<((&'static str, &'static str), Expression)>,
    pub(crate) parts: Vec<(&'static str, Vec<(String, Expression)>)>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Name {
    Fixed(Arc<str>),
    Computed(Expression),
}

/// What could not be computed, and where; without any value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappingError {
    /// As `events[1].properties.total`.
    pub place: String,
    /// Why not.
    pub error: EvaluationError,
}

impl fmt::Display for MappingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` can't be computed: {}", self.place, self.error.word())
    }
}

/// What events are made of.
#[derive(Clone, Copy, Debug)]
pub struct Delivered<'a> {
    /// The body.
    pub payload: &'a Value,
    /// The request's headers, their names in lower case.
    pub headers: &'a BTreeMap<&'a str, &'a str>,
    /// When it came.
    pub now: Timestamp,
    /// Names the webhook among all that there are, without a colon: message ids begin with it.
    pub source: &'a str,
    /// A hash of the body: names a delivery that nothing else names.
    pub hash: &'a str,
    /// How many bytes of JSON may be made of it.
    pub max_bytes: usize,
}

impl Mapping {
    /// Whether anything of it goes through a list or a map.
    pub fn has_loops(&self) -> bool {
        let loops = |expression: &Expression| expression.reads().in_a_loop;
        let event_loops = |event: &EventMapping| {
            let name = match &event.event {
                Some(Name::Computed(name)) => Some(name),
                _ => None,
            };
            let parts = event.parts.iter().flat_map(|(_, fields)| fields.iter().map(|(_, expression)| expression));
            let computed = event.computed.iter().map(|(_, expression)| expression);
            let all = event.each.iter().chain(&event.when).chain(name).chain(computed).chain(parts);
            all.into_iter().any(loops)
        };
        self.delivery.as_ref().is_some_and(loops) || self.events.iter().any(event_loops)
    }

    /// The calls of the Segment specification that a webhook becomes, in the order of the mapping; none if no event wants it.
    pub fn events(&self, delivered: Delivered<'_>) -> Result<Vec<Value>, MappingError> {
        let Delivered { payload, headers, now, source, hash, max_bytes } = delivered;
        let mut scope = Scope::new();
        scope.set("payload", Lean(payload));
        scope.set("headers", headers);
        scope.set("now", now.as_millis());
        let mut making = Making { scope, max_bytes, place: None, calls: Vec::new(), bytes: 0, mapping: &self.name };
        let delivery = match &self.delivery {
            Some(expression) => making.value(expression, "delivery")?,
            None => None,
        };
        let delivery = delivery.as_ref().and_then(as_text).unwrap_or_else(|| format!("h-{hash}"));
        for (index, event) in self.events.iter().enumerate() {
            making.place = Some(index);
            let id = format!("{source}:{delivery}:{index}");
            let Some(each) = &event.each else {
                making.add(event, id)?;
                continue;
            };
            let items = match making.value(each, "each")? {
                None => continue,
                Some(Value::Array(items)) => items,
                Some(_) => return Err(making.error("each", EvaluationError::WrongType)),
            };
            // By what it says, and not by its place: a list that was made of a map comes in any order.
            let mut seen = BTreeMap::<String, usize>::new();
            for item in &items {
                let item_hash = digest(&item.to_string()).split_off(48);
                let repeats = seen.entry(item_hash.clone()).or_default();
                *repeats += 1;
                let id =
                    if *repeats == 1 { format!("{id}.{item_hash}") } else { format!("{id}.{item_hash}-{repeats}") };
                making.scope.set("item", Lean(item));
                making.add(event, id)?;
            }
        }
        Ok(making.calls)
    }
}

/// Calls in the making.
struct Making<'m> {
    scope: Scope,
    max_bytes: usize,
    /// Which event of the mapping is made; none yet.
    place: Option<usize>,
    calls: Vec<Value>,
    /// What the calls have as JSON.
    bytes: usize,
    mapping: &'m str,
}

impl Making<'_> {
    /// The value of an expression; none if what it looks at is not there, or is null.
    fn value(&self, expression: &Expression, field: &str) -> Result<Option<Value>, MappingError> {
        match expression.value(&self.scope, self.max_bytes) {
            Ok(Value::Null) => Ok(None),
            Ok(value) => Ok(Some(value)),
            Err(EvaluationError::MissingValue) if !expression.reads().in_a_loop => Ok(None),
            Err(error) => Err(self.error(field, error)),
        }
    }

    /// Whether a condition holds. What looks at something that is not there does not.
    fn holds(&self, condition: &Expression) -> Result<bool, MappingError> {
        match condition.evaluate(&self.scope) {
            Err(EvaluationError::MissingValue) if !condition.reads().in_a_loop => Ok(false),
            answer => answer.map_err(|error| self.error("when", error)),
        }
    }

    fn error(&self, field: &str, error: EvaluationError) -> MappingError {
        let place = self.place.map_or_else(|| field.to_owned(), |index| format!("events[{index}].{field}"));
        MappingError { place, error }
    }

    /// Adds a call for an event, if it is wanted.
    fn add(&mut self, event: &EventMapping, message_id: String) -> Result<(), MappingError> {
        if let Some(when) = &event.when
            && !self.holds(when)?
        {
            return Ok(());
        }
        let mut call = Map::new();
        call.insert("type".to_owned(), event.call.into());
        call.insert("messageId".to_owned(), message_id.into());
        let name = match &event.event {
            Some(Name::Fixed(name)) => Some(Value::from(&**name)),
            Some(Name::Computed(name)) => self.value(name, "event_from")?,
            None => None,
        };
        call.extend(name.map(|name| ("event".to_owned(), name)));
        for ((own, field), expression) in &event.computed {
            call.extend(self.value(expression, own)?.map(|value| ((*field).to_owned(), value)));
        }
        for (part, fields) in &event.parts {
            let mut values = Map::new();
            for (field, expression) in fields {
                let value = self.value(expression, &format!("{part}.{field}"))?;
                values.extend(value.map(|value| (field.clone(), value)));
            }
            call.insert((*part).to_owned(), Value::Object(values));
        }
        let context = call.entry("context").or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(context) = context {
            context.entry("library").or_insert_with(|| json!({ "name": format!("{}-webhook", self.mapping) }));
        }
        let call = Value::Object(call);
        self.bytes += call.to_string().len();
        if self.bytes > self.max_bytes || self.calls.len() == MAX_CALLS {
            return Err(self.error("call", EvaluationError::TooLarge));
        }
        self.calls.push(call);
        Ok(())
    }
}

/// A text or a number as a text.
fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.trim().is_empty() => Some(text.trim().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// JSON as CEL sees it: without members that are null, so that what is null is as what is not there, and with whole numbers
/// as CEL's `int`.
pub(crate) struct Lean<'a>(pub(crate) &'a Value);

impl serde::Serialize for Lean<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Object(object) => serializer.collect_map(
                object.iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name, Lean(value))),
            ),
            Value::Array(items) => serializer.collect_seq(items.iter().map(Lean)),
            value => serialize_json(value, serializer),
        }
    }
}
