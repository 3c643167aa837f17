//! What others score of her is hers: the latest of each name, whoever tells it, and whenever.

use std::collections::BTreeMap;

use domain::{HumanDuration, Timestamp};
use proptest::prelude::*;
use schemas::{ChangeCause, CustomerEvent, CustomerScore, EventKind, MAX_HOPS, Schemas, Score, StorefrontEvent};
use segmentation::lookups::{self, CustomerView};
use segmentation::{ANONYMOUS_IDLE, KeptScore, MAX_SCORES, Output, SegmentationState};
use stream::test_driver::encode;

use crate::support::{ANA, DAY, HOUR, Shop, at, order, policy, track};

const SCORES: &str = "customer.scores";
const RISKY: &str = "segment: risky\nversion: 1\nenter: customer.scores.churn >= 70\n";
const GOLD: &str = "segment: gold\nversion: 1\nenter: customer.tier == 'gold'\n";
const LAPSED: &str = "segment: lapsed\nversion: 1\nenter: customer.recency_days >= 90\n";

/// A number, scored at so many seconds after the start.
fn number(name: &str, value: i64, seconds: i64) -> CustomerScore {
    CustomerScore { value: Some(value), ..withdrawn(name, seconds) }
}

/// A word.
fn word(name: &str, label: &str, seconds: i64) -> CustomerScore {
    CustomerScore { label: Some(label.to_owned()), ..withdrawn(name, seconds) }
}

fn withdrawn(name: &str, seconds: i64) -> CustomerScore {
    CustomerScore {
        customer_id: ANA.to_owned(),
        name: name.to_owned(),
        scored_at: at(seconds).as_millis(),
        version: Some("churn-7".to_owned()),
        ..CustomerScore::default()
    }
}

/// Somebody publishes a score, which the broker gets when it is made.
fn publish(shop: &mut Shop, score: &CustomerScore) {
    publish_at(shop, score, Timestamp::from_millis(score.scored_at));
}

fn publish_at(shop: &mut Shop, score: &CustomerScore, stored_at: Timestamp) {
    shop.driver.input(SCORES, &score.customer_id, &encode(SCORES, score), stored_at);
}

/// A customer, at the start.
fn ana(segments: &[&str]) -> Shop {
    let mut shop = Shop::with(segments);
    shop.tell(track("Product Viewed", 0));
    shop.driver.outputs();
    shop
}

fn told(shop: &mut Shop) -> Vec<CustomerEvent> {
    let event = |output| if let Output::Event(event) = output { Some(*event) } else { None };
    shop.driver.outputs().into_iter().filter_map(event).collect()
}

fn looked_up(shop: &Shop) -> Option<CustomerView> {
    lookups::read(&Schemas::offline(), shop.driver.stored(ANA)).unwrap()?.at(at(DAY), None)
}

/// What stands, as `churn 80` and `tier gold`.
fn stands(shop: &Shop) -> Vec<String> {
    let words = |kept: KeptScore| match (kept.value, kept.label) {
        (Some(value), None) => format!("{} {value}", kept.name),
        (None, Some(label)) => format!("{} {label}", kept.name),
        both => panic!("{both:?}"),
    };
    looked_up(shop).unwrap().scores.into_iter().map(words).collect()
}

fn ignored(shop: &Shop, reason: &'static str) -> u64 {
    shop.driver.counts().get(&(SCORES, "ignored", reason)).copied().unwrap_or_default()
}

#[test]
fn she_enters_and_leaves_by_what_was_scored_last() {
    let mut shop = ana(&[RISKY, GOLD]);
    publish(&mut shop, &number("churn", 80, HOUR));
    publish(&mut shop, &word("tier", "gold", HOUR));
    assert_eq!(shop.changes(), ["+risky by score at 0", "+gold by score at 0"], "time has not come further");
    assert_eq!(stands(&shop), ["churn 80", "tier gold"]);
    let seen = looked_up(&shop).unwrap();
    assert_eq!(seen.tier.as_deref(), Some("gold"));
    assert_eq!((seen.scores[0].scored_at, seen.scores[0].version.as_deref()), (at(HOUR), Some("churn-7")));
    shop.driver.advance_to(at(3 * HOUR));
    publish(&mut shop, &number("churn", 69, 2 * HOUR));
    publish(&mut shop, &withdrawn("tier", 2 * HOUR));
    let left = [format!("-risky by score at {}", 2 * HOUR), format!("-gold by score at {}", 2 * HOUR)];
    assert_eq!(shop.changes(), left);
    assert_eq!((stands(&shop), looked_up(&shop).unwrap().tier), (vec!["churn 69".to_owned()], None));
}

#[test]
fn it_is_told_between_events_with_who_she_is_and_the_hops_of_what_led_to_it() {
    let mut shop = ana(&[RISKY]);
    publish(&mut shop, &CustomerScore { hops: 4, ..number("churn", 80, 0) });
    let outputs = shop.driver.outputs();
    let change =
        outputs.iter().find_map(|output| if let Output::Change(change) = output { Some(change) } else { None });
    let change = change.unwrap();
    assert_eq!((change.hops, change.historical, change.trigger_message_id.as_deref()), (5, false, None));
    assert_eq!(change.detail_json.as_deref(), Some(r#"{"scores.churn":80}"#));
    let event = outputs.iter().find_map(|output| if let Output::Event(event) = output { Some(event) } else { None });
    let event = event.unwrap();
    assert_eq!((event.hops, event.historical, event.event.is_none()), (5, false, true));
    assert_eq!(event.changes[0].cause, ChangeCause::Score);
    let score = Score { name: "churn".to_owned(), value: Some(80), label: None };
    assert_eq!((&event.customer.scores, &event.customer.tier), (&vec![score.clone()], &None));
    let profile = outputs.iter().find_map(|output| if let Output::Profile(told) = output { Some(told) } else { None });
    assert_eq!(profile.unwrap().customer.scores, [score]);
    publish(&mut shop, &CustomerScore { hops: MAX_HOPS, ..number("churn", 1, 1) });
    assert!(told(&mut shop).iter().all(|event| event.hops == MAX_HOPS));
}

#[test]
fn a_change_is_told_also_where_no_segment_reads_it_and_the_same_again_is_not() {
    let mut shop = ana(&[]);
    publish(&mut shop, &word("tier", "gold", 0));
    let events = told(&mut shop);
    assert_eq!((events.len(), events[0].changes.len(), events[0].customer.tier.as_deref()), (1, 0, Some("gold")));
    publish(&mut shop, &word("tier", "gold", 0));
    assert_eq!((told(&mut shop), ignored(&shop, "nothing_new")), (vec![], 1));
    publish(&mut shop, &word("tier", "gold", HOUR));
    assert_eq!(told(&mut shop), [], "it is as it was");
    assert_eq!(looked_up(&shop).unwrap().scores[0].scored_at, at(HOUR), "and of later");
    publish(&mut shop, &word("tier", "silver", HOUR / 2));
    assert_eq!((told(&mut shop), ignored(&shop, "older")), (vec![], 1));
    publish(&mut shop, &withdrawn("points", HOUR));
    assert_eq!(told(&mut shop), [], "nobody had heard of it");
    // Every event after it says it, too.
    shop.tell(track("Product Viewed", 2 * HOUR));
    assert_eq!(told(&mut shop)[0].customer.tier.as_deref(), Some("gold"));
}

#[test]
fn numbers_that_no_condition_tells_apart_are_told_and_judge_nothing() {
    let mut shop = ana(&[RISKY]);
    publish(&mut shop, &number("churn", 80, 0));
    shop.driver.outputs();
    publish(&mut shop, &number("churn", 95, 1));
    let events = told(&mut shop);
    assert_eq!((events.len(), events[0].changes.len(), events[0].customer.scores[0].value), (1, 0, Some(95)));
}

#[test]
fn one_that_was_withdrawn_is_not_brought_back_by_an_older_one_that_comes_late() {
    let mut shop = ana(&[RISKY]);
    publish(&mut shop, &number("churn", 80, HOUR));
    publish(&mut shop, &withdrawn("churn", 2 * HOUR));
    assert_eq!(shop.segments(), [""; 0]);
    publish_at(&mut shop, &number("churn", 90, HOUR + 1), at(3 * HOUR));
    assert_eq!((stands(&shop), ignored(&shop, "older")), (vec![], 1));
    publish(&mut shop, &number("churn", 90, 4 * HOUR));
    assert_eq!(shop.segments(), ["risky"]);
}

#[test]
fn of_two_as_of_the_same_moment_the_one_told_later_stands() {
    let mut shop = ana(&[RISKY]);
    for value in [80, 60, 75] {
        publish(&mut shop, &number("churn", value, HOUR));
    }
    let records = shop.records();
    assert_eq!((stands(&shop), records.len()), (vec!["churn 75".to_owned()], 3));
    let mut ids: Vec<_> = records.iter().map(|change| change.change_id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 3, "each change has an id of its own");
}

#[test]
fn nobody_scores_in_the_future_or_before_there_were_shops() {
    let mut shop = ana(&[]);
    publish_at(&mut shop, &number("churn", 80, 300 * DAY), at(HOUR));
    publish_at(&mut shop, &CustomerScore { scored_at: 0, ..number("points", 5, 0) }, at(HOUR));
    let scored_at: Vec<_> = shop.state().scores.iter().map(|kept| kept.scored_at).collect();
    assert_eq!(scored_at, [at(HOUR); 2]);
    publish(&mut shop, &number("churn", 10, 2 * HOUR));
    assert_eq!(stands(&shop), ["churn 10", "points 5"], "and so what comes next is not older");
}

#[test]
fn of_more_names_than_are_kept_those_scored_last_are() {
    let mut shop = ana(&[RISKY]);
    publish(&mut shop, &number("churn", 80, 1));
    assert_eq!(shop.segments(), ["risky"]);
    let names = MAX_SCORES as i64;
    for name in 2..=names {
        publish(&mut shop, &number(&format!("n{name:02}"), name, name));
    }
    assert_eq!((stands(&shop).len(), shop.segments()), (16, vec!["risky".to_owned()]));
    shop.driver.outputs();
    publish(&mut shop, &number("n17", 17, 17));
    assert_eq!(stands(&shop).len(), 16);
    assert_eq!(shop.changes(), ["-risky by score at 0"], "it was pushed out");
    publish_at(&mut shop, &number("churn", 80, 1), at(18));
    assert_eq!((shop.segments(), ignored(&shop, "older")), (vec![], 1), "it would be the first to go");
    publish(&mut shop, &number("churn", 80, 19));
    assert_eq!(shop.segments(), ["risky"]);
    assert!(!stands(&shop).iter().any(|stands| stands.starts_with("n02")));
}

#[test]
fn what_is_scored_of_somebody_unknown_makes_nobody_and_is_known_when_she_comes() {
    let mut shop = Shop::with(&[RISKY]);
    publish(&mut shop, &number("churn", 80, 0));
    assert!(shop.state().is_nobody());
    assert_eq!(looked_up(&shop), None);
    let outputs = shop.driver.outputs();
    assert!(outputs.iter().all(|output| matches!(output, Output::NoProfile(_))), "{outputs:?}");
    shop.tell(track("Product Viewed", 89 * DAY));
    assert_eq!(shop.changes(), [format!("+risky by event at {}", 89 * DAY)]);
}

#[test]
fn what_is_scored_of_somebody_unknown_is_kept_for_as_long_as_a_visitor() {
    let mut shop = Shop::with(&[RISKY]);
    publish(&mut shop, &number("churn", 80, 0));
    publish(&mut shop, &word("tier", "gold", HOUR));
    shop.driver.advance_to(at(HOUR) + ANONYMOUS_IDLE - HumanDuration::from_millis(1));
    assert_eq!(shop.state().scores.len(), 2);
    shop.driver.advance_to(at(HOUR) + ANONYMOUS_IDLE);
    assert_eq!(shop.driver.state(ANA), None);
    let outputs = shop.driver.outputs();
    assert!(outputs.iter().all(|output| matches!(output, Output::NoProfile(_))), "{outputs:?}");
    shop.tell(track("Product Viewed", 100 * DAY));
    assert_eq!(shop.segments(), [""; 0]);
}

#[test]
fn a_visitor_who_is_forgotten_has_her_scores_when_she_comes_back() {
    let mut shop = Shop::with(&[RISKY]);
    let visit = |seconds| StorefrontEvent {
        user_id: None,
        anonymous_id: Some(ANA.to_owned()),
        ..track("Product Viewed", seconds)
    };
    shop.tell(visit(0));
    publish(&mut shop, &number("churn", 80, 50 * DAY));
    shop.driver.advance_to(at(0) + ANONYMOUS_IDLE);
    assert!(shop.state().is_nobody());
    shop.driver.outputs();
    shop.tell(visit(100 * DAY));
    assert_eq!(shop.changes(), [format!("+risky by event at {}", 100 * DAY)]);
}

#[test]
fn who_is_erased_has_no_score_that_was_made_before() {
    let mut shop = ana(&[RISKY]);
    publish(&mut shop, &number("churn", 80, 0));
    shop.tell(StorefrontEvent { kind: EventKind::Erased, user_id: None, ..track("", HOUR) });
    let nobody = SegmentationState { erased_at: Some(at(HOUR)), ..SegmentationState::default() };
    assert_eq!(shop.state(), nobody);
    publish_at(&mut shop, &number("churn", 90, HOUR), at(2 * HOUR));
    assert_eq!((shop.state(), ignored(&shop, "erased")), (nobody, 1));
    shop.tell(track("Product Viewed", 3 * HOUR));
    assert_eq!(shop.segments(), [""; 0]);
    publish(&mut shop, &number("churn", 90, 4 * HOUR));
    assert_eq!(shop.segments(), ["risky"]);
}

#[test]
fn what_time_does_before_is_put_down_to_time_at_its_own_moment() {
    let mut shop = Shop::with(&[LAPSED, RISKY]);
    shop.tell(order("o1", 1_000, 0));
    shop.driver.outputs();
    shop.driver.advance_to(at(100 * DAY));
    publish(&mut shop, &number("churn", 80, 95 * DAY));
    let expected = [format!("+lapsed by time at {}", 90 * DAY), format!("+risky by score at {}", 95 * DAY)];
    assert_eq!(shop.changes(), expected);
}

#[test]
fn it_goes_on_in_the_middle_after_an_abort_and_a_restart() {
    let mut shop = ana(&[RISKY]);
    shop.driver.abort_next_commit();
    publish(&mut shop, &number("churn", 80, 0));
    assert_eq!(shop.changes(), ["+risky by score at 0"]);
    shop.driver.restart(policy());
    shop.apply(RISKY, 0);
    publish(&mut shop, &number("churn", 80, 0));
    assert_eq!((shop.changes(), ignored(&shop, "nothing_new")), (vec![], 1));
    publish(&mut shop, &number("churn", 10, 1));
    assert_eq!(shop.changes(), ["-risky by score at 0"]);
}

#[test]
fn a_record_that_breaks_the_contract_is_a_dead_letter_that_says_where() {
    let mut shop = ana(&[]);
    let long = "x".repeat(65);
    let score = number("churn", 80, 0);
    let bad = |change: &dyn Fn(&mut CustomerScore)| {
        let mut bad = score.clone();
        change(&mut bad);
        bad
    };
    let cases: [(CustomerScore, &str, &str); 10] = [
        (bad(&|bad| bad.name = "Churn".to_owned()), "bad_name", "name"),
        (bad(&|bad| bad.name = String::new()), "bad_name", "name"),
        (bad(&|bad| bad.name = "x".repeat(33)), "bad_name", "31"),
        (bad(&|bad| bad.label = Some("high".to_owned())), "value_and_label", "value and label"),
        (
            bad(&|bad| (bad.value, bad.label) = (None, Some(long.clone()))),
            "bad_label",
            "label is empty or longer than 64",
        ),
        (bad(&|bad| (bad.value, bad.label) = (None, Some(String::new()))), "bad_label", "label"),
        (bad(&|bad| bad.version = Some(long.clone())), "bad_version", "version is empty or longer than 64"),
        (bad(&|bad| bad.hops = 17), "too_many_hops", "16"),
        (bad(&|bad| bad.hops = -1), "too_many_hops", "hops"),
        (bad(&|bad| bad.customer_id = "eva".to_owned()), "key_mismatch", "customer id"),
    ];
    for (number, (record, reason, said)) in cases.iter().enumerate() {
        let value = encode(SCORES, record);
        shop.driver.input(SCORES, ANA, &value, at(0));
        let letter = &shop.driver.dead_letters()[number];
        assert_eq!((letter.poison.reason, letter.value.as_deref()), (*reason, Some(&value[..])));
        assert!(letter.poison.detail.contains(said), "{}", letter.poison.detail);
    }
    let address = CustomerScore { customer_id: "ana@example.com".to_owned(), ..score.clone() };
    shop.driver.input(SCORES, "ana@example.com", &encode(SCORES, &address), at(0));
    shop.driver.input(SCORES, ANA, b"\x00", at(0));
    shop.driver.input(SCORES, "", &encode(SCORES, &score), at(0));
    shop.driver.input_traced(SCORES, ANA, None, at(0), None);
    let reasons: Vec<_> = shop.driver.dead_letters()[10..].iter().map(|letter| letter.poison.reason).collect();
    assert_eq!(reasons, ["personal_id", "malformed", "no_key", "no_value"]);
    assert_eq!((stands(&shop), told(&mut shop)), (vec![], vec![]));
}

#[test]
fn a_record_on_another_partition_than_its_customers_is_a_dead_letter_as_it_came() {
    let mut shop = Shop::with(&[]);
    shop.driver.restart(policy().of(4));
    let (here, elsewhere): (Vec<_>, Vec<_>) =
        (0..20).map(|number| format!("c{number}")).partition(|id| stream::partition_of(id.as_bytes(), 4) == 0);
    for customer_id in here.iter().chain(&elsewhere) {
        publish(&mut shop, &CustomerScore { customer_id: customer_id.clone(), ..number("churn", 80, 0) });
    }
    assert!(here.iter().all(|id| shop.driver.state(id).is_some_and(|state| state.scores.len() == 1)));
    assert!(elsewhere.iter().all(|id| shop.driver.state(id).is_none()));
    let letters = shop.driver.dead_letters();
    assert_eq!(letters.len(), elsewhere.len());
    let first = &letters[0];
    assert_eq!((first.dataset, first.poison.reason), (SCORES, "foreign_partition"));
    let score = CustomerScore { customer_id: elsewhere[0].clone(), ..number("churn", 80, 0) };
    assert_eq!(first.key.as_deref(), Some(elsewhere[0].as_bytes()));
    assert_eq!(first.value.as_deref(), Some(&encode(SCORES, &score)[..]));
    // Nor does it end the profile of whose key it has.
    let of_elsewhere = |output: &Output| elsewhere.iter().any(|id| *id == *stream::Output::key(output));
    assert!(!shop.driver.outputs().iter().any(of_elsewhere));
}

/// What may be told of a name: the same moment has the same score.
fn scored(name: u8, seconds: i64) -> CustomerScore {
    let name = format!("n{name}");
    match seconds % 3 {
        0 => withdrawn(&name, seconds),
        1 => number(&name, seconds, seconds),
        _ => word(&name, &format!("at {seconds}"), seconds),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn in_whatever_order_and_however_often_they_are_told_the_latest_of_each_name_stands(
        told in prop::collection::vec((0..24_u8, 0..40_i64), 1..120),
        known_after in 0..120_usize,
    ) {
        let mut shop = Shop::with(&[]);
        for (place, (name, seconds)) in told.iter().enumerate() {
            if place == known_after {
                shop.tell(track("Product Viewed", 0));
            }
            publish_at(&mut shop, &scored(*name, *seconds), at(HOUR));
        }
        let mut latest: BTreeMap<u8, i64> = BTreeMap::new();
        for (name, seconds) in told {
            let last = latest.entry(name).or_insert(seconds);
            *last = seconds.max(*last);
        }
        // Those scored last, as many as there is room for.
        let mut latest: Vec<_> = latest.into_iter().map(|(name, seconds)| (seconds, format!("n{name}"), name)).collect();
        latest.sort_unstable();
        let mut expected: Vec<KeptScore> = latest.iter().rev().take(MAX_SCORES).map(|(seconds, _, name)| {
            let CustomerScore { name, value, label, version, .. } = scored(*name, *seconds);
            KeptScore { name: name.into(), value, label, scored_at: at(*seconds), version }
        }).collect();
        expected.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        prop_assert_eq!(shop.state().scores, expected);
    }
}
