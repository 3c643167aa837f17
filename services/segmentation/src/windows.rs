//! What she did in the last days: counters over sliding windows.
//!
//! Wanted properties:
//! - a window of N days asked at T holds, for 1 and 7 days, what happened in the clock hours (UTC) h with
//!   hour(T) - 24 N < h <= hour(T), and for 30, 90 and 365 days, in the days (UTC) d with day(T) - N < d <= day(T): exact to
//!   the hour, and to the day;
//! - it does not matter in which order things are told;
//! - bounded: hours are kept for as long as a window asks for them, then they become days; after 365 days they go.
//!
//! What happened longer ago than that when it is told is in no window, and only in the totals.

use domain::Timestamp;

use crate::state::{Bucket, Money, Tally};

/// The windows, in days.
pub const WINDOW_DAYS: [u16; 5] = [1, 7, 30, 90, 365];
/// Windows of so many days at most are made of hours.
const HOURLY_DAYS: u16 = 7;
const LONGEST_DAYS: i32 = 365;
const HOUR_MS: i64 = 3_600_000;

/// The clock hour of a time, UTC, counted since 1970.
pub(crate) fn hour_of(at: Timestamp) -> i32 {
    i32::try_from(at.as_millis().div_euclid(HOUR_MS)).unwrap_or(if at.as_millis() < 0 { i32::MIN } else { i32::MAX })
}

const fn day_of(hour: i32) -> i32 {
    hour.div_euclid(24)
}

/// The bucket of a time, to be added to; none where it is in no window any more. `now` is her time.
pub(crate) fn bucket(buckets: &mut Vec<Bucket>, at: Timestamp, now: Timestamp) -> Option<&mut Bucket> {
    let today = day_of(hour_of(now));
    buckets.retain(|bucket| day_of(bucket.hour) > today - LONGEST_DAYS);
    fold(buckets, today);
    let hour = kept_as(hour_of(at), today);
    if day_of(hour) <= today - LONGEST_DAYS {
        return None;
    }
    let place = buckets.partition_point(|bucket| bucket.hour < hour);
    if buckets.get(place).is_none_or(|bucket| bucket.hour != hour) {
        buckets.insert(place, Bucket { hour, ..Bucket::default() });
    }
    buckets.get_mut(place)
}

/// The hour under which something is kept: of a day that no window of hours reaches any more, its first.
const fn kept_as(hour: i32, today: i32) -> i32 {
    let day = day_of(hour);
    if day < today - HOURLY_DAYS as i32 { day.saturating_mul(24) } else { hour }
}

/// Puts the hours of days long past together.
fn fold(buckets: &mut Vec<Bucket>, today: i32) {
    if !buckets.iter().any(|bucket| kept_as(bucket.hour, today) != bucket.hour) {
        return;
    }
    let mut folded: Vec<Bucket> = Vec::with_capacity(buckets.len());
    for mut bucket in buckets.drain(..) {
        bucket.hour = kept_as(bucket.hour, today);
        match folded.last_mut() {
            Some(last) if last.hour == bucket.hour => last.add(&bucket),
            _ => folded.push(bucket),
        }
    }
    *buckets = folded;
}

/// Those of the buckets that a window holds at `now`.
pub(crate) fn within(buckets: &[Bucket], days: u16, now: Timestamp) -> impl Iterator<Item = &Bucket> {
    let hour = hour_of(now);
    buckets.iter().filter(move |bucket| bucket.hour <= hour && leaves_in(bucket.hour, days) > hour)
}

/// The first hour in which a window holds the bucket no longer.
const fn leaves_in(hour: i32, days: u16) -> i32 {
    let days_i32 = days as i32;
    if days <= HOURLY_DAYS {
        hour.saturating_add(24 * days_i32)
    } else {
        day_of(hour).saturating_add(days_i32).saturating_mul(24)
    }
}

/// When the window loses the bucket.
pub(crate) fn leaves_at(bucket: &Bucket, days: u16) -> Timestamp {
    Timestamp::from_millis(i64::from(leaves_in(bucket.hour, days)) * HOUR_MS)
}

impl Bucket {
    /// Of one currency: what there is to add to.
    pub(crate) fn money_mut(&mut self, currency: usize) -> &mut Money {
        let currency = currency as i32;
        let place = self.money.iter().position(|money| money.currency == currency).unwrap_or_else(|| {
            self.money.push(Money { currency, ..Money::default() });
            self.money.len() - 1
        });
        &mut self.money[place]
    }

    fn add(&mut self, other: &Self) {
        self.tally.add(&other.tally);
        for money in &other.money {
            let own = self.money_mut(money.currency as usize);
            own.orders += money.orders;
            own.spent_minor = own.spent_minor.saturating_add(money.spent_minor);
            own.refunded_minor = own.refunded_minor.saturating_add(money.refunded_minor);
        }
    }
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.page_views += other.page_views;
        self.product_views += other.product_views;
        self.cart_additions += other.cart_additions;
        self.checkouts += other.checkouts;
        self.email_opens += other.email_opens;
        self.email_clicks += other.email_clicks;
    }
}
