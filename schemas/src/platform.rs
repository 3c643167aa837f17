//! What the platform itself writes: definitions, and the marks by which services hand on how far they got.

use serde::{Deserialize, Serialize};

use crate::AvroSchema;
use crate::contract::record_contract;

/// Schema of [`Definition`].
pub static DEFINITION: AvroSchema = AvroSchema::record("Definition", include_str!("../platform/definition.avsc"));
/// Schema of [`Mark`].
pub static MARK: AvroSchema = AvroSchema::record("Mark", include_str!("../platform/mark.avsc"));

record_contract!(Definition, DEFINITION);
record_contract!(Mark, MARK);

/// One version of a definition, as it was applied. The fields are documented in `definition.avsc`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "documented in the schema, which a test holds to having every field documented")]
pub struct Definition {
    pub kind: String,
    pub name: String,
    pub version: i32,
    pub body: String,
    pub digest: String,
    #[serde(default)]
    pub status: DefinitionStatus,
    /// Milliseconds since 1970.
    pub applied_at: i64,
}

/// Whether a definition is in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DefinitionStatus {
    /// On hold: nothing new begins, nothing leaves.
    Paused,
    /// Ended: its runs are over.
    Stopped,
    /// No longer there.
    Deleted,
    /// In force; also what a reader sees of a status that it does not know.
    #[default]
    #[serde(other)]
    Active,
}

/// A service's word on how far it got. The fields are documented in `mark.avsc`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "documented in the schema, which a test holds to having every field documented")]
pub struct Mark {
    pub service: String,
    pub transactional_id: String,
    #[serde(default)]
    pub entries: Vec<MarkEntry>,
    #[serde(default)]
    pub bounds: Vec<OutputBound>,
}

/// How far one partition is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarkEntry {
    /// Partition of the service's inputs.
    pub partition: i32,
    /// All before this is done; milliseconds since 1970.
    pub time: i64,
}

/// Where an output ends, partition by partition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputBound {
    /// The output.
    pub dataset: String,
    /// For each partition of it: what came of the entries lies below this offset.
    #[serde(default)]
    pub offsets: Vec<i64>,
}
