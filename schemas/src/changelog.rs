//! Changelogs: the header that ends every transaction, and a service's state under its keys.
//!
//! The state's Rust type belongs to its service; its schema lies here, beside the header's, and both are put together
//! into one `<X>Changelog` schema, because a record's names are resolved within one schema text. A service says
//!
//! ```text
//! impl StateContract for JourneysState {
//!     const NAME: &'static str = "JourneysChangelog";
//!     fn changelog() -> &'static AvroSchema { &schemas::JOURNEYS_CHANGELOG }
//! }
//! ```
//!
//! A tombstone (null value) ends a key's state.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::customer::CUSTOMER_VIEW;
use crate::{AvroSchema, Contract};

/// Schema of the resolver's changelog.
pub static RESOLVER_CHANGELOG: AvroSchema =
    AvroSchema::changelog("ResolverChangelog", "vuelve.ingestion", include_str!("../ingestion/resolver_state.avsc"));
/// Schema of the changelog of journeys.
pub static JOURNEYS_CHANGELOG: AvroSchema = AvroSchema::changelog_with(
    "JourneysChangelog",
    "vuelve.journeys",
    include_str!("../journeys/journeys_state.avsc"),
    &[CUSTOMER_VIEW],
);
/// Schema of messaging's changelog.
pub static MESSAGING_CHANGELOG: AvroSchema =
    AvroSchema::changelog("MessagingChangelog", "vuelve.messaging", include_str!("../messaging/messaging_state.avsc"));
/// Schema of segmentation's changelog.
pub static SEGMENTATION_CHANGELOG: AvroSchema = AvroSchema::changelog(
    "SegmentationChangelog",
    "vuelve.segmentation",
    include_str!("../segmentation/segmentation_state.avsc"),
);

/// Schema text of [`ChangelogHeader`], to be set into every changelog.
pub(crate) const HEADER_AVSC: &str = include_str!("../platform/changelog_header.avsc");

/// A service's state under one key, as its changelog holds it.
pub trait StateContract: Serialize + DeserializeOwned + 'static {
    /// Name of the changelog's schema, such as `JourneysChangelog`.
    const NAME: &'static str;

    /// The changelog's schema.
    fn changelog() -> &'static AvroSchema;
}

/// A record of a changelog: a header, or the state of a key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChangelogRecord<S> {
    /// How far the partition got, in a record under the header's key.
    pub header: Option<ChangelogHeader>,
    /// The customer's own time; milliseconds since 1970.
    pub time: Option<i64>,
    /// The state, in a record under a customer's key.
    pub state: Option<S>,
}

impl<S: StateContract> Contract for ChangelogRecord<S> {
    const NAME: &'static str = S::NAME;

    fn schema() -> &'static AvroSchema {
        S::changelog()
    }
}

/// What [`ChangelogRecord`] is when it is written: the state is borrowed from where it lives.
#[derive(Serialize)]
#[serde(rename = "ChangelogRecord")]
pub(crate) struct BorrowedRecord<'a, S> {
    pub(crate) header: Option<&'a ChangelogHeader>,
    pub(crate) time: Option<i64>,
    pub(crate) state: Option<&'a S>,
}

/// How far a partition's state got. The fields are documented in `changelog_header.avsc`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "documented in the schema, which a test holds to having every field documented")]
pub struct ChangelogHeader {
    pub sequence: i64,
    #[serde(default)]
    pub positions: Vec<Position>,
    #[serde(default)]
    pub watermarks: Vec<UpstreamWatermark>,
    /// Milliseconds since 1970.
    pub watermark: i64,
    #[serde(default)]
    pub tables: Vec<Position>,
    #[serde(default)]
    pub feature_level: i32,
    /// Milliseconds since 1970.
    pub written_at: Option<i64>,
    #[serde(default)]
    pub transactional_id: String,
    pub untold: Option<i64>,
    pub revision: Option<i64>,
}

/// A place in a partition of a dataset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The dataset.
    pub dataset: String,
    /// Offset of the next record to read.
    pub next_offset: i64,
}

/// How far an upstream dataset is complete.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamWatermark {
    /// The upstream dataset.
    pub dataset: String,
    /// All that the broker received before this is behind; milliseconds since 1970.
    pub time: i64,
}
