//! Marks: the watermark, handed on.

use std::collections::BTreeMap;

use domain::Timestamp;

use crate::shared::*;

fn upstream(hand: &mut Hand<Marked>, time: i64) {
    hand.mark(0, time, &[0, 0]);
    hand.mark(1, time, &[0, 0]);
}

#[test]
fn marks_rise_and_are_handed_on_at_most_once_in_an_interval() {
    let mut hand = Hand::<Marked>::owning(live(), &[0, 1]);
    for n in 1..200 {
        upstream(&mut hand, n * 10);
        if n % 13 == 0 {
            hand.aborts = 1;
        }
        hand.order(0, "a", "1 note");
        hand.after_ms(37);
    }
    let mut last: BTreeMap<i32, (i64, _)> = BTreeMap::new();
    for (when, partition, time) in &hand.marks {
        if let Some((before, watermark)) = last.insert(*partition, (*when, *time)) {
            assert!(*time > watermark, "they rise");
            assert!(when - before >= 250, "{before} {when}");
        }
    }
    assert!(hand.marks.len() > 20);
}

#[test]
fn a_mark_whose_commit_aborted_is_handed_on_again_though_nothing_else_happens() {
    let mut hand = Hand::<Marked>::owning(live(), &[0]);
    upstream(&mut hand, 60);
    hand.aborts = 1;
    hand.after_ms(250);
    assert_eq!((hand.aborts, hand.marks.len()), (0, 0));
    hand.after_ms(250);
    assert_eq!(hand.marks.iter().map(|(_, _, time)| *time).collect::<Vec<_>>(), [at(60)]);
}

#[test]
fn a_watermark_that_was_committed_between_two_marks_is_not_forgotten_by_an_abort() {
    let mut hand = Hand::<Marked>::owning(live(), &[0]);
    upstream(&mut hand, 60);
    hand.after_ms(250);
    // Committed with a batch, too soon after the last mark to be marked.
    upstream(&mut hand, 70);
    hand.order(0, "a", "1 note");
    hand.after_ms(100);
    assert_eq!((hand.worker.watermark(0), hand.marks.len()), (Some(at(70)), 1));
    // Its mark goes alone, and is aborted.
    hand.aborts = 1;
    hand.after_ms(250);
    hand.after_ms(250);
    assert_eq!(hand.marks.last().map(|(_, _, time)| *time), Some(at(70)));
}

#[test]
fn what_stands_still_marks_nothing() {
    let mut hand = Hand::<Marked>::owning(live(), &[0]);
    upstream(&mut hand, 60);
    for _ in 0..50 {
        hand.after_ms(250);
    }
    assert_eq!(hand.marks.len(), 1);
    let commits = hand.commits;
    for _ in 0..100 {
        hand.after_ms(250);
    }
    assert_eq!(hand.commits, commits);
}

#[test]
fn a_halted_partition_marks_nothing() {
    let mut hand = Hand::<Marked>::owning(live(), &[0, 1]);
    hand.order(0, "a", "1 grow 2000000");
    hand.after_ms(250);
    hand.mark(0, 60, &[0, 0]);
    hand.mark(1, 60, &[0, 0]);
    hand.after_ms(250);
    assert!(hand.marks.iter().all(|(_, partition, _)| *partition == 1));
    assert_eq!(hand.marks.len(), 1);
}

#[test]
fn what_hangs_on_the_brokers_clock_marks_from_time_to_time_where_time_has_not_begun() {
    // From the time of that record it learns the broker's present, without which time would never begin on an empty input.
    let mut hand = Hand::<Brokered>::owning(live(), &[0, 1]);
    let marked = |hand: &Hand<Brokered>| -> Vec<_> {
        hand.marks.iter().map(|(_, partition, time)| (*partition, *time)).collect()
    };
    for _ in 0..20 {
        hand.after_ms(250);
    }
    let both = [(0, Timestamp::MIN), (1, Timestamp::MIN)];
    assert_eq!(marked(&hand), both);
    for _ in 0..24 {
        hand.after_ms(250);
    }
    assert_eq!(marked(&hand), [both, both].concat());
    let mut follower = Hand::<Marked>::owning(live(), &[0]);
    for _ in 0..20 {
        follower.after_ms(250);
    }
    assert_eq!(follower.marks, []);
}
