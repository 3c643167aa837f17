//! The customer: what happens to her, in one order (`customer.events`), who she is (`customer.profiles`), the segments that she
//! enters and leaves (`customer.segments`: flat), which of her addresses are not written to (`customer.reachability`), what
//! others score of her (`customer.scores`), the boundaries of quintiles (`customer.quintiles`), and when those who were there
//! come into journeys (`customer.admissions`); all but the first without personal data, so that they can be kept.

use serde::{Deserialize, Serialize};

use crate::contract::{Part, record_contract};
use crate::storefront::STOREFRONT_EVENT_AVSC;
use crate::{AvroSchema, StorefrontEvent, SuppressionReason};

/// Who a customer is, as a part of other records.
pub(crate) const CUSTOMER_VIEW: Part = ("vuelve.customer.CustomerView", include_str!("../customer/customer_view.avsc"));

/// Schema of [`CustomerEvent`].
pub static CUSTOMER_EVENT: AvroSchema = AvroSchema::record_with(
    "CustomerEvent",
    include_str!("../customer/customer_event.avsc"),
    &[("vuelve.storefront.StorefrontEvent", STOREFRONT_EVENT_AVSC), CUSTOMER_VIEW],
);

record_contract!(CustomerEvent, CUSTOMER_EVENT);

/// Schema of [`CustomerProfile`].
pub static CUSTOMER_PROFILE: AvroSchema =
    AvroSchema::record_with("CustomerProfile", include_str!("../customer/customer_profile.avsc"), &[CUSTOMER_VIEW]);

record_contract!(CustomerProfile, CUSTOMER_PROFILE);

/// Something happened to a customer. The fields are documented in `customer_event.avsc`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "documented in the schema, which a test holds to having every field documented")]
pub struct CustomerEvent {
    pub customer_id: String,
    /// Milliseconds since 1970, in the customer's time.
    pub at: i64,
    pub shop: String,
    #[serde(default)]
    pub historical: bool,
    #[serde(default)]
    pub hops: i32,
    pub event: Option<Box<StorefrontEvent>>,
    #[serde(default)]
    pub changes: Vec<Transition>,
    #[serde(default)]
    pub occasions: Vec<Occasion>,
    pub customer: CustomerView,
}

/// Who a customer is. The fields are documented in `customer_profile.avsc`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "documented in the schema")]
pub struct CustomerProfile {
    pub customer_id: String,
    /// Milliseconds since 1970, in the customer's time.
    pub as_of: i64,
    pub shop: String,
    pub customer: CustomerView,
}

/// A customer entered or left a segment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "documented in the schema")]
pub struct Transition {
    pub segment: String,
    pub segment_version: i32,
    pub change: Change,
    pub cause: ChangeCause,
}

/// The moment has come at which a journey is to let the customer in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "documented in the schema")]
pub struct Occasion {
    pub journey: String,
    #[serde(default)]
    pub kind: OccasionKind,
    pub of: String,
}

/// Why a journey is to let a customer in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "documented in the schema")]
pub enum OccasionKind {
    Date,
    Existing,
    #[default]
    #[serde(other)]
    Other,
}

/// Who a customer is at a moment, in short. The fields are documented in `customer_view.avsc`; times are milliseconds since
/// 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "documented in the schema")]
pub struct CustomerView {
    #[serde(default)]
    pub known: bool,
    #[serde(default)]
    pub segments: Vec<String>,
    pub consent_marketing: Option<bool>,
    #[serde(default)]
    pub has_email: bool,
    #[serde(default)]
    pub has_phone: bool,
    pub first_seen_at: Option<i64>,
    pub last_seen_at: Option<i64>,
    pub last_order_at: Option<i64>,
    #[serde(default)]
    pub frequency: i64,
    pub currency: Option<String>,
    pub monetary_minor: Option<i64>,
    pub average_order_minor: Option<i64>,
    #[serde(default)]
    pub coupon_percent: i32,
    pub recency_quintile: Option<i32>,
    pub frequency_quintile: Option<i32>,
    pub monetary_quintile: Option<i32>,
    #[serde(default)]
    pub lead_score: i32,
    #[serde(default)]
    pub favourite_categories: Vec<String>,
    #[serde(default)]
    pub favourite_brands: Vec<String>,
    pub reachable_email: Option<bool>,
    pub lifecycle: Option<String>,
    #[serde(default)]
    pub scores: Vec<Score>,
    pub tier: Option<String>,
}

/// A score of hers, as a part of other records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "documented in the schema")]
pub struct Score {
    pub name: String,
    pub value: Option<i64>,
    pub label: Option<String>,
}

/// Schema of [`CustomerScore`].
pub static CUSTOMER_SCORE: AvroSchema =
    AvroSchema::record("CustomerScore", include_str!("../customer/customer_score.avsc"));

record_contract!(CustomerScore, CUSTOMER_SCORE);

/// Somebody scored a customer. The fields are documented in `customer_score.avsc`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "documented in the schema, which a test holds to having every field documented")]
pub struct CustomerScore {
    pub customer_id: String,
    pub name: String,
    pub value: Option<i64>,
    pub label: Option<String>,
    /// Milliseconds since 1970.
    pub scored_at: i64,
    pub version: Option<String>,
    #[serde(default)]
    pub hops: i32,
}

/// Schema of [`CustomerReachability`].
pub static CUSTOMER_REACHABILITY: AvroSchema =
    AvroSchema::record("CustomerReachability", include_str!("../customer/customer_reachability.avsc"));

record_contract!(CustomerReachability, CUSTOMER_REACHABILITY);

/// Which addresses of a customer are not written to. The fields are documented in `customer_reachability.avsc`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "documented in the schema, which a test holds to having every field documented")]
pub struct CustomerReachability {
    pub customer_id: String,
    /// Milliseconds since 1970.
    pub at: i64,
    #[serde(default)]
    pub unreachable: Vec<UnreachableAddress>,
    #[serde(default)]
    pub hops: i32,
}

/// An address of a customer that is not written to: of records, and of what is kept of her.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "documented in the schema")]
pub struct UnreachableAddress {
    pub channel: String,
    pub address_hash: String,
    pub reason: SuppressionReason,
    /// Milliseconds since 1970.
    pub since: i64,
}

/// Schema of [`SegmentChange`].
pub static SEGMENT_CHANGE: AvroSchema =
    AvroSchema::record("SegmentChange", include_str!("../customer/segment_change.avsc"));

/// Schema of [`Admission`].
pub static ADMISSION: AvroSchema = AvroSchema::record("Admission", include_str!("../customer/admission.avsc"));

record_contract!(Admission, ADMISSION);

/// Over which time a journey lets in who is in its segment already. The fields are documented in `admission.avsc`; times are
/// milliseconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "documented in the schema")]
pub struct Admission {
    pub journey: String,
    pub segment: String,
    pub per_hour: i32,
    pub members: i64,
    pub from: i64,
    pub until: i64,
}

/// Schema of [`Quintiles`].
pub static QUINTILES: AvroSchema = AvroSchema::record("Quintiles", include_str!("../customer/quintiles.avsc"));

record_contract!(SegmentChange, SEGMENT_CHANGE);
record_contract!(Quintiles, QUINTILES);

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
    /// The boundaries of the quintiles that its condition reads were learnt anew.
    Boundaries,
    /// An address of hers is written to no more, or again.
    Reachability,
    /// Somebody scored her.
    Score,
    /// A cause newer than this reader.
    #[default]
    #[serde(other)]
    Other,
}

/// How the customers with an order fall into fifths. The fields are documented in `quintiles.avsc`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "documented in the schema, which a test holds to having every field documented")]
pub struct Quintiles {
    /// Milliseconds since 1970.
    pub learnt_at: i64,
    pub customers: i64,
    pub recency_days: Vec<i64>,
    pub frequency: Vec<i64>,
    pub monetary: Vec<CurrencyQuintiles>,
}

/// Those of one currency.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "documented in the schema")]
pub struct CurrencyQuintiles {
    pub currency: String,
    pub customers: i64,
    pub bounds: Vec<i64>,
}
