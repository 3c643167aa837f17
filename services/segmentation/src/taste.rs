//! Her favourite categories and brands: what she looks at, puts into carts and buys, each halved every 30 days.
//!
//! Wanted property: their order changes only with what she does, never with time alone. So all weights of a customer are
//! meant at the same moment, the beginning of a half-life; what comes later in it weighs up to twice as much, and with the
//! next half-life all are halved. In whole numbers, so that every machine gets the same.

use domain::Timestamp;

use crate::state::{Favourite, MAX_FAVOURITES, MAX_NAME_BYTES, SegmentationState};

const HALF_LIFE_DAYS: i64 = 30;
const DAY_MS: i64 = 86_400_000;
/// The weight of one point at the beginning of a half-life.
const UNIT: i64 = 1 << 20;

/// How much each deed says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Liking {
    Viewed,
    Added,
    Bought,
}

impl Liking {
    const fn points(self) -> i64 {
        match self {
            Self::Viewed => 1,
            Self::Added => 3,
            Self::Bought => 10,
        }
    }
}

pub(crate) fn note(
    state: &mut SegmentationState,
    liking: Liking,
    category: Option<&str>,
    brand: Option<&str>,
    at: Timestamp,
) {
    if category.is_none() && brand.is_none() {
        return;
    }
    let day = at.as_millis().div_euclid(DAY_MS);
    let period = i32::try_from(day.div_euclid(HALF_LIFE_DAYS)).unwrap_or(0);
    if period > state.taste_period {
        let halvings = u32::try_from(i64::from(period) - i64::from(state.taste_period)).unwrap_or(u32::MAX);
        for favourites in [&mut state.categories, &mut state.brands] {
            for favourite in favourites.iter_mut() {
                favourite.weight = favourite.weight.checked_shr(halvings).unwrap_or(0);
            }
            favourites.retain(|favourite| favourite.weight > 0);
        }
        state.taste_period = period;
    }
    // Between the halvings it grows by the day, in a line: as if it had been halved a little since.
    let within = UNIT + UNIT * day.rem_euclid(HALF_LIFE_DAYS) / HALF_LIFE_DAYS;
    let late = u32::try_from(i64::from(state.taste_period) - i64::from(period)).unwrap_or(u32::MAX);
    let weight = (liking.points() * within).checked_shr(late).unwrap_or(0);
    for (favourites, name) in [(&mut state.categories, category), (&mut state.brands, brand)] {
        if let Some(name) = name.map(str::trim).filter(|name| !name.is_empty() && name.len() <= MAX_NAME_BYTES) {
            add(favourites, name, weight);
        }
    }
}

fn add(favourites: &mut Vec<Favourite>, name: &str, weight: i64) {
    if weight == 0 {
        return;
    }
    let mut favourite = match favourites.iter().position(|favourite| favourite.name == name) {
        Some(place) => favourites.remove(place),
        None => Favourite { name: name.to_owned(), weight: 0 },
    };
    favourite.weight = favourite.weight.saturating_add(weight);
    // Behind those that are as dear: who came first stays first.
    let place = favourites.partition_point(|other| other.weight >= favourite.weight);
    favourites.insert(place, favourite);
    // The newest one stays, however light: it could never grow otherwise.
    if favourites.len() > MAX_FAVOURITES {
        let last = favourites.len() - 1;
        favourites.remove(if place == last { last - 1 } else { last });
    }
}
