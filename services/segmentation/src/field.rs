//! The fields of the customer, as conditions name them: what each is at a moment, and when time alone changes it.
//!
//! Which there are, and what they mean for those who write conditions, is listed in `definitions::CUSTOMER_FIELDS`; a test
//! holds the two together.

use std::cell::OnceCell;
use std::sync::Arc;

use definitions::Thresholds;
use domain::Timestamp;
use serde_json::Map;

use crate::quintiles::Boundaries;
use crate::score;
use crate::state::{Bucket, Did, Money, SegmentationState, Spending, Tally};
use crate::windows::{self, WINDOW_DAYS};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// So many of her favourites are told.
const TOLD_FAVOURITES: usize = 5;

/// A field of the customer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Field {
    Known,
    AgeDays,
    InactiveDays,
    RecencyDays,
    Frequency,
    MonetaryMinor,
    AverageOrderMinor,
    Currency,
    CouponPercent,
    RecencyQuintile,
    FrequencyQuintile,
    MonetaryQuintile,
    LeadScore,
    Tier,
    /// What others scored of her under that name.
    Score(Arc<str>),
    FavouriteCategories,
    FavouriteBrands,
    ConsentMarketing,
    HasEmail,
    HasPhone,
    ReachableEmail,
    CartOpen,
    CartValueMinor,
    CartItems,
    CartIdleHours,
    /// All traits, by name.
    Traits,
    /// One of them.
    Trait(Arc<str>),
    /// How often, or for how much, in the last days; ever, where there are none.
    Counted(Option<u16>, Counter),
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Counter {
    PageViews,
    ProductViews,
    CartAdditions,
    Checkouts,
    Orders,
    SpentMinor,
    RefundedMinor,
    EmailOpens,
    EmailClicks,
}

/// What a field is at a moment.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value<'s> {
    Missing,
    Bool(bool),
    Int(i64),
    Text(&'s str),
    Texts(Vec<&'s str>),
    Json(serde_json::Value),
}

impl Field {
    /// The field of this path, such as `last_30d.orders`.
    pub(crate) fn parse(path: &str) -> Option<Self> {
        Some(match path {
            "known" => Self::Known,
            "age_days" => Self::AgeDays,
            "inactive_days" => Self::InactiveDays,
            "recency_days" => Self::RecencyDays,
            "frequency" => Self::Frequency,
            "monetary_minor" => Self::MonetaryMinor,
            "average_order_minor" => Self::AverageOrderMinor,
            "currency" => Self::Currency,
            "coupon_percent" => Self::CouponPercent,
            "rfm.recency" => Self::RecencyQuintile,
            "rfm.frequency" => Self::FrequencyQuintile,
            "rfm.monetary" => Self::MonetaryQuintile,
            "lead_score" => Self::LeadScore,
            "tier" => Self::Tier,
            "favourite_categories" => Self::FavouriteCategories,
            "favourite_brands" => Self::FavouriteBrands,
            "consent_marketing" => Self::ConsentMarketing,
            "has_email" => Self::HasEmail,
            "has_phone" => Self::HasPhone,
            "reachable.email" => Self::ReachableEmail,
            "cart.open" => Self::CartOpen,
            "cart.value_minor" => Self::CartValueMinor,
            "cart.items" => Self::CartItems,
            "cart.idle_hours" => Self::CartIdleHours,
            "traits" => Self::Traits,
            _ => {
                let (first, rest) = path.split_once('.')?;
                match first {
                    "traits" => Self::Trait(rest.into()),
                    "scores" => Self::Score(rest.into()),
                    "total" => Self::Counted(None, Counter::parse(rest)?),
                    _ => {
                        let days = first.strip_prefix("last_")?.strip_suffix('d')?.parse().ok()?;
                        let days = WINDOW_DAYS.contains(&days).then_some(days)?;
                        Self::Counted(Some(days), Counter::parse(rest)?)
                    }
                }
            }
        })
    }

    /// Whether it hangs on the boundaries that were learnt from all customers.
    pub(crate) const fn is_quintile(&self) -> bool {
        matches!(self, Self::RecencyQuintile | Self::FrequencyQuintile | Self::MonetaryQuintile)
    }

    /// Whether it may hold personal data, and so is in no record that is kept for long.
    pub(crate) const fn is_personal(&self) -> bool {
        matches!(self, Self::Traits | Self::Trait(_))
    }
}

impl Counter {
    /// All of them, by name.
    pub(crate) const ALL: [(&'static str, Self); 9] = [
        ("page_views", Self::PageViews),
        ("product_views", Self::ProductViews),
        ("cart_additions", Self::CartAdditions),
        ("checkouts", Self::Checkouts),
        ("orders", Self::Orders),
        ("spent_minor", Self::SpentMinor),
        ("refunded_minor", Self::RefundedMinor),
        ("email_opens", Self::EmailOpens),
        ("email_clicks", Self::EmailClicks),
    ];

    fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(own, _)| *own == name).map(|(_, counter)| *counter)
    }

    const fn of_tally(self, tally: &Tally) -> i64 {
        match self {
            Self::PageViews => tally.page_views,
            Self::ProductViews => tally.product_views,
            Self::CartAdditions => tally.cart_additions,
            Self::Checkouts => tally.checkouts,
            Self::EmailOpens => tally.email_opens,
            Self::EmailClicks => tally.email_clicks,
            Self::Orders | Self::SpentMinor | Self::RefundedMinor => 0,
        }
    }

    /// Of a bucket; amounts of the currency at this place alone, orders of all.
    fn of_bucket(self, bucket: &Bucket, currency: Option<usize>) -> i64 {
        let main = || bucket.money.iter().find(|money| Some(money.currency as usize) == currency);
        match self {
            Self::Orders => bucket.money.iter().map(|money| money.orders).sum(),
            Self::SpentMinor => main().map_or(0, |money: &Money| money.spent_minor),
            Self::RefundedMinor => main().map_or(0, |money| money.refunded_minor),
            _ => self.of_tally(&bucket.tally),
        }
    }
}

/// A customer at a moment.
pub(crate) struct Profile<'s> {
    pub(crate) state: &'s SegmentationState,
    pub(crate) now: Timestamp,
    currency: Option<usize>,
    boundaries: Option<&'s Boundaries>,
    traits: OnceCell<Map<String, serde_json::Value>>,
}

impl<'s> Profile<'s> {
    /// She has no quintiles unless it is said by which boundaries.
    pub(crate) fn new(state: &'s SegmentationState, now: Timestamp) -> Self {
        Self { state, now, currency: state.main_currency(), boundaries: None, traits: OnceCell::new() }
    }

    /// With quintiles by these boundaries, where some are published.
    pub(crate) fn by(self, boundaries: Option<&'s Boundaries>) -> Self {
        Self { boundaries, ..self }
    }

    /// A field of hers.
    pub(crate) fn value(&self, field: &Field) -> Value<'s> {
        let state = self.state;
        let int = |value: Option<i64>| value.map_or(Value::Missing, Value::Int);
        let spending = self.currency.map(|place| &state.currencies[place]);
        match field {
            Field::Known => Value::Bool(state.known),
            Field::AgeDays | Field::InactiveDays | Field::RecencyDays | Field::CartIdleHours => {
                int(self.clock(field).map(|(since, unit)| self.now.millis_since(since).max(0) / unit))
            }
            Field::Frequency => Value::Int(self.orders()),
            Field::MonetaryMinor => Value::Int(spending.map_or(0, Spending::monetary_minor)),
            Field::AverageOrderMinor => int(spending.map(|spending| spending.spent_minor / spending.orders.max(1))),
            Field::Currency => spending.map_or(Value::Missing, |spending| Value::Text(&spending.currency)),
            Field::CouponPercent => {
                let with: i64 = state.currencies.iter().map(|spending| spending.coupon_orders).sum();
                Value::Int(100 * with / self.orders().max(1))
            }
            Field::RecencyQuintile => int(self.boundaries.zip(self.recency_days()).map(|(by, days)| by.recency(days))),
            Field::FrequencyQuintile => int(self.boundaries.zip(spending).map(|(by, _)| by.frequency(self.orders()))),
            Field::MonetaryQuintile => {
                let own = self.boundaries.zip(spending);
                int(own.and_then(|(by, spending)| by.monetary(&spending.currency, spending.monetary_minor())))
            }
            Field::LeadScore => Value::Int(score::of(self)),
            Field::Tier => state.tier().map_or(Value::Missing, Value::Text),
            Field::Score(name) => int(state.score(name)),
            Field::FavouriteCategories => favourites(&state.categories),
            Field::FavouriteBrands => favourites(&state.brands),
            Field::ConsentMarketing => state.consent_marketing.map_or(Value::Missing, Value::Bool),
            Field::HasEmail => Value::Bool(state.has_email),
            Field::HasPhone => Value::Bool(state.has_phone),
            Field::ReachableEmail => Value::Bool(state.can_be_mailed()),
            Field::CartOpen => Value::Bool(state.cart.is_some()),
            Field::CartValueMinor => {
                let value = |lines: &[crate::state::CartLine]| {
                    lines
                        .iter()
                        .fold(0_i64, |sum, line| sum.saturating_add(line.price_minor.saturating_mul(line.quantity)))
                };
                Value::Int(state.cart.as_ref().map_or(0, |cart| value(&cart.lines)))
            }
            Field::CartItems => {
                Value::Int(state.cart.as_ref().map_or(0, |cart| cart.lines.iter().map(|line| line.quantity).sum()))
            }
            Field::Traits => Value::Json(serde_json::Value::Object(self.traits().clone())),
            Field::Trait(name) => self.traits().get(&**name).map_or(Value::Missing, |value| Value::Json(value.clone())),
            Field::Counted(days, counter) => Value::Int(self.counted(*days, *counter)),
        }
    }

    /// Whole days since her last order.
    pub(crate) fn recency_days(&self) -> Option<i64> {
        let (since, unit) = self.clock(&Field::RecencyDays)?;
        Some(self.now.millis_since(since).max(0) / unit)
    }

    pub(crate) fn orders(&self) -> i64 {
        self.state.currencies.iter().map(|spending| spending.orders).sum()
    }

    /// The same of all counters, in the order of [`Counter::ALL`].
    pub(crate) fn all_counted(&self, days: Option<u16>) -> [i64; Counter::ALL.len()] {
        let Some(window) = days else { return Counter::ALL.map(|(_, counter)| self.counted(None, counter)) };
        let mut all = [0; Counter::ALL.len()];
        for bucket in windows::within(&self.state.buckets, window, self.now) {
            for (sum, (_, counter)) in all.iter_mut().zip(Counter::ALL) {
                *sum = i64::saturating_add(*sum, counter.of_bucket(bucket, self.currency));
            }
        }
        all
    }

    /// How often, or for how much in her currency, in the last days; ever, where there are none.
    pub(crate) fn counted(&self, days: Option<u16>, counter: Counter) -> i64 {
        let Some(days) = days else {
            let spending = self.currency.map(|place| &self.state.currencies[place]);
            return match counter {
                Counter::Orders => self.orders(),
                Counter::SpentMinor => spending.map_or(0, |spending| spending.spent_minor),
                Counter::RefundedMinor => spending.map_or(0, |spending| spending.refunded_minor),
                _ => counter.of_tally(&self.state.totals),
            };
        };
        let buckets = windows::within(&self.state.buckets, days, self.now);
        buckets.map(|bucket| counter.of_bucket(bucket, self.currency)).fold(0, i64::saturating_add)
    }

    fn traits(&self) -> &Map<String, serde_json::Value> {
        self.traits.get_or_init(|| match self.state.traits_json.as_deref().map(serde_json::from_str) {
            Some(Ok(serde_json::Value::Object(traits))) => traits,
            _ => Map::new(),
        })
    }

    /// Of a field that grows with time: since when, and by what unit.
    fn clock(&self, field: &Field) -> Option<(Timestamp, i64)> {
        let seen = |kind| self.state.seen(kind);
        match field {
            Field::AgeDays => seen(Did::Any).map(|seen| (seen.first_at, DAY_MS)),
            Field::InactiveDays => seen(Did::Any).map(|seen| (seen.last_at, DAY_MS)),
            Field::RecencyDays => seen(Did::Orders).map(|seen| (seen.last_at, DAY_MS)),
            Field::CartIdleHours => self.state.cart.as_ref().map(|cart| (cart.changed_at, HOUR_MS)),
            _ => None,
        }
    }

    /// When time alone next moves the field past one of the thresholds.
    pub(crate) fn next_change(&self, field: &Field, thresholds: &Thresholds) -> Option<Timestamp> {
        if let Some((since, unit)) = self.clock(field) {
            let value = self.now.millis_since(since).max(0) / unit;
            let next = match thresholds {
                Thresholds::At(numbers) => *numbers.range(value + 1..).next()?,
                Thresholds::Anywhere => value + 1,
            };
            return Some(Timestamp::from_millis(since.as_millis().saturating_add(next.saturating_mul(unit))));
        }
        match field {
            Field::RecencyQuintile => self.recency_quintile_falls(thresholds),
            Field::Counted(Some(days), counter) => self.window_falls(*days, *counter, thresholds),
            _ => None,
        }
    }

    /// Days go by, and one boundary after the other is behind her.
    fn recency_quintile_falls(&self, thresholds: &Thresholds) -> Option<Timestamp> {
        let (boundaries, (since, unit)) = (self.boundaries?, self.clock(&Field::RecencyDays)?);
        let days = self.recency_days()?;
        let is = boundaries.recency(days);
        let falls = |then: i64| match thresholds {
            Thresholds::At(numbers) => numbers.range(then + 1..=is).next().is_some(),
            Thresholds::Anywhere => true,
        };
        let next = boundaries.recency_falls(days).find(|days| falls(boundaries.recency(*days)))?;
        Some(Timestamp::from_millis(since.as_millis().saturating_add(next.saturating_mul(unit))))
    }

    /// The buckets leave a window in their order, and what they hold goes with them.
    fn window_falls(&self, days: u16, counter: Counter, thresholds: &Thresholds) -> Option<Timestamp> {
        let mut value = self.counted(Some(days), counter);
        let mut leaving = windows::within(&self.state.buckets, days, self.now).peekable();
        while let Some(bucket) = leaving.next() {
            let at = windows::leaves_at(bucket, days);
            let mut left = value.saturating_sub(counter.of_bucket(bucket, self.currency));
            // The hours of one day leave at once.
            while let Some(bucket) = leaving.next_if(|next| windows::leaves_at(next, days) == at) {
                left = left.saturating_sub(counter.of_bucket(bucket, self.currency));
            }
            let (low, high) = (left.min(value), left.max(value));
            let crosses = match thresholds {
                Thresholds::At(numbers) => low < high && numbers.range(low + 1..=high).next().is_some(),
                Thresholds::Anywhere => low < high,
            };
            if crosses {
                return Some(at);
            }
            value = left;
        }
        None
    }
}

fn favourites(favourites: &[crate::state::Favourite]) -> Value<'_> {
    Value::Texts(favourites.iter().take(TOLD_FAVOURITES).map(|favourite| favourite.name.as_str()).collect())
}
