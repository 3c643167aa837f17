//! Side effects: claimed while there is room, performed once that is committed, looked for after a takeover.

use stream::{ClaimId, Decision, Key};

use crate::shared::*;

fn claims(driver: &mut stream::TestDriver<Desk<Marked>>) -> Vec<String> {
    driver.actions().into_iter().map(|(key, claim, _)| format!("{key} {claim}")).collect()
}

#[test]
fn claims_are_made_within_the_room_that_there_is_the_eldest_first() {
    let mut driver = driver();
    driver.order("a", "30 ask young");
    driver.order("b", "10 ask old");
    driver.order("c", "20 ask middle");
    assert_eq!(claims(&mut driver), [] as [String; 0], "there is no room");
    driver.capacity(2);
    assert_eq!(claims(&mut driver), ["b old", "c middle"]);
    driver.complete(&Key::from("b"), &ClaimId::from("old"), "done".to_owned());
    driver.capacity(2);
    assert_eq!(claims(&mut driver), ["a young"]);
}

#[test]
fn one_key_takes_as_much_room_as_it_wants() {
    let mut driver = driver();
    for n in 0..5 {
        driver.order("a", &format!("{n} ask j{n}"));
    }
    driver.capacity(3);
    assert_eq!(claims(&mut driver), ["a j0", "a j1", "a j2"]);
}

#[test]
fn who_asks_after_the_lane_was_empty_is_heard() {
    let mut hand = Hand::<Marked>::owning(live(), &[0]);
    hand.worker.capacity(1);
    for n in 0..5 {
        hand.after_ms(250);
        hand.order(0, "a", &format!("{n} ask j{n}"));
        hand.after_ms(100);
        let acts = std::mem::take(&mut hand.acts);
        assert_eq!(acts, [(0, Key::from("a"), ClaimId::from(format!("j{n}")))]);
        hand.worker.completed(0, Key::from("a"), ClaimId::from(format!("j{n}")), "done".to_owned());
        hand.after_ms(100);
    }
}

#[test]
fn who_asked_while_there_was_no_room_is_served_when_there_is() {
    let mut hand = Hand::<Marked>::owning(live(), &[0]);
    hand.order(0, "a", "1 ask j");
    hand.after_ms(1000);
    hand.worker.capacity(1);
    hand.after_ms(250);
    assert_eq!(hand.acts.len(), 1);
}

#[test]
fn room_is_shared_by_all_partitions() {
    let mut hand = Hand::<Marked>::owning(live(), &[0, 1]);
    hand.worker.capacity(3);
    for n in 0..4 {
        hand.order(0, "a", &format!("{n} ask a{n}"));
        hand.order(1, "b", &format!("{n} ask b{n}"));
    }
    hand.after_ms(250);
    assert_eq!(hand.acts.len(), 3);
    assert_eq!(hand.worker.in_flight(0) + hand.worker.in_flight(1), 3);
    hand.after_ms(1000);
    assert_eq!(hand.acts.len(), 3);
}

#[test]
fn a_claim_is_performed_only_after_its_commit() {
    let mut hand = Hand::<Marked>::owning(live(), &[0]);
    hand.worker.capacity(1);
    hand.order(0, "a", "1 ask j");
    hand.worker.finish();
    let batch = loop {
        match hand.worker.poll(hand.now_ms).unwrap() {
            Decision::Commit(batch) => break batch,
            Decision::Act { .. } => panic!("not committed yet"),
            decision => hand.carry_out(decision),
        }
    };
    assert!(hand.worker.poll(hand.now_ms).is_none());
    hand.write(*batch);
    hand.worker.committed();
    assert!(matches!(hand.worker.poll(hand.now_ms), Some(Decision::Act { partition: 0, .. })));
}

#[test]
fn who_refuses_the_room_is_asked_again_later_and_does_not_stop_the_worker() {
    let mut hand = Hand::<Marked>::owning(live(), &[0]);
    hand.worker.capacity(1);
    hand.order(0, "a", "1 ask refuse");
    hand.order(0, "b", "2 note");
    hand.after_ms(250);
    hand.after_ms(250);
    assert_eq!(hand.acts, []);
    assert!(hand.count("claims", "ignored") >= 1);
    assert_eq!(hand.state(0, "b").unwrap().log, ["noted at 2"]);
}

#[test]
fn a_draining_partition_makes_no_new_claims() {
    let mut hand = Hand::<Marked>::owning(live(), &[0, 1]);
    hand.worker.capacity(5);
    hand.worker.draining(0);
    hand.order(0, "a", "1 ask a");
    hand.order(1, "b", "1 ask b");
    hand.after_ms(250);
    assert_eq!(hand.acts, [(1, Key::from("b"), ClaimId::from("b"))]);
}

#[test]
fn open_claims_are_abandoned_exactly_once_after_a_takeover() {
    let mut driver = driver();
    driver.capacity(2);
    driver.order("a", "1 ask x");
    driver.order("b", "1 ask y");
    driver.order("c", "1 ask z");
    assert_eq!(claims(&mut driver), ["a x", "b y"]);
    driver.told();
    driver.restart(Rules::default());
    assert_eq!(driver.told(), [told("a", "x unknown", 1), told("b", "y unknown", 1)]);
    driver.capacity(2);
    assert_eq!(claims(&mut driver), ["c z"], "the new owner has room of its own");
    driver.order("a", "5 note");
    assert_eq!(driver.told(), [told("a", "noted", 5)]);
    driver.restart(Rules::default());
    assert_eq!(driver.told(), [told("c", "z unknown", 1)]);
}

#[test]
fn what_was_abandoned_is_abandoned_again_only_if_that_was_not_committed() {
    let mut hand = Hand::<Marked>::owning(live(), &[0]);
    hand.worker.capacity(1);
    hand.order(0, "a", "1 ask x");
    hand.finish();
    hand.told();
    hand.aborts = 2;
    hand.restart(&[0]);
    hand.after_ms(250);
    hand.after_ms(250);
    assert_eq!(hand.told(), [told("a", "x unknown", 1)]);
    hand.after_ms(1000);
    assert_eq!(hand.told(), []);
}

#[test]
fn own_claims_under_way_are_not_abandoned_by_an_abort() {
    let mut driver = driver();
    driver.capacity(1);
    driver.order("a", "1 ask x");
    assert_eq!(claims(&mut driver), ["a x"]);
    driver.abort_next_commit();
    driver.order("a", "2 note");
    driver.order("b", "2 note");
    driver.capacity(1);
    driver.complete(&Key::from("a"), &ClaimId::from("x"), "done".to_owned());
    assert_eq!(
        driver.told(),
        [told("a", "asked x", 1), told("a", "noted", 2), told("b", "noted", 2), told("a", "x done", 2)]
    );
}

#[test]
fn a_claim_that_the_abort_took_back_is_made_again_and_performed_once() {
    let mut driver = driver();
    driver.order("a", "1 ask x");
    driver.abort_next_commit();
    driver.capacity(1);
    driver.capacity(1);
    assert_eq!(claims(&mut driver), ["a x"]);
}

#[test]
fn many_open_claims_are_abandoned_over_several_batches_before_new_ones_are_made() {
    let settings = stream::WorkerSettings { max_batch_records: 10, ..live() };
    let mut hand = Hand::<Marked>::owning(settings, &[0]);
    hand.worker.capacity(25);
    for n in 0..26 {
        hand.order(0, &format!("k{n:02}"), "1 ask j");
    }
    for _ in 0..5 {
        hand.after_ms(250);
    }
    assert_eq!(hand.acts.len(), 25);
    hand.told();
    hand.acts.clear();
    hand.restart(&[0]);
    let unknown = hand.told().iter().filter(|told| told.what == "j unknown").count();
    assert_eq!(unknown, 25, "in one go, however many batches it takes");
    hand.worker.capacity(25);
    hand.after_ms(250);
    assert_eq!(hand.acts.len(), 1);
}

#[test]
fn a_completion_that_comes_after_the_partition_went_is_dropped() {
    let mut hand = Hand::<Marked>::owning(live(), &[0]);
    hand.worker.capacity(1);
    hand.order(0, "a", "1 ask x");
    hand.finish();
    hand.worker.revoked(0);
    hand.worker.completed(0, Key::from("a"), ClaimId::from("x"), "done".to_owned());
    hand.told();
    hand.worker.assigned(0);
    hand.after_ms(250);
    assert_eq!(hand.told(), [told("a", "x unknown", 1)]);
}
