//! Partitions come and go in the middle of everything.

use stream::Decision;

use crate::shared::*;

/// Polls until the worker gives a decision of which `wanted` says so, and gives that back.
fn until(hand: &mut Hand<Marked>, wanted: impl Fn(&Decision<Desk<Marked>>) -> bool) -> Decision<Desk<Marked>> {
    loop {
        let decision = hand.worker.poll(hand.now_ms).expect("a decision is to come");
        if wanted(&decision) {
            return decision;
        }
        hand.carry_out(decision);
    }
}

/// Partition 0 went in the middle; what partition 1 was told comes out once, and so it does for 0 when it is back.
fn comes_out_once(hand: &mut Hand<Marked>) {
    hand.after_ms(1000);
    hand.after_ms(1000);
    let notes = |hand: &Hand<Marked>, key: &str| hand.outputs.iter().filter(|told| told.key == key).count();
    assert_eq!((notes(hand, "a"), notes(hand, "b")), (0, 3));
    assert!(hand.worker.is_idle());
    hand.worker.assigned(0);
    hand.after_ms(1000);
    assert_eq!((notes(hand, "a"), notes(hand, "b")), (3, 3));
    assert_eq!(hand.state(0, "a").unwrap().log.len(), 3);
    assert_eq!(hand.count(ORDERS, "emitted"), 6);
}

#[test]
fn a_revocation_while_records_wait_takes_back_nothing_of_the_others() {
    let mut hand = busy();
    hand.worker.revoked(0);
    comes_out_once(&mut hand);
}

#[test]
fn a_revocation_while_states_are_loaded_forgets_the_answer() {
    let mut hand = busy();
    let Decision::Load(requests) = until(&mut hand, |decision| matches!(decision, Decision::Load(_))) else {
        unreachable!()
    };
    hand.worker.revoked(0);
    // An answer that comes all the same is to nobody's question.
    let answers = hand.load(&requests);
    hand.worker.loaded(answers);
    comes_out_once(&mut hand);
}

#[test]
fn a_revocation_while_the_lanes_are_asked_takes_the_batch_back() {
    let mut hand = busy();
    hand.mark(0, 500, &[3, 3]);
    hand.mark(1, 500, &[3, 3]);
    until(
        &mut hand,
        |decision| matches!(decision, Decision::Load(requests) if requests.iter().all(|(_, request)| request.due.is_some())),
    );
    hand.worker.revoked(0);
    comes_out_once(&mut hand);
}

#[test]
fn a_revocation_before_the_commit_was_handed_out_takes_the_batch_back() {
    let mut hand = busy();
    // Nothing but the commit waits now; it is not polled for.
    let Decision::Load(requests) = until(&mut hand, |decision| matches!(decision, Decision::Load(_))) else {
        unreachable!()
    };
    let answers = hand.load(&requests);
    hand.worker.loaded(answers);
    hand.worker.revoked(0);
    comes_out_once(&mut hand);
}

#[test]
fn a_revocation_after_the_commit_was_handed_out_leaves_it_to_its_answer() {
    for committed in [true, false] {
        let mut hand = busy();
        let Decision::Commit(batch) = until(&mut hand, |decision| matches!(decision, Decision::Commit(_))) else {
            unreachable!()
        };
        hand.worker.revoked(0);
        assert!(hand.worker.poll(hand.now_ms).is_none(), "first the answer");
        if committed {
            hand.write(*batch);
            hand.worker.committed();
            hand.worker.assigned(0);
            hand.after_ms(1000);
            assert_eq!(hand.outputs.len(), 6);
            assert_eq!(hand.state(0, "a").unwrap().log.len(), 3);
        } else {
            hand.worker.aborted();
            comes_out_once(&mut hand);
        }
    }
}

#[test]
fn a_planned_revocation_commits_what_is_open_first() {
    let mut hand = busy();
    hand.worker.draining(0);
    hand.finish();
    hand.worker.revoked(0);
    assert_eq!(hand.outputs.len(), 6);
    assert!(hand.worker.is_idle());
    assert_eq!(hand.starts.len(), 2, "nothing is rewound");
}

#[test]
fn a_partition_that_is_assigned_twice_is_taken_over_anew() {
    let mut hand = busy();
    until(&mut hand, |decision| matches!(decision, Decision::Load(_)));
    hand.worker.assigned(0);
    hand.worker.assigned(1);
    hand.after_ms(1000);
    assert_eq!(hand.outputs.len(), 6);
    assert_eq!(hand.worker.owned().collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn a_takeover_that_is_answered_after_the_revocation_or_twice_is_nothing() {
    let mut hand = busy();
    let takeover = hand.takeover(0);
    hand.worker.taken_over(0, takeover.clone());
    hand.worker.revoked(0);
    hand.worker.taken_over(0, takeover);
    comes_out_once(&mut hand);
}

#[test]
fn facts_about_partitions_that_are_not_ours_are_nothing() {
    let mut hand = busy();
    assert!(!hand.order(9, "z", "1 note"));
    hand.worker.end_reached(0, 9, 5, None);
    hand.worker.end_reached(7, 0, 5, None);
    hand.worker.draining(9);
    hand.worker.revoked(9);
    hand.worker.completed(9, stream::Key::from("z"), stream::ClaimId::from("z"), String::new());
    assert_eq!((hand.worker.in_flight(9), hand.worker.watermark(9)), (0, None));
    hand.after_ms(1000);
    assert_eq!(hand.outputs.len(), 6);
}
