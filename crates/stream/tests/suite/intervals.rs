//! How often a batch is committed.

use stream::Decision;

use crate::shared::*;

/// Rested long enough, and just looked at the clock.
fn rested() -> Hand<Marked> {
    let mut hand = Hand::<Marked>::owning(live(), &[0]);
    hand.after_ms(1000);
    hand
}

#[test]
fn after_a_rest_the_first_record_does_not_wait_and_the_next_ones_go_together() {
    let mut hand = rested();
    let commits = hand.commits;
    hand.order(0, "a", "10 note");
    hand.settle();
    assert_eq!(hand.commits, commits + 1);
    for (customer, after_ms) in [("b", 10), ("c", 40), ("d", 49)] {
        hand.order(0, customer, "20 note");
        hand.after_ms(after_ms);
        assert_eq!(hand.commits, commits + 1, "{customer}");
    }
    hand.after_ms(1);
    assert_eq!(hand.commits, commits + 2);
    assert_eq!(hand.told().len(), 4);
}

#[test]
fn commits_that_take_long_are_made_less_often() {
    let mut hand = rested();
    hand.order(0, "a", "10 note");
    let closed_at_ms = hand.now_ms;
    while let Some(decision) = hand.worker.poll(hand.now_ms) {
        if matches!(decision, Decision::Commit(_)) {
            hand.now_ms += 60;
        }
        hand.carry_out(decision);
    }
    let commits = hand.commits;
    hand.order(0, "b", "20 note");
    hand.settle();
    hand.after_ms(closed_at_ms + 179 - hand.now_ms);
    assert_eq!(hand.commits, commits);
    hand.after_ms(1);
    assert_eq!(hand.commits, commits + 1);
}
