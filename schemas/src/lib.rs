//! The contract between services, and with those outside: Avro schemas, their Rust types, framing, the list of topics.
//!
//! - `*.avsc` by domain is what is agreed on; every field is documented there.
//! - A Rust type per record, in schema order ([`StorefrontEvent`], [`JourneyDecision`], [`MessageRequest`], …).
//! - [`Schemas`] turns values into Confluent-framed Avro and back.
//! - [`topics`] tells every topic of an installation, from `topics.yaml`.
//! - [`compatibility`] judges whether a schema may follow its past versions; [`conformance`] whether a Rust type fits
//!   its schema.
//!
//! How a field is added and how a version freezes: see `README.md` of this crate.

mod changelog;
mod codec;
pub mod compatibility;
pub mod conformance;
mod contract;
mod customer;
mod error;
mod history;
mod journeys;
mod messaging;
mod platform;
mod privacy;
mod storefront;
mod topics;

pub use changelog::{
    ChangelogHeader, ChangelogRecord, JOURNEYS_CHANGELOG, MESSAGING_CHANGELOG, Position, RESOLVER_CHANGELOG,
    SEGMENTATION_CHANGELOG, StateContract, UpstreamWatermark,
};
pub use codec::{MAX_HOPS, MAX_SCHEMA_BYTES, MAX_SCHEMAS, MAX_VALUE_BYTES, ROOM_BYTES, Schemas};
pub use contract::{AvroSchema, Contract, schemas};
pub use customer::{
    ADMISSION, Admission, CUSTOMER_EVENT, CUSTOMER_PROFILE, CUSTOMER_REACHABILITY, CUSTOMER_SCORE, Change, ChangeCause,
    CurrencyQuintiles, CustomerEvent, CustomerProfile, CustomerReachability, CustomerScore, CustomerView, Occasion,
    OccasionKind, QUINTILES, Quintiles, SEGMENT_CHANGE, Score, SegmentChange, Transition, UnreachableAddress,
};
pub use error::{DecodeError, EncodeError, LearnError};
pub use history::{PastEvent, PastOrder, PastProduct};
pub use journeys::{Arm, Decision, JOURNEY_DECISION, JourneyDecision};
pub use messaging::{
    CommandKind, MESSAGE_OUTCOME, MESSAGE_REQUEST, MESSAGING_COMMAND, MessageOutcome, MessageRequest, MessagingCommand,
    Outcome, Recipient, RequestAction, SUPPRESSION, Suppression, SuppressionReason,
};
pub use platform::{DEFINITION, Definition, DefinitionStatus, MARK, Mark, MarkEntry, OutputBound};
pub use privacy::{
    PRIVACY_RECEIPT, PRIVACY_REQUEST, PrivacyKind, PrivacyMeans, PrivacyPlace, PrivacyReceipt, PrivacyRequest,
    PrivacyStage,
};
pub use storefront::{
    Contact, EventKind, LINKS, LocaleAndZone, Order, Product, SHOPIFY_CART, SHOPIFY_ORDER, STOREFRONT_EVENT,
    StorefrontEvent, WOOCOMMERCE_ORDER, names_an_order, names_an_order_or_a_cart,
};
pub use topics::{
    Cleanup, Partitions, PrefixError, Timestamps, TopicSpec, Visibility, check_prefix, contracts, erased_within,
    schema_of, topic_name, topics,
};
