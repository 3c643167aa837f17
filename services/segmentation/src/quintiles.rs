//! In which fifth of all customers somebody is, by recency, frequency and monetary value: 5 is the best. (Arthur Hughes,
//! "Strategic Database Marketing": customers are coded by quintiles of each.)
//!
//! Wanted properties:
//! - of n customers with an order, she is above `floor(5 * less / n)` boundaries, where `less` is how many of them have less
//!   than she: who are equal are in the same quintile, and where nobody is equal the quintiles are of one size, or differ by
//!   one customer;
//! - for that, the k-th boundary is what the customer at rank `ceil(k * n / 5)` has, in ascending order (the nearest rank), and
//!   somebody is above it who has more;
//! - nothing depends on the order in which customers are looked at, or on how they are spread over partitions;
//! - fewer than five customers have no quintiles, and neither has a currency in which fewer than five buy.

use std::collections::BTreeMap;

use domain::Timestamp;
use schemas::{CurrencyQuintiles, Quintiles};

use crate::field::Profile;
use crate::state::SegmentationState;

/// So few customers have quintiles at least.
pub const MIN_CUSTOMERS: usize = 5;
/// Of at most so many currencies, those in which the most customers buy: there are about 180 (ISO 4217).
pub const MAX_LEARNT_CURRENCIES: usize = 256;

const BOUNDS: usize = 4;

/// How a customer who has ordered stands at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Whole days since her last order.
    pub recency_days: i64,
    /// Her orders.
    pub frequency: i64,
    /// The currency that she ordered in most often.
    pub currency: String,
    /// Her orders in it less refunds and cancellations, in minor units.
    pub monetary_minor: i64,
}

impl Standing {
    /// None for who never ordered.
    pub fn of(state: &SegmentationState, at: Timestamp) -> Option<Self> {
        let place = state.main_currency()?;
        let spending = state.currencies.get(place)?;
        let profile = Profile::new(state, at);
        Some(Self {
            recency_days: profile.recency_days()?,
            frequency: profile.orders(),
            currency: spending.currency.clone(),
            monetary_minor: spending.monetary_minor(),
        })
    }
}

/// Learns the boundaries from all customers who have ordered, as of a moment. Where they are too few, the lists are empty.
pub fn learn(customers: impl IntoIterator<Item = Standing>, at: Timestamp) -> Quintiles {
    let (mut recency_days, mut frequency) = (Vec::new(), Vec::new());
    let mut monetary: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for customer in customers {
        recency_days.push(customer.recency_days);
        frequency.push(customer.frequency);
        monetary.entry(customer.currency).or_default().push(customer.monetary_minor);
    }
    let count = |values: &[i64]| i64::try_from(values.len()).unwrap_or(i64::MAX);
    let customers = count(&recency_days);
    let mut currencies: Vec<(String, Vec<i64>)> = monetary.into_iter().collect();
    currencies.retain(|(_, values)| values.len() >= MIN_CUSTOMERS);
    // Stable: of two in which equally many buy, the first by its name.
    currencies.sort_by_key(|(_, values)| std::cmp::Reverse(values.len()));
    currencies.truncate(MAX_LEARNT_CURRENCIES);
    currencies.sort();
    Quintiles {
        learnt_at: at.as_millis(),
        customers,
        recency_days: bounds(recency_days),
        frequency: bounds(frequency),
        monetary: currencies
            .into_iter()
            .map(|(currency, values)| CurrencyQuintiles { currency, customers: count(&values), bounds: bounds(values) })
            .collect(),
    }
}

/// What the customers at the ranks `ceil(k * n / 5)` have; nothing where they are too few.
fn bounds(mut values: Vec<i64>) -> Vec<i64> {
    if values.len() < MIN_CUSTOMERS {
        return Vec::new();
    }
    values.sort_unstable();
    let rank = |k: usize| (k * values.len()).div_ceil(BOUNDS + 1);
    (1..=BOUNDS).map(|k| values[rank(k) - 1]).collect()
}

/// Boundaries that were published, ready to be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boundaries {
    learnt_at: Timestamp,
    recency_days: [i64; BOUNDS],
    frequency: [i64; BOUNDS],
    monetary: BTreeMap<String, [i64; BOUNDS]>,
}

impl Boundaries {
    /// Refuses what is not four numbers in ascending order each, with what is wrong.
    pub fn of(learnt: &Quintiles) -> Result<Self, String> {
        let four = |what: &str, bounds: &[i64]| {
            let four: Result<[i64; BOUNDS], _> = bounds.try_into();
            four.ok()
                .filter(|bounds| bounds.is_sorted())
                .ok_or_else(|| format!("the boundaries of {what} are not four numbers in ascending order"))
        };
        let mut monetary = BTreeMap::new();
        for of_currency in &learnt.monetary {
            let currency = &of_currency.currency;
            if monetary.insert(currency.clone(), four(currency, &of_currency.bounds)?).is_some() {
                return Err(format!("{currency} is there twice"));
            }
        }
        if monetary.len() > MAX_LEARNT_CURRENCIES {
            return Err(format!("there are more than {MAX_LEARNT_CURRENCIES} currencies"));
        }
        Ok(Self {
            learnt_at: Timestamp::from_millis(learnt.learnt_at),
            recency_days: four("recency", &learnt.recency_days)?,
            frequency: four("frequency", &learnt.frequency)?,
            monetary,
        })
    }

    /// The moment as of which they were learnt.
    pub const fn learnt_at(&self) -> Timestamp {
        self.learnt_at
    }

    /// The quintile of whose last order was so many days ago: 5 is the most recent.
    pub(crate) fn recency(&self, days: i64) -> i64 {
        5 - above(&self.recency_days, days)
    }

    /// The quintile of who ordered so often.
    pub(crate) fn frequency(&self, orders: i64) -> i64 {
        1 + above(&self.frequency, orders)
    }

    /// The quintile of who bought for so much; none in a currency in which too few buy.
    pub(crate) fn monetary(&self, currency: &str, minor: i64) -> Option<i64> {
        self.monetary.get(currency).map(|bounds| 1 + above(bounds, minor))
    }

    /// The numbers of days, of those after `days`, from which on the recency is of a lower quintile; ascending.
    pub(crate) fn recency_falls(&self, days: i64) -> impl Iterator<Item = i64> {
        self.recency_days.into_iter().filter(move |bound| *bound >= days).map(|bound| bound.saturating_add(1))
    }
}

fn above(bounds: &[i64; BOUNDS], value: i64) -> i64 {
    bounds.iter().map(|bound| i64::from(value > *bound)).sum()
}
