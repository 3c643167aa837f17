//! What customers and shops ask about their data: what `privacy.requests` holds.

use serde::{Deserialize, Serialize};

use crate::AvroSchema;
use crate::contract::record_contract;

/// Schema of [`PrivacyRequest`].
pub static PRIVACY_REQUEST: AvroSchema =
    AvroSchema::record("PrivacyRequest", include_str!("../privacy/privacy_request.avsc"));

record_contract!(PrivacyRequest, PRIVACY_REQUEST);

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
