//! Quintiles: learnt from all customers, and what becomes of a customer when their boundaries are published.

use proptest::prelude::*;
use schemas::{CurrencyQuintiles, Quintiles, SegmentChange};
use segmentation::{
    Boundaries, Did, MAX_LEARNT_CURRENCIES, MIN_CUSTOMERS, Policy, Seen, SegmentationState, Spending, Standing,
    customer_rows, learn, preview,
};

use crate::support::{ANA, DAY, HOUR, Shop, at, order, quintiles, segment, track};

const RECENT: &str = "segment: recent\nversion: 1\nenter: customer.rfm.recency >= 4\n";

/// Somebody whose last order was so many days ago, at day 0.
fn state(days: i64, orders: &[(&str, i64, i64)]) -> SegmentationState {
    let last_at = at(-days * DAY);
    let spending = |(currency, orders, spent_minor): &(&str, i64, i64)| Spending {
        currency: (*currency).to_owned(),
        orders: *orders,
        coupon_orders: 0,
        spent_minor: *spent_minor,
        refunded_minor: 0,
    };
    SegmentationState {
        seen: vec![Seen { kind: Did::Orders, first_at: last_at, last_at }],
        currencies: orders.iter().map(spending).collect(),
        ..SegmentationState::default()
    }
}

fn learnt_of(states: &[SegmentationState]) -> Quintiles {
    learn(states.iter().filter_map(|state| Standing::of(state, at(0))), at(0))
}

/// Her quintiles by recency, frequency and monetary value, row by row.
fn quintiles_of(state: &SegmentationState, learnt: &Quintiles) -> Vec<[Option<i64>; 3]> {
    let boundaries = Boundaries::of(learnt).unwrap();
    customer_rows(ANA, state, at(0), Some(&boundaries)).into_iter().map(|row| row.quintiles).collect()
}

fn customers() -> impl Strategy<Value = Vec<(i64, i64, i64, bool)>> {
    prop::collection::vec((0..40_i64, 1..9_i64, -500..5_000_i64, any::<bool>()), 10..80)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_quintile_is_one_for_each_whole_fifth_of_the_customers_who_have_less(customers in customers()) {
        let states: Vec<SegmentationState> = customers
            .iter()
            .map(|(days, orders, minor, euros)| state(*days, &[(if *euros { "EUR" } else { "USD" }, *orders, *minor)]))
            .collect();
        let learnt = learnt_of(&states);
        prop_assert_eq!(learnt.customers, states.len() as i64);
        for ((days, orders, minor, euros), state) in customers.iter().zip(&states) {
            let fifths = |less: usize, of: usize| (5 * less / of) as i64;
            let sooner = customers.iter().filter(|other| other.0 < *days).count();
            let less_often = customers.iter().filter(|other| other.1 < *orders).count();
            let of_currency: Vec<_> = customers.iter().filter(|other| other.3 == *euros).collect();
            let for_less = of_currency.iter().filter(|other| other.2 < *minor).count();
            let monetary = (of_currency.len() >= MIN_CUSTOMERS).then(|| 1 + fifths(for_less, of_currency.len()));
            let expected =
                [Some(5 - fifths(sooner, customers.len())), Some(1 + fifths(less_often, customers.len())), monetary];
            prop_assert_eq!(quintiles_of(state, &learnt), [expected]);
        }
    }

    #[test]
    fn it_does_not_matter_in_which_order_customers_are_looked_at(
        customers in customers().prop_flat_map(|customers| (Just(customers.clone()), Just(customers).prop_shuffle())),
    ) {
        let learnt = |customers: &[(i64, i64, i64, bool)]| {
            let states: Vec<_> =
                customers.iter().map(|(days, orders, minor, _)| state(*days, &[("EUR", *orders, *minor)])).collect();
            learnt_of(&states)
        };
        prop_assert_eq!(learnt(&customers.0), learnt(&customers.1));
    }
}

#[test]
fn customers_of_whom_no_two_are_equal_fall_into_fifths_of_one_size() {
    let states: Vec<_> = (0..20).map(|number| state(number, &[("EUR", 1 + number, 100 * number)])).collect();
    let learnt = learnt_of(&states);
    assert_eq!(
        (learnt.recency_days.as_slice(), learnt.frequency.as_slice()),
        (&[3, 7, 11, 15][..], &[4, 8, 12, 16][..])
    );
    let all: Vec<_> = states.iter().flat_map(|state| quintiles_of(state, &learnt)).collect();
    for quintile in 1..=5 {
        for place in 0..3 {
            assert_eq!(all.iter().filter(|quintiles| quintiles[place] == Some(quintile)).count(), 4);
        }
    }
    // Who ordered last is the best.
    assert_eq!((all[0], all[19]), ([Some(5), Some(1), Some(1)], [Some(1), Some(5), Some(5)]));
}

#[test]
fn fewer_than_five_customers_have_no_quintiles_and_a_currency_of_fewer_none_of_its_own() {
    let four: Vec<_> = (0..4).map(|number| state(number, &[("EUR", 1, 100)])).collect();
    let learnt = learnt_of(&four);
    assert_eq!(learnt, Quintiles { learnt_at: at(0).as_millis(), customers: 4, ..Quintiles::default() });
    assert!(Boundaries::of(&learnt).is_err());

    // Who never ordered does not count; who buys in two currencies counts in the one in which she orders most often.
    let nobody = SegmentationState { known: true, ..SegmentationState::default() };
    let both = state(4, &[("USD", 1, 9_000), ("EUR", 2, 50)]);
    let learnt = learnt_of(&[&four[..], &[nobody, both.clone(), state(5, &[("USD", 1, 100)])]].concat());
    let currencies: Vec<_> = learnt.monetary.iter().map(|of| (of.currency.as_str(), of.customers)).collect();
    assert_eq!((learnt.customers, currencies), (6, vec![("EUR", 5)]));
    assert_eq!(quintiles_of(&state(5, &[("USD", 1, 100)]), &learnt)[0][2], None);
    let rows = quintiles_of(&both, &learnt);
    assert_eq!(rows.iter().map(|row| row[2].is_some()).collect::<Vec<_>>(), [false, true]);
}

#[test]
fn of_very_many_currencies_those_in_which_most_customers_buy_have_quintiles() {
    let code = |number: usize| format!("{number:03}");
    let mut states = Vec::new();
    for number in 0..=MAX_LEARNT_CURRENCIES {
        let customers = if number == 0 { 5 } else { 6 };
        states.extend((0..customers).map(|minor| state(1, &[(&code(number), 1, minor)])));
    }
    let learnt = learnt_of(&states);
    assert_eq!(learnt.monetary.len(), MAX_LEARNT_CURRENCIES);
    assert_eq!(learnt.monetary[0].currency, code(1));
    assert!(learnt.monetary.is_sorted_by_key(|of| &of.currency));
    Boundaries::of(&learnt).unwrap();
}

#[test]
fn boundaries_that_are_none_are_refused_with_what_is_wrong() {
    let of = |learnt: &Quintiles| Boundaries::of(learnt).unwrap_err();
    let good = quintiles(0, [1, 2, 3, 4]);
    Boundaries::of(&good).unwrap();
    for (bad, wrong) in [
        (Quintiles { recency_days: vec![1, 2, 3], ..good.clone() }, "the boundaries of recency are not four numbers"),
        (Quintiles { frequency: vec![1, 2, 4, 3], ..good.clone() }, "the boundaries of frequency are not four numbers"),
        (Quintiles { monetary: [&good.monetary[..], &good.monetary].concat(), ..good.clone() }, "EUR is there twice"),
        (
            Quintiles {
                monetary: vec![CurrencyQuintiles { bounds: vec![], ..good.monetary[0].clone() }],
                ..good.clone()
            },
            "the boundaries of EUR are not four numbers",
        ),
    ] {
        assert!(of(&bad).starts_with(wrong), "{}", of(&bad));
    }
}

fn told(changes: &[SegmentChange]) -> Vec<(i64, bool)> {
    changes.iter().map(|change| (change.at, change.historical)).collect()
}

#[test]
fn before_boundaries_are_published_nobody_has_quintiles_and_the_first_take_in_who_is_there_as_history() {
    let mut shop = Shop::with(&[RECENT, "segment: unranked\nversion: 1\nenter: '!has(customer.rfm.monetary)'\n"]);
    shop.tell(order("o1", 1_000, 0));
    shop.driver.advance_to(at(10 * DAY));
    assert_eq!(shop.changes(), ["+unranked by event at 0"]);
    shop.learn(&quintiles(10 * DAY, [5, 10, 20, 30]));
    let changes = shop.records();
    assert_eq!(told(&changes), [(at(10 * DAY).as_millis(), true); 2]);
    assert_eq!(changes[1].detail_json.as_deref(), Some(r#"{"rfm.recency":4}"#));
    assert_eq!(changes[1].cause, schemas::ChangeCause::Boundaries);
    assert_eq!(shop.segments(), ["recent"]);
}

#[test]
fn later_boundaries_move_her_as_of_when_they_were_learnt_and_that_is_news() {
    let mut shop = Shop::with(&[RECENT]);
    shop.learn(&quintiles(0, [5, 10, 20, 30]));
    shop.tell(order("o1", 1_000, 0));
    shop.driver.advance_to(at(10 * DAY));
    shop.learn(&quintiles(10 * DAY, [2, 9, 20, 30]));
    let changes = shop.records();
    assert_eq!(told(&changes), [(at(0).as_millis(), false), (at(10 * DAY).as_millis(), false)]);
    // The same again changes nothing, and nothing comes twice.
    shop.learn(&quintiles(10 * DAY, [2, 9, 20, 30]));
    shop.tell(track("Product Viewed", 10 * DAY + HOUR));
    assert_eq!(shop.changes(), [""; 0]);
}

#[test]
fn time_alone_moves_her_into_a_lower_quintile_at_the_very_moment() {
    let mut shop = Shop::with(&[RECENT, "segment: gone\nversion: 1\nenter: customer.rfm.recency == 1\n"]);
    shop.learn(&quintiles(0, [5, 10, 10, 30]));
    shop.tell(order("o1", 1_000, 5 * HOUR));
    shop.driver.advance_to(at(11 * DAY + 5 * HOUR - 1));
    assert_eq!(shop.changes(), [format!("+recent by event at {}", 5 * HOUR)]);
    shop.driver.advance_to(at(100 * DAY));
    let expected =
        [format!("-recent by time at {}", 11 * DAY + 5 * HOUR), format!("+gone by time at {}", 31 * DAY + 5 * HOUR)];
    assert_eq!(shop.changes(), expected);
}

#[test]
fn what_new_boundaries_do_to_an_exclusive_group_has_them_as_its_cause_and_other_segments_are_not_touched() {
    let first = "segment: first\nversion: 1\ngroup: rfm\npriority: 2\nenter: customer.rfm.frequency >= 2\n";
    let others = "segment: others\nversion: 1\ngroup: rfm\npriority: 1\nenter: customer.frequency >= 1\n";
    let mut shop = Shop::with(&[first, others, "segment: bought\nversion: 1\nenter: customer.frequency >= 1\n"]);
    shop.tell(order("o1", 1_000, 0));
    let more = |seconds, least| Quintiles { frequency: vec![least; 4], ..quintiles(seconds, [1, 2, 3, 4]) };
    shop.driver.advance_to(at(DAY));
    shop.learn(&more(DAY, 0));
    // Definitions and boundaries, both new when she hears of them: each segment has its own cause.
    shop.driver.advance_to(at(2 * DAY));
    shop.apply("segment: plain\nversion: 1\nenter: customer.frequency >= 1\n", 2 * DAY);
    shop.learn(&more(2 * DAY, 9));
    let expected = [
        "+bought by event at 0".to_owned(),
        "+others by event at 0".to_owned(),
        format!("-others by boundaries at {DAY}"),
        format!("+first by boundaries at {DAY}"),
        format!("+plain by definition at {}", 2 * DAY),
        format!("-first by boundaries at {}", 2 * DAY),
        format!("+others by boundaries at {}", 2 * DAY),
    ];
    assert_eq!(shop.changes(), expected);
}

#[test]
fn boundaries_that_can_not_be_read_change_nothing_and_those_that_are_taken_back_leave_nobody_ranked() {
    let mut shop = Shop::with(&[RECENT]);
    shop.learn(&quintiles(0, [5, 10, 20, 30]));
    shop.tell(order("o1", 1_000, 0));
    let refused = |shop: &mut Shop, value: &[u8]| shop.driver.table(1, "quintiles", Some(value)).unwrap_err().reason;
    assert_eq!(refused(&mut shop, b"\x00\x00"), "malformed");
    let bad = Quintiles { recency_days: vec![1], ..quintiles(0, [1, 2, 3, 4]) };
    assert_eq!(refused(&mut shop, &stream::encode("customer.quintiles", &bad)), "invalid_quintiles");
    assert_eq!(shop.segments(), ["recent"]);
    shop.driver.table(1, "quintiles", None).unwrap();
    assert_eq!(shop.segments(), [""; 0]);
    let taken_back = shop.records().pop().unwrap();
    assert_eq!((taken_back.cause, taken_back.historical), (schemas::ChangeCause::Definition, true));
}

#[test]
fn a_preview_ranks_by_the_boundaries_that_it_is_given() {
    let mut shop = Shop::with(&[]);
    shop.tell(order("o1", 1_000, 0));
    let mut policy = Policy::default();
    policy.insert(segment(RECENT));
    assert_eq!(preview(&policy, &ANA.into(), &shop.state(), at(DAY)).len(), 0);
    policy.learn(Boundaries::of(&quintiles(0, [5, 10, 20, 30])).unwrap(), 7);
    assert_eq!(preview(&policy, &ANA.into(), &shop.state(), at(DAY)).len(), 1);
    assert_eq!(preview(&policy, &ANA.into(), &shop.state(), at(11 * DAY)).len(), 0);
}
