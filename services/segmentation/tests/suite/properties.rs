//! For any history: the profile is what a plain computation over all of it gives, however it was told and whenever it is
//! asked for; and a segment is what its condition says at every moment.

use proptest::prelude::*;
use segmentation::{WINDOW_COLUMNS, WINDOW_DAYS, customer_rows};

use crate::support::{ANA, DAY, HOUR, Shop, at, order, quintiles, refund};

/// An order or a refund, when it happened, and whether it is told late.
#[derive(Clone, Debug)]
struct Deed {
    seconds: i64,
    minor: i64,
    refund: bool,
    late: bool,
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let deed = (0..500 * DAY, 1..10_000_i64, any::<bool>(), prop::bool::weighted(0.2));
    prop::collection::vec(deed, 1..40).prop_map(|deeds| {
        let mut deeds: Vec<Deed> =
            deeds.into_iter().map(|(seconds, minor, refund, late)| Deed { seconds, minor, refund, late }).collect();
        deeds.sort_by_key(|deed| deed.seconds);
        deeds
    })
}

/// Tells them: those that are late after all others.
fn tell(shop: &mut Shop, deeds: &[Deed]) {
    let late = deeds.iter().enumerate().filter(|(_, deed)| deed.late);
    for (number, deed) in deeds.iter().enumerate().filter(|(_, deed)| !deed.late).chain(late) {
        let id = format!("o{number}");
        let event =
            if deed.refund { refund(&id, deed.minor, deed.seconds) } else { order(&id, deed.minor, deed.seconds) };
        shop.tell(event);
    }
}

/// Whether a window of so many days holds what happened then: hours for a week at most, days for more.
fn holds(days: u16, then: i64, now: i64) -> bool {
    let unit = if days <= 7 { HOUR } else { DAY };
    let units = i64::from(days) * DAY / unit;
    let (then, now) = (then.div_euclid(unit), now.div_euclid(unit));
    now - units < then && then <= now
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn rows_are_what_a_plain_computation_gives(deeds in deeds(), ask_after in 0..400 * DAY) {
        let mut shop = Shop::with(&[]);
        tell(&mut shop, &deeds);
        let now = deeds.iter().map(|deed| deed.seconds).max().unwrap() + ask_after;
        let rows = customer_rows(ANA, &shop.state(), at(now), None);
        let orders: Vec<&Deed> = deeds.iter().filter(|deed| !deed.refund).collect();
        prop_assert_eq!(rows.len(), usize::from(!orders.is_empty()));
        let Some(row) = rows.first() else { return Ok(()) };
        let sum = |of_refunds: bool, wanted: &dyn Fn(&Deed) -> bool| -> i64 {
            deeds.iter().filter(|deed| deed.refund == of_refunds && wanted(deed)).map(|deed| deed.minor).sum()
        };
        prop_assert_eq!(row.frequency, orders.len() as i64);
        prop_assert_eq!(row.recency_days, (now - orders.iter().map(|order| order.seconds).max().unwrap()) / DAY);
        prop_assert_eq!(row.monetary_minor, sum(false, &|_| true) - sum(true, &|_| true));
        // What was told only when it had fallen out of every window, is in the totals alone.
        for (place, days) in WINDOW_DAYS.into_iter().enumerate() {
            let within = |deed: &Deed| holds(days, deed.seconds, now);
            let expected = [
                orders.iter().filter(|order| within(order)).count() as i64,
                sum(false, &within),
                sum(true, &within),
            ];
            prop_assert_eq!(&row.windows[place * 3..place * 3 + 3], &expected, "{}", WINDOW_COLUMNS[place * 3]);
        }
    }

    #[test]
    fn a_segment_changes_at_the_moments_at_which_a_plain_computation_says_so(
        deeds in deeds(),
        days in 0_usize..5,
        least in 1..4_i64,
        age in 1..120_i64,
    ) {
        // Told in time: what is late changes the past, which was judged as it was known then.
        let deeds: Vec<Deed> = deeds.into_iter().map(|deed| Deed { late: false, ..deed }).collect();
        let days = WINDOW_DAYS[days];
        let window = format!("segment: window\nversion: 1\nenter: customer.last_{days}d.orders >= {least}\n");
        let lapsed = format!("segment: lapsed\nversion: 1\nenter: customer.recency_days > {age}\n");
        let mut shop = Shop::with(&[&window, &lapsed]);
        tell(&mut shop, &deeds);
        let end = 1_000 * DAY;
        shop.driver.advance_to(at(end));
        let changes = shop.changes();
        // The same by looking at every moment at which anything can change.
        let mut moments: Vec<i64> = deeds.iter().map(|deed| deed.seconds).collect();
        for deed in deeds.iter().filter(|deed| !deed.refund) {
            moments.push(deed.seconds + (age + 1) * DAY);
            let unit = if days <= 7 { HOUR } else { DAY };
            moments.push(deed.seconds.div_euclid(unit) * unit + i64::from(days) * DAY);
        }
        moments.sort_unstable();
        moments.dedup();
        let mut expected = Vec::new();
        let (mut in_window, mut in_lapsed) = (false, false);
        for now in moments {
            let told = |deed: &&Deed| !deed.refund && deed.seconds <= now;
            let orders = deeds.iter().filter(told).filter(|order| holds(days, order.seconds, now)).count() as i64;
            let last = deeds.iter().filter(told).map(|order| order.seconds).max();
            let by = if deeds.iter().any(|deed| deed.seconds == now) { "event" } else { "time" };
            let is = [("lapsed", last.is_some_and(|last| (now - last) / DAY > age)), ("window", orders >= least)];
            for ((name, is), was) in is.into_iter().zip([&mut in_lapsed, &mut in_window]) {
                if is != *was {
                    expected.push(format!("{}{name} by {by} at {now}", if is { '+' } else { '-' }));
                    *was = is;
                }
            }
        }
        // At one moment those that are left come first.
        expected.sort_by_key(|change| {
            let at: i64 = change.rsplit(' ').next().and_then(|at| at.parse().ok()).unwrap_or_default();
            (at, change.starts_with('+'))
        });
        let plain = |changes: &[String]| changes.iter().map(|change| change.replace(" by event", "").replace(" by time", "")).collect::<Vec<_>>();
        prop_assert_eq!(plain(&changes), plain(&expected));
    }

    #[test]
    fn the_quintile_of_recency_changes_at_the_moments_at_which_a_plain_computation_says_so(
        deeds in deeds(),
        bounds in prop::collection::vec(prop::collection::vec(0..200_i64, 4), 2),
        learnt in 1..600 * DAY,
        quintile in 1..=5_i64,
        comparison in 0..3_usize,
    ) {
        let deeds: Vec<Deed> = deeds.into_iter().filter(|deed| !deed.refund && deed.seconds != learnt).collect();
        let sorted = |bounds: &Vec<i64>| {
            let mut bounds: [i64; 4] = bounds.as_slice().try_into().unwrap();
            bounds.sort_unstable();
            bounds
        };
        let (before, after) = (sorted(&bounds[0]), sorted(&bounds[1]));
        let condition = [">=", "<=", "=="][comparison];
        let ranked = format!("segment: ranked\nversion: 1\nenter: customer.rfm.recency {condition} {quintile}\n");
        // One that wants to know it whatever it is.
        let watched = "segment: watched\nversion: 1\nenter: customer.rfm.recency % 2 == 0\n";
        let mut shop = Shop::with(&[&ranked, watched]);
        shop.learn(&quintiles(0, before));
        let (earlier, later) = deeds.iter().cloned().partition::<Vec<_>, _>(|deed| deed.seconds < learnt);
        tell(&mut shop, &earlier.into_iter().map(|deed| Deed { late: false, ..deed }).collect::<Vec<_>>());
        shop.driver.advance_to(at(learnt));
        shop.learn(&quintiles(learnt, after));
        for (number, deed) in later.iter().enumerate() {
            shop.tell(order(&format!("later {number}"), deed.minor, deed.seconds));
        }
        shop.driver.advance_to(at(1_000 * DAY));
        // The same by looking at every day of every order, and at every order.
        let days = |deed: &Deed| (0..=201).map(|days| deed.seconds + days * DAY).collect::<Vec<_>>();
        let mut moments: Vec<i64> = deeds.iter().flat_map(days).chain([learnt]).collect();
        moments.sort_unstable();
        moments.dedup();
        let (mut expected, mut was) = (Vec::new(), [false; 2]);
        for now in moments {
            let last = deeds.iter().filter(|deed| deed.seconds <= now).map(|deed| deed.seconds).max();
            let bounds = if now < learnt { before } else { after };
            let days = last.map(|last| (now - last) / DAY);
            let recency = days.map(|days| 5 - bounds.iter().filter(|bound| **bound < days).count() as i64);
            let holds = |recency: i64| [recency >= quintile, recency <= quintile, recency == quintile][comparison];
            let is = [recency.is_some_and(holds), recency.is_some_and(|recency| recency % 2 == 0)];
            for wanted in [false, true] {
                for ((name, is), was) in ["ranked", "watched"].into_iter().zip(is).zip(&mut was) {
                    if is != *was && is == wanted {
                        expected.push(format!("{}{name} at {now}", if is { '+' } else { '-' }));
                        *was = is;
                    }
                }
            }
        }
        let plain = |change: String| {
            ["event", "time", "boundaries"].iter().fold(change, |change, cause| change.replace(&format!(" by {cause}"), ""))
        };
        prop_assert_eq!(shop.changes().into_iter().map(plain).collect::<Vec<_>>(), expected);
    }
}
