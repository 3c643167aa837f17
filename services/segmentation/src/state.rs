//! What segmentation keeps for one customer.
//!
//! Wanted properties:
//! - bounded: every list has a limit, texts are cut, so that a state is always far smaller than a record may be;
//! - [`SegmentationState::due`] needs no policy: when her segments are to be judged anew is written into the state when they
//!   are judged.
//!
//! The fields are those of `schemas/segmentation/segmentation_state.avsc`, in its order, and documented there.

use std::fmt;
use std::sync::Arc;

use domain::{HumanDuration, Timestamp};
use schemas::{AvroSchema, OccasionKind, StateContract, UnreachableAddress};
use serde::{Deserialize, Serialize};
use stream::{Due, Label, State};

/// At most so many currencies a customer; what she orders in others is counted, and in no amount.
pub const MAX_CURRENCIES: usize = 8;
/// At most so many of her last orders are remembered one by one.
pub const MAX_ORDERS: usize = 32;
/// At most so many lines of her open cart.
pub const MAX_CART_LINES: usize = 50;
/// At most so many categories, and so many brands.
pub const MAX_FAVOURITES: usize = 16;
/// At most so many bytes of a category's, a brand's or a cart's name.
pub const MAX_NAME_BYTES: usize = 100;
/// At most so many bytes of traits.
pub const MAX_TRAITS_BYTES: usize = 4_096;
/// At most so many ids of devices on which she was recognised.
pub const MAX_IDS: usize = 16;
/// At most so many addresses that she is not written to at.
pub const MAX_UNREACHABLE: usize = 16;
/// At most so many names under which others score her.
pub const MAX_SCORES: usize = 16;
/// A cart that nobody touches for so long is no longer open.
pub const CART_IDLE: HumanDuration = HumanDuration::from_hours(30 * 24);
/// The state of a visitor whom the shop does not know ends after so long.
pub const ANONYMOUS_IDLE: HumanDuration = HumanDuration::from_hours(90 * 24);

/// What segmentation knows of one customer.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "documented in the schema, which a test holds to having every field documented")]
#[allow(clippy::struct_excessive_bools, reason = "three facts, not a state machine")]
pub struct SegmentationState {
    #[serde(default)]
    pub known: bool,
    #[serde(default)]
    pub shop: String,
    pub consent_marketing: Option<bool>,
    #[serde(default)]
    pub has_email: bool,
    #[serde(default)]
    pub has_phone: bool,
    pub traits_json: Option<String>,
    #[serde(default)]
    pub seen: Vec<Seen>,
    #[serde(default)]
    pub currencies: Vec<Spending>,
    #[serde(default)]
    pub totals: Tally,
    #[serde(default)]
    pub buckets: Vec<Bucket>,
    #[serde(default)]
    pub orders: Vec<PastOrder>,
    pub cart: Option<OpenCart>,
    #[serde(default)]
    pub taste_period: i32,
    #[serde(default)]
    pub categories: Vec<Favourite>,
    #[serde(default)]
    pub brands: Vec<Favourite>,
    #[serde(default)]
    pub memberships: Vec<Membership>,
    #[serde(default)]
    pub judged_on: i64,
    pub policy_seen: Option<Timestamp>,
    pub judge_at: Option<Timestamp>,
    pub quintiles_seen: Option<i64>,
    pub segments_seen: Option<i64>,
    #[serde(default)]
    pub ids: Vec<String>,
    pub erased_at: Option<Timestamp>,
    pub time_zone: Option<String>,
    pub seen_time_zone: Option<String>,
    #[serde(default)]
    pub coming: Vec<Coming>,
    pub admissions_seen: Option<i64>,
    pub email_hash: Option<String>,
    pub email_at: Option<Timestamp>,
    #[serde(default)]
    pub unreachable: Vec<UnreachableAddress>,
    pub consent_at: Option<Timestamp>,
    pub traits_at: Option<Timestamp>,
    #[serde(default)]
    pub came: Vec<Came>,
    #[serde(default)]
    pub scores: Vec<KeptScore>,
}

/// First and last time of a kind of event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "documented in the schema")]
pub struct Seen {
    pub kind: Did,
    pub first_at: Timestamp,
    pub last_at: Timestamp,
}

/// What a customer did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the words say it")]
pub enum Did {
    Any,
    PageViews,
    ProductViews,
    CartAdditions,
    Checkouts,
    Orders,
    Refunds,
    EmailOpens,
    EmailClicks,
    /// Something that this version does not know.
    #[default]
    #[serde(other)]
    Other,
}

/// What she bought in one currency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "documented in the schema")]
pub struct Spending {
    pub currency: String,
    #[serde(default)]
    pub orders: i64,
    #[serde(default)]
    pub coupon_orders: i64,
    #[serde(default)]
    pub spent_minor: i64,
    #[serde(default)]
    pub refunded_minor: i64,
}

/// How often something was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "documented in the schema")]
pub struct Tally {
    #[serde(default)]
    pub page_views: i64,
    #[serde(default)]
    pub product_views: i64,
    #[serde(default)]
    pub cart_additions: i64,
    #[serde(default)]
    pub checkouts: i64,
    #[serde(default)]
    pub email_opens: i64,
    #[serde(default)]
    pub email_clicks: i64,
}

/// What she did in an hour, or in a day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "documented in the schema")]
pub struct Bucket {
    pub hour: i32,
    #[serde(default)]
    pub tally: Tally,
    #[serde(default)]
    pub money: Vec<Money>,
}

/// Orders of one currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "documented in the schema")]
pub struct Money {
    pub currency: i32,
    #[serde(default)]
    pub orders: i64,
    #[serde(default)]
    pub spent_minor: i64,
    #[serde(default)]
    pub refunded_minor: i64,
}

/// An order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "documented in the schema")]
pub struct PastOrder {
    pub order: i64,
    pub currency: i32,
    pub left_minor: i64,
}

/// A cart that is neither bought nor long untouched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "documented in the schema")]
pub struct OpenCart {
    pub cart_id: Option<String>,
    pub changed_at: Timestamp,
    #[serde(default)]
    pub lines: Vec<CartLine>,
}

/// A product in the cart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "documented in the schema")]
pub struct CartLine {
    pub product: i64,
    #[serde(default)]
    pub quantity: i64,
    #[serde(default)]
    pub price_minor: i64,
}

/// A category or a brand, and how dear it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "documented in the schema")]
pub struct Favourite {
    pub name: String,
    pub weight: i64,
}

/// A segment that she is in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "documented in the schema")]
pub struct Membership {
    pub segment: Arc<str>,
    #[serde(default)]
    pub version: i32,
    pub since: Timestamp,
    pub group: Option<Arc<str>>,
}

/// A moment at which a journey is to let her in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "documented in the schema")]
pub struct Coming {
    pub journey: Arc<str>,
    pub kind: OccasionKind,
    pub of: Arc<str>,
    pub at: Timestamp,
    pub day: Option<i32>,
}

/// A date that came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "documented in the schema")]
pub struct Came {
    pub journey: Arc<str>,
    pub of: Arc<str>,
    pub day: i32,
}

/// What was scored last under a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "documented in the schema")]
pub struct KeptScore {
    pub name: Arc<str>,
    pub value: Option<i64>,
    pub label: Option<String>,
    pub scored_at: Timestamp,
    pub version: Option<String>,
}

impl Coming {
    /// Whether it is this one: of a journey's dates and segments each has one.
    pub(crate) fn is(&self, kind: OccasionKind, journey: &str, of: &str) -> bool {
        self.kind == kind && *self.journey == *journey && *self.of == *of
    }
}

impl Came {
    /// Whether it is of this date.
    pub(crate) fn is(&self, journey: &str, of: &str) -> bool {
        *self.journey == *journey && *self.of == *of
    }
}

impl Spending {
    /// Nothing yet.
    pub(crate) fn of(currency: &str) -> Self {
        Self { currency: currency.to_owned(), orders: 0, coupon_orders: 0, spent_minor: 0, refunded_minor: 0 }
    }

    /// Whether it is of one currency, and not of all those that had no place any more: of these only orders are counted.
    pub(crate) fn is_of_one(&self) -> bool {
        !self.currency.is_empty()
    }

    /// Her orders less what was refunded and cancelled, in minor units.
    pub fn monetary_minor(&self) -> i64 {
        self.spent_minor.saturating_sub(self.refunded_minor)
    }
}

impl StateContract for SegmentationState {
    const NAME: &'static str = "SegmentationChangelog";

    fn changelog() -> &'static AvroSchema {
        &schemas::SEGMENTATION_CHANGELOG
    }
}

impl State for SegmentationState {
    const INDEX: u32 = 1;

    /// The segments that she is in, so that a segment's members are found.
    fn indexed_under(&self) -> impl Iterator<Item = &Label> {
        self.memberships.iter().map(|membership| &membership.segment)
    }

    fn due(&self) -> Due {
        let coming = self.coming.iter().map(|coming| coming.at);
        let ends = self.ends_at().into_iter().chain(self.scores_end_at());
        let timer = coming.chain(self.judge_at).chain(ends).chain(self.cart_closes_at()).min();
        Due { timer, held: self.policy_seen, ..Due::default() }
    }
}

impl SegmentationState {
    /// When she first and last did something of the kind.
    pub fn seen(&self, kind: Did) -> Option<&Seen> {
        self.seen.iter().find(|seen| seen.kind == kind)
    }

    /// Whether nothing is known of her, but perhaps that she was erased, that somebody under this id is not written to, or what
    /// others scored under it.
    pub fn is_nobody(&self) -> bool {
        // Most are known: of these nothing is to be copied.
        if self.known || !self.seen.is_empty() {
            return false;
        }
        let (unreachable, scores) = (self.unreachable.clone(), self.scores.clone());
        *self == Self { erased_at: self.erased_at, unreachable, scores, ..Self::default() }
    }

    /// Whether what happened then is not to be known any more.
    pub fn is_erased(&self, event_time: i64) -> bool {
        self.erased_at.is_some_and(|erased_at| event_time <= erased_at.as_millis())
    }

    /// When the whole state ends, because the shop does not know her.
    pub fn ends_at(&self) -> Option<Timestamp> {
        self.seen(Did::Any).filter(|_| !self.known).map(|seen| seen.last_at + ANONYMOUS_IDLE)
    }

    /// When what was scored of nobody is kept no longer.
    pub(crate) fn scores_end_at(&self) -> Option<Timestamp> {
        let latest = self.scores.iter().map(|score| score.scored_at).max()?;
        self.is_nobody().then_some(latest + ANONYMOUS_IDLE)
    }

    /// When the cart no longer counts as open.
    pub fn cart_closes_at(&self) -> Option<Timestamp> {
        self.cart.as_ref().map(|cart| cart.changed_at + CART_IDLE)
    }

    /// Her time zone: the one that she chose, else where she was last seen.
    pub(crate) fn zone(&self) -> Option<&str> {
        self.time_zone.as_deref().or(self.seen_time_zone.as_deref())
    }

    /// A cart that nobody touched for long is no longer open.
    pub(crate) fn close_idle_cart(&mut self, now: Timestamp) {
        if self.cart_closes_at().is_some_and(|closes| closes <= now) {
            self.cart = None;
        }
    }

    /// The place in `currencies` of the one that she ordered in most often; the earlier one where two are equal.
    pub fn main_currency(&self) -> Option<usize> {
        let has_ordered = |spending: &Spending| spending.orders > 0 && spending.is_of_one();
        let ordered = self.currencies.iter().enumerate().filter(|(_, spending)| has_ordered(spending));
        ordered.min_by_key(|(_, spending)| -spending.orders).map(|(place, _)| place)
    }
}

/// Traits are personal data: `Debug` does not show them.
impl fmt::Debug for SegmentationState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SegmentationState")
            .field("known", &self.known)
            .field("seen", &self.seen)
            .field("currencies", &self.currencies)
            .field("buckets", &self.buckets)
            .field("memberships", &self.memberships)
            .field("judge_at", &self.judge_at)
            .finish_non_exhaustive()
    }
}
