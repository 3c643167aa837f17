//! Answers to those who ask: who a customer is at a moment, and which segments she is in.
//!
//! Pure: from a state's bytes and a moment to plain data; the server that carries it over the network, and the clock that says
//! the moment, are elsewhere.
//!
//! Wanted properties:
//! - what a condition would read at the moment is what is told: one way to compute each field;
//! - what time alone ends (an idle cart, a visitor without an id) has ended, also where its timer has not fired yet;
//! - segments are those that she was judged to be in: judging belongs to the worker, which writes what comes of it.

use domain::Timestamp;
use schemas::{ChangelogRecord, DecodeError, Schemas, UnreachableAddress};

use crate::field::{Field, Profile, Value};
use crate::policy::LIFECYCLE;
use crate::quintiles::Boundaries;
use crate::reachability::EMAIL;
use crate::score;
use crate::state::{Did, KeptScore, Membership, Seen, SegmentationState, Spending};
use crate::windows::WINDOW_DAYS;

/// A customer as the store has her.
#[derive(Clone, Debug, PartialEq)]
pub struct Customer {
    /// How far the service has come with her.
    pub as_of: Timestamp,
    /// What it knows of her.
    pub state: SegmentationState,
}

/// A customer at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "three facts, not a state machine")]
pub struct CustomerView {
    /// How far the service has come with her.
    pub as_of: Timestamp,
    /// The moment.
    pub at: Timestamp,
    /// Whether she has a user id.
    pub known: bool,
    /// Whether she agreed to hear from the shop; none while she has not said.
    pub consent_marketing: Option<bool>,
    /// Whether she has an e-mail address.
    pub has_email: bool,
    /// Whether she has a phone number.
    pub has_phone: bool,
    /// What the shop tells of her: a JSON object. It may be personal data.
    pub traits_json: Option<String>,
    /// When she first and last did what.
    pub seen: Vec<Seen>,
    /// Whole days since she was first seen.
    pub age_days: Option<i64>,
    /// Whole days since she was last seen.
    pub inactive_days: Option<i64>,
    /// Whole days since her last order.
    pub recency_days: Option<i64>,
    /// Her orders, of whatever currency.
    pub frequency: i64,
    /// The currency that she ordered in most often, in which the amounts of the profile and of its counters are.
    pub currency: Option<String>,
    /// Her orders less refunds and cancellations, in minor units of that currency.
    pub monetary_minor: i64,
    /// What she orders for at a time, in minor units of that currency.
    pub average_order_minor: Option<i64>,
    /// The share of her orders with a coupon, 0 to 100.
    pub coupon_percent: i64,
    /// What she bought in each currency.
    pub spending: Vec<Spending>,
    /// What she did in each of [`WINDOW_DAYS`].
    pub windows: [Counters; WINDOW_DAYS.len()],
    /// What she ever did.
    pub total: Counters,
    /// Her open cart.
    pub cart: Option<CartView>,
    /// The categories that she likes, the dearest first.
    pub favourite_categories: Vec<String>,
    /// The brands that she likes, the dearest first.
    pub favourite_brands: Vec<String>,
    /// Her lead score, 0 to 100.
    pub lead_score: i64,
    /// The factors of which the score is the sum, by name.
    pub lead_score_factors: [(&'static str, i64); score::FACTORS],
    /// The segments that she is in, by name.
    pub segments: Vec<Membership>,
    /// Which of those of the group `lifecycle` she is in; none also where she was not judged since groups are kept.
    pub lifecycle: Option<String>,
    /// What others scored of her last, by name, but for what was withdrawn.
    pub scores: Vec<KeptScore>,
    /// Her tier: the label of the score of that name.
    pub tier: Option<String>,
    /// The anonymous ids of devices on which she was recognised, the latest last.
    pub anonymous_ids: Vec<String>,
    /// Whether she can be reached, channel by channel.
    pub reachability: Vec<ReachabilityView>,
    /// Her quintiles, where she has ordered and boundaries are published.
    pub rfm: Option<RfmView>,
}

/// Whether she can be reached by a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReachabilityView {
    /// The channel, as messaging names it: `email`.
    pub channel: &'static str,
    /// Whether she can be.
    pub reachable: bool,
    /// What messaging holds against her address; none where she has no address, or nothing is held.
    pub held: Option<UnreachableAddress>,
}

/// In which fifth of all customers somebody is, 1 to 5: 5 is the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RfmView {
    /// By days since her last order.
    pub recency: i64,
    /// By orders.
    pub frequency: i64,
    /// By orders less refunds; none in a currency in which too few buy.
    pub monetary: Option<i64>,
    /// The moment as of which the boundaries were learnt.
    pub learnt_at: Timestamp,
}

/// What she did in a span of time: of each counter that conditions read, its name and its count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "documented in `definitions::CUSTOMER_FIELDS`")]
pub struct Counters {
    pub page_views: i64,
    pub product_views: i64,
    pub cart_additions: i64,
    pub checkouts: i64,
    pub orders: i64,
    pub spent_minor: i64,
    pub refunded_minor: i64,
    pub email_opens: i64,
    pub email_clicks: i64,
}

/// Her open cart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CartView {
    /// Its id, where the shop names one.
    pub cart_id: Option<String>,
    /// When it was last changed.
    pub changed_at: Timestamp,
    /// Whole hours since then.
    pub idle_hours: i64,
    /// What is in it, in minor units.
    pub value_minor: i64,
    /// How many things are in it.
    pub items: i64,
}

/// Reads what the store holds under a customer id; none where nothing is known of her.
pub fn read(schemas: &Schemas, value: Option<&[u8]>) -> Result<Option<Customer>, DecodeError> {
    let Some(value) = value else { return Ok(None) };
    let record: ChangelogRecord<SegmentationState> = schemas.decode(value)?;
    let as_of = record.time.map_or(Timestamp::MIN, Timestamp::from_millis);
    Ok(record.state.filter(|state| !state.is_nobody()).map(|state| Customer { as_of, state }))
}

impl Customer {
    /// The customer at `now`, but never before the time that the service has come to with her, with quintiles by these
    /// boundaries, where some are published. None where her state has ended by then.
    pub fn at(mut self, now: Timestamp, boundaries: Option<&Boundaries>) -> Option<CustomerView> {
        let now = now.max(self.as_of);
        if self.has_ended(now) {
            return None;
        }
        self.state.close_idle_cart(now);
        Some(view(self.as_of, &self.state, now, boundaries))
    }

    /// Whether her state has ended by `now`, because the shop does not know her and she was silent for long.
    pub fn has_ended(&self, now: Timestamp) -> bool {
        self.state.ends_at().is_some_and(|end| end <= now)
    }
}

fn view(as_of: Timestamp, state: &SegmentationState, now: Timestamp, boundaries: Option<&Boundaries>) -> CustomerView {
    let profile = Profile::new(state, now).by(boundaries);
    let int = |field| match profile.value(&field) {
        Value::Int(value) => Some(value),
        _ => None,
    };
    let number = |field| int(field).unwrap_or_default();
    let texts = |field| match profile.value(&field) {
        Value::Texts(texts) => texts.into_iter().map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    let lead_score_factors = score::factors(&profile);
    let lifecycle = state.memberships.iter().find(|membership| membership.group.as_deref() == Some(LIFECYCLE));
    CustomerView {
        as_of,
        at: now,
        known: state.known,
        consent_marketing: state.consent_marketing,
        has_email: state.has_email,
        has_phone: state.has_phone,
        traits_json: state.traits_json.clone(),
        seen: state.seen.iter().filter(|seen| seen.kind != Did::Other).cloned().collect(),
        age_days: int(Field::AgeDays),
        inactive_days: int(Field::InactiveDays),
        recency_days: int(Field::RecencyDays),
        frequency: number(Field::Frequency),
        currency: match profile.value(&Field::Currency) {
            Value::Text(currency) => Some(currency.to_owned()),
            _ => None,
        },
        monetary_minor: number(Field::MonetaryMinor),
        average_order_minor: int(Field::AverageOrderMinor),
        coupon_percent: number(Field::CouponPercent),
        spending: state.currencies.iter().filter(|spending| spending.is_of_one()).cloned().collect(),
        windows: WINDOW_DAYS.map(|days| Counters::of(&profile, Some(days))),
        total: Counters::of(&profile, None),
        cart: state.cart.as_ref().map(|cart| CartView {
            cart_id: cart.cart_id.clone(),
            changed_at: cart.changed_at,
            idle_hours: number(Field::CartIdleHours),
            value_minor: number(Field::CartValueMinor),
            items: number(Field::CartItems),
        }),
        favourite_categories: texts(Field::FavouriteCategories),
        favourite_brands: texts(Field::FavouriteBrands),
        lead_score: score::total(&lead_score_factors),
        lead_score_factors,
        segments: state.memberships.clone(),
        lifecycle: lifecycle.map(|membership| membership.segment.to_string()),
        scores: state.scores.iter().filter(|kept| !kept.is_withdrawn()).cloned().collect(),
        tier: state.tier().map(str::to_owned),
        anonymous_ids: state.ids.clone(),
        reachability: vec![ReachabilityView {
            channel: EMAIL,
            reachable: state.can_be_mailed(),
            held: state.held_against_email().filter(|_| state.has_email).cloned(),
        }],
        rfm: boundaries.and_then(|boundaries| {
            Some(RfmView {
                recency: int(Field::RecencyQuintile)?,
                frequency: int(Field::FrequencyQuintile)?,
                monetary: int(Field::MonetaryQuintile),
                learnt_at: boundaries.learnt_at(),
            })
        }),
    }
}

impl Counters {
    fn of(profile: &Profile<'_>, days: Option<u16>) -> Self {
        let [
            page_views,
            product_views,
            cart_additions,
            checkouts,
            orders,
            spent_minor,
            refunded_minor,
            email_opens,
            email_clicks,
        ] = profile.all_counted(days);
        Self {
            page_views,
            product_views,
            cart_additions,
            checkouts,
            orders,
            spent_minor,
            refunded_minor,
            email_opens,
            email_clicks,
        }
    }
}
