//! What customers and shops ask about their data, and how far it is fulfilled: what `privacy.requests` and `privacy.receipts`
//! hold.

use serde::{Deserialize, Serialize};

use crate::AvroSchema;
use crate::contract::record_contract;

/// Schema of [`PrivacyRequest`].
pub static PRIVACY_REQUEST: AvroSchema =
    AvroSchema::record("PrivacyRequest", include_str!("../privacy/privacy_request.avsc"));

record_contract!(PrivacyRequest, PRIVACY_REQUEST);

/// Schema of [`PrivacyReceipt`].
pub static PRIVACY_RECEIPT: AvroSchema =
    AvroSchema::record("PrivacyReceipt", include_str!("../privacy/privacy_receipt.avsc"));

record_contract!(PrivacyReceipt, PRIVACY_RECEIPT);

/// A wish about a customer's data, or a shop's. The fields are documented in `privacy_request.avsc`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "documented in the schema, which a test holds to having every field documented")]
pub struct PrivacyRequest {
    pub request_id: String,
    pub kind: PrivacyKind,
    pub customer_id: Option<String>,
    pub address_hash: Option<String>,
    pub shop: String,
    /// Milliseconds since 1970.
    pub at: i64,
    #[serde(default)]
    pub source: String,
    #[serde(default)]
    pub of_device: bool,
}

/// What a privacy request asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrivacyKind {
    /// Erase the customer.
    Erase,
    /// Erase the shop, with all its customers.
    EraseShop,
    /// Give out what is known of the customer.
    Export,
    /// A request newer than this reader.
    #[default]
    #[serde(other)]
    Other,
}

/// How far a wish is fulfilled. The fields are documented in `privacy_receipt.avsc`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "documented in the schema, which a test holds to having every field documented")]
pub struct PrivacyReceipt {
    pub request_id: String,
    pub kind: PrivacyKind,
    pub customer_id: Option<String>,
    pub shop: String,
    #[serde(default)]
    pub source: String,
    /// Milliseconds since 1970.
    pub requested_at: i64,
    pub stage: PrivacyStage,
    /// Milliseconds since 1970.
    pub at: i64,
    #[serde(default)]
    pub ids: Vec<String>,
    #[serde(default)]
    pub places: Vec<PrivacyPlace>,
    #[serde(default)]
    pub remains: Vec<String>,
}

/// How far a wish about somebody's data is fulfilled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrivacyStage {
    /// No service knows her any more; old values wait for compaction and retention.
    Forgotten,
    /// Nothing of hers is left anywhere.
    Erased,
    /// A copy of her data was given out.
    GivenOut,
    /// A stage newer than this reader.
    #[default]
    #[serde(other)]
    Other,
}

/// A partition of a topic, up to an offset, where something of hers lay or may have lain.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(missing_docs, reason = "documented in the schema")]
pub struct PrivacyPlace {
    pub dataset: String,
    pub partition: i32,
    pub until_offset: i64,
    pub means: PrivacyMeans,
    /// Milliseconds since 1970.
    pub removed_at: Option<i64>,
}

/// What removes what lies in a place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrivacyMeans {
    /// Old values of her keys are compacted away.
    Compaction,
    /// All of that time is deleted.
    Retention,
    /// The store has followed the log.
    Store,
    /// A means newer than this reader.
    #[default]
    #[serde(other)]
    Other,
}
