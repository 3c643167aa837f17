//! The lead score: how promising a customer is just now, from 0 to 100, as the sum of named factors. `docs/segments.md` says
//! what each of them counts; a test holds it to what is computed here.

use std::collections::BTreeSet;

use definitions::Thresholds;

use crate::field::{Counter, Field, Profile, Value};

/// A factor, and its points.
pub(crate) type Factor = (&'static str, i64);

/// The score.
pub(crate) fn of(profile: &Profile<'_>) -> i64 {
    total(&factors(profile))
}

/// The score of which these are the factors.
pub(crate) fn total(factors: &[Factor]) -> i64 {
    factors.iter().map(|(_, points)| points).sum()
}

/// So many factors has the score.
pub(crate) const FACTORS: usize = 5;

/// The score's factors.
pub(crate) fn factors(profile: &Profile<'_>) -> [Factor; FACTORS] {
    let count = |days, counter| profile.counted(Some(days), counter);
    let int = |field| match profile.value(&field) {
        Value::Int(value) => Some(value),
        _ => None,
    };
    let state = profile.state;
    let recency = match int(Field::InactiveDays) {
        Some(..=0) => 25,
        Some(1..=6) => 18,
        Some(7..=29) => 10,
        Some(30..=89) => 4,
        _ => 0,
    };
    let interest = count(30, Counter::ProductViews).saturating_add(count(30, Counter::CartAdditions).saturating_mul(2));
    let intent = if state.cart.is_some() { 12 } else { 0 } + if count(7, Counter::Checkouts) > 0 { 8 } else { 0 };
    let loyalty = match int(Field::Frequency) {
        Some(10..) => 25,
        Some(5..=9) => 21,
        Some(3..=4) => 17,
        Some(2) => 13,
        Some(1) => 8,
        _ => 0,
    };
    let reads = count(90, Counter::EmailOpens) + count(90, Counter::EmailClicks) > 0;
    let reach = [(state.has_email, 3), (state.has_phone, 1), (state.consent_marketing == Some(true), 4), (reads, 2)];
    let reach = reach.into_iter().filter(|(is_so, _)| *is_so).map(|(_, points)| points).sum();
    [
        ("recency", recency),
        ("interest", interest.clamp(0, 20)),
        ("intent", intent),
        ("loyalty", loyalty),
        ("reach", reach),
    ]
}

/// What time alone changes it by.
pub(crate) fn ageing() -> [(Field, Thresholds); 6] {
    let at = |numbers: &[i64]| Thresholds::At(numbers.iter().copied().collect::<BTreeSet<_>>());
    let window = |days, counter| Field::Counted(Some(days), counter);
    [
        (Field::InactiveDays, at(&[1, 7, 30, 90])),
        (window(30, Counter::ProductViews), Thresholds::Anywhere),
        (window(30, Counter::CartAdditions), Thresholds::Anywhere),
        (window(7, Counter::Checkouts), at(&[1])),
        (window(90, Counter::EmailOpens), at(&[1])),
        (window(90, Counter::EmailClicks), at(&[1])),
    ]
}
