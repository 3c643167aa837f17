//! What can go wrong with a record's bytes. No message repeats what a record holds: that may be personal data.

use thiserror::Error;

/// A value could not be written.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The dataset has no schema id yet.
    #[error("dataset {dataset} has no schema id: register its schema and bind the id before writing")]
    UnboundDataset {
        /// The dataset.
        dataset: String,
    },
    /// The dataset holds records of another contract.
    #[error("dataset {dataset} holds {expected}, not {found}")]
    OtherContract {
        /// The dataset.
        dataset: String,
        /// What it holds.
        expected: &'static str,
        /// What was to be written.
        found: &'static str,
    },
    /// The record is larger than any topic takes.
    #[error("a {contract} of {size_bytes} bytes is over the limit of {limit_bytes} bytes")]
    TooLarge {
        /// The contract.
        contract: &'static str,
        /// Its size, framed.
        size_bytes: usize,
        /// [`MAX_VALUE_BYTES`](crate::MAX_VALUE_BYTES).
        limit_bytes: usize,
    },
    /// The value does not fit its schema.
    #[error("a {contract} does not fit its schema: {reason}")]
    Unfit {
        /// The contract.
        contract: &'static str,
        /// What did not fit.
        reason: String,
    },
}

/// Bytes could not be read as a value.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The value does not begin with a zero byte and a schema id.
    #[error(
        "the value is not in Confluent framing (a zero byte, four bytes of schema id, Avro): write it with a \
         registry-aware Avro serializer"
    )]
    NotFramed,
    /// The writer's schema is not known (yet): see [`Schemas::missing`](crate::Schemas::missing).
    #[error("schema id {id} is not known: fetch it from the registry")]
    UnknownSchema {
        /// The schema id.
        id: u32,
    },
    /// The value was written under another contract.
    #[error("schema id {id} is of {found}, not of {expected}")]
    OtherContract {
        /// The schema id.
        id: u32,
        /// What was asked for.
        expected: &'static str,
        /// What the writer's schema is of.
        found: String,
    },
    /// The value is larger than any topic takes.
    #[error("a value of {size_bytes} bytes is over the limit of {limit_bytes} bytes")]
    TooLarge {
        /// Its size, framed.
        size_bytes: usize,
        /// [`MAX_VALUE_BYTES`](crate::MAX_VALUE_BYTES).
        limit_bytes: usize,
    },
    /// The bytes do not follow the writer's schema, or a field that must be there is not.
    #[error("not a {contract} as written by schema id {id}: {reason}")]
    Malformed {
        /// The contract.
        contract: &'static str,
        /// The writer's schema id.
        id: u32,
        /// What is wrong, without the value.
        reason: String,
    },
    /// Bytes are left over after the value.
    #[error("{left_bytes} bytes are left over after a {contract} written by schema id {id}")]
    LeftOver {
        /// The contract.
        contract: &'static str,
        /// The writer's schema id.
        id: u32,
        /// How many.
        left_bytes: usize,
    },
}

/// A schema from the registry can't be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LearnError {
    /// The schema's text is too large.
    #[error("schema id {id} has {size_bytes} bytes, over the limit of {limit_bytes} bytes")]
    TooLarge {
        /// The schema id.
        id: u32,
        /// Size of its text.
        size_bytes: usize,
        /// [`MAX_SCHEMA_BYTES`](crate::MAX_SCHEMA_BYTES).
        limit_bytes: usize,
    },
    /// Too many schemas are known already.
    #[error("schema id {id} is one more than the {limit} that are kept: does a producer register a schema per record?")]
    TooMany {
        /// The schema id.
        id: u32,
        /// [`MAX_SCHEMAS`](crate::MAX_SCHEMAS).
        limit: usize,
    },
    /// The text is not an Avro record schema.
    #[error("schema id {id} is not an Avro record schema: {reason}")]
    NotAvro {
        /// The schema id.
        id: u32,
        /// What is wrong with it.
        reason: String,
    },
}

/// Serde quotes the value that it did not expect (`invalid type: string "…", expected i64`); what was expected is
/// enough.
pub(crate) fn without_value(message: &str) -> String {
    const OPENINGS: [&str; 4] = ["invalid type", "invalid value", "invalid length", "unknown variant"];
    let Some((start, opening)) =
        OPENINGS.iter().filter_map(|opening| message.find(opening).map(|at| (at, opening))).min()
    else {
        return message.to_owned();
    };
    let kept = &message[..start + opening.len()];
    match message.rfind(", expected ") {
        Some(expected) if expected >= kept.len() => format!("{kept}{}", &message[expected..]),
        _ => kept.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::without_value;

    #[test]
    fn a_reason_does_not_repeat_the_value() {
        assert_eq!(
            without_value(r#"invalid type: string "ana@example.com", expected i64"#),
            "invalid type, expected i64"
        );
        assert_eq!(
            without_value(r#"invalid type: string "a, expected b", expected i64"#),
            "invalid type, expected i64"
        );
        assert_eq!(without_value("missing field `shop`"), "missing field `shop`");
        assert_eq!(without_value("invalid value: string \"ana@example.com\""), "invalid value");
    }
}
