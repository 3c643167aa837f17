//! A contract: a Rust type, its name, and its schema compiled in.

use std::fmt;
use std::sync::OnceLock;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::changelog::HEADER_AVSC;

/// A record type that travels on a topic.
pub trait Contract: Serialize + DeserializeOwned + 'static {
    /// Name of the record, such as `StorefrontEvent`.
    const NAME: &'static str;

    /// Its current schema: what is written.
    fn schema() -> &'static AvroSchema;
}

/// A record's full name and its schema text, to be set in where another schema first names it.
pub(crate) type Part = (&'static str, &'static str);

/// A schema that is compiled in; composed and parsed at its first use.
pub struct AvroSchema {
    name: &'static str,
    source: Source,
    parts: &'static [Part],
    compiled: OnceLock<Compiled>,
}

struct Compiled {
    text: String,
    parsed: serde_avro_fast::Schema,
}

#[derive(Clone, Copy)]
enum Source {
    Record(&'static str),
    Changelog { namespace: &'static str, state: &'static str },
}

impl AvroSchema {
    /// The schema of a record that is written whole in one text.
    pub const fn record(name: &'static str, avsc: &'static str) -> Self {
        Self::record_with(name, avsc, &[])
    }

    /// The same, with other records' texts set in where it first names them.
    pub(crate) const fn record_with(name: &'static str, avsc: &'static str, parts: &'static [Part]) -> Self {
        Self { name, source: Source::Record(avsc), parts, compiled: OnceLock::new() }
    }

    /// The schema of a changelog: the header, the customer's time, and the state whose schema is given.
    ///
    /// The state's schema names its own namespace.
    pub const fn changelog(name: &'static str, namespace: &'static str, state_avsc: &'static str) -> Self {
        Self::changelog_with(name, namespace, state_avsc, &[])
    }

    /// The same, with other records' texts set in where the state's first names them.
    pub(crate) const fn changelog_with(
        name: &'static str,
        namespace: &'static str,
        state_avsc: &'static str,
        parts: &'static [Part],
    ) -> Self {
        Self { name, source: Source::Changelog { namespace, state: state_avsc }, parts, compiled: OnceLock::new() }
    }

    /// Name of the record.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The whole schema as JSON text, as it is registered.
    pub fn text(&self) -> &str {
        &self.compiled().text
    }

    /// The schema as the encoder wants it.
    pub(crate) fn parsed(&self) -> &serde_avro_fast::Schema {
        &self.compiled().parsed
    }

    fn compiled(&self) -> &Compiled {
        self.compiled.get_or_init(|| {
            let text = match self.source {
                Source::Record(avsc) => avsc.to_owned(),
                Source::Changelog { namespace, state } => compose_changelog(self.name, namespace, state),
            };
            let text = self
                .parts
                .iter()
                .fold(text, |text, (name, part)| text.replacen(&format!("\"{name}\""), part.trim_end(), 1));
            let parsed = text.parse().unwrap_or_else(|error| {
                panic!("the compiled-in schema {} does not parse, which its crate's tests rule out: {error}", self.name)
            });
            Compiled { text, parsed }
        })
    }
}

impl fmt::Debug for AvroSchema {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("AvroSchema").field(&self.name).finish()
    }
}

/// One text, because names are resolved within one text only. Put together as text, not as JSON values, so that what
/// is registered is the same whatever the order of a JSON library's maps.
fn compose_changelog(name: &str, namespace: &str, state: &str) -> String {
    let (header, state) = (HEADER_AVSC.trim_end(), state.trim_end());
    format!(
        r#"{{
"type": "record", "name": "{name}", "namespace": "{namespace}",
"doc": "A record of the changelog: a header, or the state of a key. A null value ends the key's state.",
"fields": [
{{"name": "header", "doc": "How far the partition got; in records under the header's key.", "default": null, "type": ["null", {header}]}},
{{"name": "time", "doc": "The customer's own time.", "default": null, "type": ["null", {{"type": "long", "logicalType": "timestamp-millis"}}]}},
{{"name": "state", "doc": "The state of the key.", "default": null, "type": ["null", {state}]}}
]
}}
"#
    )
}

/// Writes which fields are there and none of what they hold.
pub(crate) fn debug_present(
    formatter: &mut fmt::Formatter<'_>,
    name: &str,
    fields: &[(&'static str, &Option<String>)],
) -> fmt::Result {
    let present: Vec<&str> = fields.iter().filter(|(_, value)| value.is_some()).map(|(name, _)| *name).collect();
    formatter.debug_tuple(name).field(&present).finish()
}

macro_rules! record_contract {
    ($record:ident, $schema:ident) => {
        impl crate::Contract for $record {
            const NAME: &'static str = stringify!($record);

            fn schema() -> &'static crate::AvroSchema {
                &$schema
            }
        }
    };
}
pub(crate) use record_contract;

static ALL: &[&AvroSchema] = &[
    &crate::STOREFRONT_EVENT,
    &crate::JOURNEY_DECISION,
    &crate::SEGMENT_CHANGE,
    &crate::ADMISSION,
    &crate::QUINTILES,
    &crate::CUSTOMER_EVENT,
    &crate::CUSTOMER_PROFILE,
    &crate::CUSTOMER_REACHABILITY,
    &crate::CUSTOMER_SCORE,
    &crate::MESSAGE_REQUEST,
    &crate::MESSAGE_OUTCOME,
    &crate::MESSAGING_COMMAND,
    &crate::SUPPRESSION,
    &crate::PRIVACY_REQUEST,
    &crate::PRIVACY_RECEIPT,
    &crate::DEFINITION,
    &crate::MARK,
    &crate::RESOLVER_CHANGELOG,
    &crate::JOURNEYS_CHANGELOG,
    &crate::MESSAGING_CHANGELOG,
    &crate::SEGMENTATION_CHANGELOG,
];

/// Every schema that is compiled in, each once.
pub fn schemas() -> &'static [&'static AvroSchema] {
    ALL
}
