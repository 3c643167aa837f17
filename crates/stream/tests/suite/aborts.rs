//! What an aborted commit takes back, and what comes of it the second time.

use domain::HumanDuration;
use stream::{Decision, RecordFate, WorkerSettings};

use crate::shared::*;

#[test]
fn after_an_abort_the_same_comes_again() {
    let run = |aborts: usize| {
        let mut hand = Hand::<Marked>::owning(live(), &[0, 1]);
        hand.order(0, "a", "10 remind 20");
        hand.order(0, "a", "30 note");
        hand.order(1, "b", "30 echo");
        hand.record(1, 0, Some(b"a"), Some(b"1 note"), 1);
        hand.aborts = aborts;
        hand.after_ms(1000);
        hand.after_ms(1000);
        hand.after_ms(1000);
        assert_eq!(hand.aborts, 0);
        hand
    };
    let (mut straight, mut aborted) = (run(0), run(2));
    assert_eq!(straight.told(), aborted.told());
    assert_eq!(straight.state(0, "a"), aborted.state(0, "a"));
    assert_eq!(straight.counts, aborted.counts);
    assert_eq!(straight.header(0).positions, aborted.header(0).positions);
    assert_eq!(straight.header(0).sequence, aborted.header(0).sequence, "sequences have no holes");
}

#[test]
fn nothing_of_an_aborted_batch_is_seen() {
    let mut hand = Hand::<Marked>::owning(live(), &[0]);
    let headers = hand.headers(0);
    hand.worker.capacity(1);
    hand.order(0, "a", "10 ask j");
    hand.aborts = 1;
    hand.worker.finish();
    while hand.aborts > 0 {
        let decision = hand.worker.poll(hand.now_ms).unwrap();
        hand.carry_out(decision);
    }
    assert_eq!((hand.outputs.len(), hand.headers(0), hand.acts.len()), (0, headers, 0));
    assert_eq!(hand.worker.in_flight(0), 0);
}

#[test]
fn what_has_become_of_a_record_is_known_at_every_moment() {
    let mut hand = Hand::<Marked>::owning(live(), &[0]);
    assert!(hand.worker.expects(0, 0, 0) && !hand.worker.expects(0, 1, 0));
    hand.order(0, "a", "10 echo");
    assert!(!hand.worker.expects(0, 0, 0), "it was told");
    assert_eq!(hand.worker.fate(0, 0, 0), RecordFate::Open);
    hand.settle();
    assert_eq!(hand.worker.fate(0, 0, 0), RecordFate::Open, "the batch is open");
    hand.aborts = 1;
    hand.worker.finish();
    while hand.aborts > 0 {
        let decision = hand.worker.poll(hand.now_ms).unwrap();
        hand.carry_out(decision);
    }
    assert_eq!(hand.worker.fate(0, 0, 0), RecordFate::TakenBack);
    hand.finish();
    assert_eq!(hand.worker.fate(0, 0, 0), RecordFate::Committed);
    hand.worker.revoked(0);
    assert_eq!(hand.worker.fate(0, 0, 0), RecordFate::TakenBack, "somebody else's");
}

#[test]
fn records_of_before_the_rewind_are_refused() {
    let mut hand = Hand::<Marked>::owning(live(), &[0]);
    hand.order(0, "a", "10 note");
    hand.order(0, "a", "20 note");
    hand.worker.finish();
    loop {
        match hand.worker.poll(hand.now_ms).unwrap() {
            Decision::Commit(_) => break hand.worker.aborted(),
            decision => hand.carry_out(decision),
        }
    }
    // The client's buffer still holds what follows; only the start says from where on records count again.
    assert!(!hand.order(0, "a", "30 note"));
    hand.worker.end_reached(0, 0, 3, None);
    assert!(matches!(hand.worker.poll(hand.now_ms), Some(Decision::Start { positions, .. }) if positions == [0, 0]));
    assert!(hand.tell(0, 0, 0) && hand.tell(0, 0, 1) && hand.tell(0, 0, 2));
    assert!(!hand.tell(0, 0, 1), "each once");
    hand.finish();
    assert_eq!(hand.state(0, "a").unwrap().log, ["noted at 10", "noted at 20", "noted at 30"]);
}

#[test]
fn after_every_answer_to_a_commit_the_driver_gets_to_hear_what_happened() {
    let settings = WorkerSettings { max_batch_records: 1, commit_interval: HumanDuration::ZERO, ..live() };
    let mut hand = Hand::<Marked>::owning(settings, &[0]);
    for n in 0..5 {
        hand.order(0, "a", &format!("{n} note"));
    }
    hand.rule(0, PLAIN).unwrap();
    // However much waits, and however often it fails.
    hand.aborts = 3;
    let mut commits = 0;
    for _ in 0..20 {
        let mut now = 0;
        while let Some(decision) = hand.worker.poll(hand.now_ms) {
            now += usize::from(matches!(decision, Decision::Commit(_)));
            hand.carry_out(decision);
        }
        assert!(now <= 1);
        commits += now;
    }
    assert!(commits >= 8, "{commits}");
    assert_eq!(hand.outputs.len(), 5);
}

#[test]
fn completions_are_fed_again_after_an_abort_in_their_order() {
    let mut hand = Hand::<Marked>::owning(live(), &[0]);
    hand.worker.capacity(3);
    for id in ["x", "y", "z"] {
        hand.order(0, "a", &format!("10 ask {id}"));
    }
    hand.finish();
    assert_eq!(hand.acts.len(), 3);
    for (partition, key, claim) in std::mem::take(&mut hand.acts) {
        hand.worker.completed(partition, key, claim, "done".to_owned());
    }
    hand.told();
    hand.aborts = 3;
    for _ in 0..5 {
        hand.finish();
    }
    assert_eq!(hand.told(), [told("a", "x done", 10), told("a", "y done", 10), told("a", "z done", 10)]);
    assert_eq!(hand.count("completions", "emitted"), 3);
    assert_eq!(hand.count("abandoned", "emitted"), 0);
}

#[test]
fn a_partition_that_the_batch_did_not_touch_is_not_rewound() {
    let mut hand = Hand::<Marked>::owning(live(), &[0, 1]);
    hand.starts.clear();
    hand.order(0, "a", "10 note");
    hand.aborts = 1;
    hand.after_ms(100);
    hand.after_ms(100);
    assert_eq!(hand.starts, [(0, vec![0, 0])]);
    assert_eq!(hand.told(), [told("a", "noted", 10)]);
}

#[test]
fn a_full_batch_closes_by_records_or_by_bytes_whatever_its_age() {
    let never = HumanDuration::from_hours(1);
    for (records, bytes, commits) in [(2, 1 << 20, 3), (1000, 200, 3), (1000, 1, 6), (1000, 1 << 20, 0)] {
        let settings = WorkerSettings {
            max_batch_records: records,
            max_batch_bytes: bytes,
            commit_interval: never,
            mark_interval: never,
            ..live()
        };
        let mut hand = Hand::<Marked>::owning(settings, &[0]);
        let before = hand.commits;
        for n in 0..6 {
            hand.order(0, "a", &format!("{n} note"));
        }
        hand.settle();
        assert_eq!(hand.commits - before, commits, "{records} records, {bytes} bytes");
    }
}

#[test]
fn the_worker_says_when_it_has_heard_enough() {
    let settings = WorkerSettings { max_batch_records: 2, ..live() };
    let mut hand = Hand::<Marked>::owning(settings, &[0]);
    for n in 0..4 {
        assert!(hand.worker.wants_records());
        hand.order(0, "a", &format!("{n} note"));
    }
    assert!(!hand.worker.wants_records());
    hand.settle();
    assert!(hand.worker.wants_records());

    let settings = WorkerSettings { max_batch_bytes: 10_000, ..live() };
    let mut hand = Hand::<Marked>::owning(settings, &[0]);
    hand.record(0, 0, Some(b"a"), Some(&vec![b'x'; 30_000]), 1);
    assert!(!hand.worker.wants_records());
    hand.settle();
    assert!(hand.worker.wants_records());
}

#[test]
fn ends_that_are_told_again_and_again_do_not_pile_up() {
    let mut hand = Hand::<Marked>::owning(live(), &[0]);
    for n in 0..100_000 {
        hand.worker.end_reached(0, 0, n, None);
    }
    assert!(hand.worker.wants_records());
    hand.finish();
    assert_eq!(hand.worker.position(0, 0), Some(99_999));
}

#[test]
fn a_backlog_on_one_partition_does_not_hold_up_the_others() {
    let settings = WorkerSettings { max_batch_records: 10, commit_interval: HumanDuration::from_hours(1), ..live() };
    let mut hand = Hand::<Marked>::owning(settings, &[0, 1]);
    let mut noted = 0;
    for _ in 0..4 {
        for _ in 0..10 {
            hand.order(0, "a", "10 note");
        }
        noted += 1;
        hand.order(1, "b", "10 note");
        // One batch at a time.
        let commits = hand.commits;
        while hand.commits == commits {
            if let Some(decision) = hand.worker.poll(hand.now_ms) {
                hand.carry_out(decision);
            }
        }
    }
    let heard = hand.outputs.iter().filter(|told| told.key == "b").count();
    assert!(heard + 1 >= noted, "{heard} of {noted}");
}
