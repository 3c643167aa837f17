//! The driver lost track: every partition is taken over anew, and nothing is lost or done twice by it.

use stream::{ClaimId, Decision, Key};

use crate::shared::*;

#[test]
fn after_a_commit_without_an_answer_the_worker_goes_on_whether_it_was_committed_or_not() {
    for committed in [true, false] {
        let mut hand = busy();
        let batch = hand.next_commit();
        if committed {
            hand.write(batch);
        }
        hand.worker.start_over();
        hand.after_ms(1000);
        assert_eq!(hand.outputs.len(), 6, "committed: {committed}");
        assert!(hand.worker.is_idle());
        hand.order(0, "a", "5 note");
        hand.after_ms(1000);
        assert_eq!(hand.state(0, "a").unwrap().log.len(), 4);
    }
}

#[test]
fn a_question_without_an_answer_is_asked_again() {
    let mut hand = busy();
    while !matches!(hand.worker.poll(hand.now_ms).expect("a question is to come"), Decision::Load(_)) {}
    hand.worker.start_over();
    hand.after_ms(1000);
    assert_eq!(hand.outputs.len(), 6);
}

#[test]
fn a_takeover_that_failed_is_asked_for_again() {
    let mut hand = Hand::<Marked>::new(live());
    hand.worker.assigned(0);
    assert!(matches!(hand.worker.poll(hand.now_ms), Some(Decision::TakeOver(0))));
    hand.worker.start_over();
    hand.settle();
    assert!(hand.order(0, "a", "1 note"));
}

/// One side effect is under way, and a batch that no answer came to.
fn performing(committed: bool) -> Hand<Marked> {
    let mut hand = Hand::<Marked>::owning(live(), &[0]);
    hand.worker.capacity(2);
    hand.order(0, "a", "1 ask x");
    hand.finish();
    assert_eq!(hand.acts.len(), 1);
    hand.order(0, "a", "2 ask y");
    hand.worker.finish();
    let batch = hand.next_commit();
    if committed {
        hand.write(batch);
    }
    hand.worker.start_over();
    hand.told();
    hand
}

#[test]
fn what_is_under_way_is_not_given_up_and_what_nobody_performs_is() {
    let mut hand = performing(true);
    hand.after_ms(1000);
    assert_eq!(hand.told(), [], "the claim of x has its outcome still to come");
    assert_eq!(hand.acts.len(), 1, "and nobody claims anything meanwhile");
    hand.worker.completed(0, Key::from("a"), ClaimId::from("x"), "done".to_owned());
    hand.after_ms(1000);
    assert_eq!(hand.told(), [told("a", "x done", 2), told("a", "y unknown", 2)]);
}

#[test]
fn how_it_ended_is_remembered_if_it_was_told_before() {
    let mut hand = Hand::<Marked>::owning(live(), &[0]);
    hand.worker.capacity(1);
    hand.order(0, "a", "1 ask x");
    hand.finish();
    hand.told();
    hand.worker.completed(0, Key::from("a"), ClaimId::from("x"), "done".to_owned());
    hand.worker.finish();
    let _lost = hand.next_commit();
    hand.worker.start_over();
    hand.after_ms(1000);
    assert_eq!(hand.told(), [told("a", "x done", 1)]);
}

#[test]
fn a_claim_that_was_not_committed_is_made_again() {
    let mut hand = performing(false);
    hand.worker.completed(0, Key::from("a"), ClaimId::from("x"), "done".to_owned());
    hand.after_ms(1000);
    hand.after_ms(1000);
    assert_eq!(hand.told(), [told("a", "x done", 1), told("a", "asked y", 2)]);
    assert_eq!(hand.acts.len(), 2);
}

#[test]
fn claims_whose_outcomes_come_in_the_batch_that_asks_for_them_do_not_make_the_partition_stand_still() {
    let settings = stream::WorkerSettings { max_batch_records: 2, ..live() };
    let mut hand = Hand::<Marked>::owning(settings, &[0]);
    hand.worker.capacity(2);
    for (key, order) in [("a", "1 ask x"), ("b", "1 ask y")] {
        hand.order(0, key, order);
        hand.after_ms(1000);
    }
    assert_eq!(hand.acts.len(), 2);
    hand.told();
    hand.worker.start_over();
    for (key, claim) in [("a", "x"), ("b", "y")] {
        hand.worker.completed(0, Key::from(key), ClaimId::from(claim), "done".to_owned());
    }
    hand.after_ms(1000);
    assert_eq!(hand.told(), [told("a", "x done", 1), told("b", "y done", 1)]);
    assert!(hand.order(0, "a", "2 note"), "the partition goes on");
}
