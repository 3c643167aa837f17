//! The customers as a table: one row a customer and currency.

use domain::Timestamp;

use crate::field::{Field, Profile, Value};
use crate::quintiles::Boundaries;
use crate::state::{Bucket, Did, Money, SegmentationState};
use crate::windows::{self, WINDOW_DAYS};

const DAY_MS: i64 = 86_400_000;

/// The window columns of a row, in their order.
pub const WINDOW_COLUMNS: [&str; 15] = [
    "last_1d_orders",
    "last_1d_spent_minor",
    "last_1d_refunded_minor",
    "last_7d_orders",
    "last_7d_spent_minor",
    "last_7d_refunded_minor",
    "last_30d_orders",
    "last_30d_spent_minor",
    "last_30d_refunded_minor",
    "last_90d_orders",
    "last_90d_spent_minor",
    "last_90d_refunded_minor",
    "last_365d_orders",
    "last_365d_spent_minor",
    "last_365d_refunded_minor",
];

/// What a customer bought in one currency, and the segments that she is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomerRow {
    /// The customer.
    pub customer_id: String,
    /// Whole days since her last order, of whatever currency.
    pub recency_days: i64,
    /// Her orders in this currency.
    pub frequency: i64,
    /// The currency, ISO 4217.
    pub currency: String,
    /// Her orders less what was refunded and cancelled, in minor units.
    pub monetary_minor: i64,
    /// What each of [`WINDOW_COLUMNS`] says.
    pub windows: [i64; 15],
    /// Her quintiles by recency, frequency and monetary value, where boundaries are published; the last in the row of the
    /// currency that she ordered in most often.
    pub quintiles: [Option<i64>; 3],
    /// The segments that she is in, by name.
    pub segments: Vec<String>,
}

/// A customer's rows at a moment: one for each currency in which she has ordered; none for one who never has. The moment must
/// not lie before what the state has seen ([`known_until`]).
pub fn customer_rows(
    customer_id: &str,
    state: &SegmentationState,
    at: Timestamp,
    boundaries: Option<&Boundaries>,
) -> Vec<CustomerRow> {
    let Some(ordered) = state.seen(Did::Orders) else { return Vec::new() };
    let recency_days = at.millis_since(ordered.last_at).max(0) / DAY_MS;
    let segments: Vec<String> = state.memberships.iter().map(|membership| membership.segment.to_string()).collect();
    let profile = Profile::new(state, at).by(boundaries);
    let quintile = |field: Field| match profile.value(&field) {
        Value::Int(quintile) => Some(quintile),
        _ => None,
    };
    let [recency, frequency, monetary] =
        [Field::RecencyQuintile, Field::FrequencyQuintile, Field::MonetaryQuintile].map(quintile);
    let main = state.main_currency();
    let spent = state.currencies.iter().enumerate().filter(|(_, spending)| spending.orders > 0 && spending.is_of_one());
    spent
        .map(|(place, spending)| CustomerRow {
            customer_id: customer_id.to_owned(),
            recency_days,
            frequency: spending.orders,
            currency: spending.currency.clone(),
            monetary_minor: spending.monetary_minor(),
            windows: counters(&state.buckets, place, at),
            quintiles: [recency, frequency, monetary.filter(|_| Some(place) == main)],
            segments: segments.clone(),
        })
        .collect()
}

/// The last moment of which the state knows: a table of an earlier one can't be made of it.
pub fn known_until(state: &SegmentationState) -> Option<Timestamp> {
    state.seen.iter().map(|seen| seen.last_at).max()
}

fn counters(buckets: &[Bucket], currency: usize, at: Timestamp) -> [i64; 15] {
    let mut counters = [0_i64; 15];
    for (days, columns) in WINDOW_DAYS.into_iter().zip(counters.chunks_exact_mut(3)) {
        let bought = windows::within(buckets, days, at).flat_map(|bucket| &bucket.money);
        for Money { orders, spent_minor, refunded_minor, .. } in
            bought.filter(|money| money.currency as usize == currency)
        {
            for (column, more) in columns.iter_mut().zip([orders, spent_minor, refunded_minor]) {
                *column = i64::saturating_add(*column, *more);
            }
        }
    }
    counters
}
