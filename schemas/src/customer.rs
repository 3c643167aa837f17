//! Changes of segments: what `customer.segments` holds. Flat and without personal data, so that it can be kept.

use serde::{Deserialize, Serialize};

use crate::AvroSchema;
use crate::contract::record_contract;

/// Schema of [`SegmentChange`].
pub static SEGMENT_CHANGE: AvroSchema =
    AvroSchema::record("SegmentChange", include_str!("../customer/segment_change.avsc"));

record_contract!(SegmentChange, SEGMENT_CHANGE);

/// A customer entered or left a segment. The fields are documented in `segment_change.avsc`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "documented in the schema, which a test holds to having every field documented")]
pub struct SegmentChange {
    pub change_id: String,
    pub customer_id: String,
    pub shop: String,
    pub segment: String,
    pub segment_version: i32,
    pub group: Option<String>,
    pub change: Change,
    pub cause: ChangeCause,
    /// Milliseconds since 1970, in the customer's time.
    pub at: i64,
    /// Milliseconds since 1970.
    pub since: Option<i64>,
    pub trigger_name: Option<String>,
    pub trigger_message_id: Option<String>,
    #[serde(default)]
    pub historical: bool,
    pub detail_json: Option<String>,
    #[serde(default)]
    pub hops: i32,
}

/// What happened to a membership.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// She is in the segment now.
    Entered,
    /// She is not in it any more.
    Left,
    /// A change that this reader does not know.
    #[default]
    #[serde(other)]
    Other,
}

/// What brought a change about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeCause {
    /// She did something.
    Event,
    /// Time alone.
    Time,
    /// The definition is new, or has changed.
    Definition,
    /// The definition is gone.
    Removed,
    /// Nothing was heard of her for long, or she was erased.
    Forgotten,
    /// A cause newer than this reader.
    #[default]
    #[serde(other)]
    Other,
}
