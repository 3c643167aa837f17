//! A partition that can't go on says why, and the others go on.

use bytes::Bytes;
use schemas::{ChangelogHeader, Position};
use stream::{Due, HaltReason, Key, Labels, StateChange, Takeover};

use crate::shared::*;

/// Partition 0 is halted; partition 1 works.
fn one_goes_on(hand: &mut Hand<Marked>) {
    assert_eq!(hand.worker.running().collect::<Vec<_>>(), [1]);
    assert_eq!(hand.halts.keys().copied().collect::<Vec<_>>(), [0]);
    assert!(!hand.order(0, "z", "999 note"), "a halted partition takes nothing");
    hand.order(1, "b", "999 note");
    hand.after_ms(1000);
    assert_eq!(hand.told().last(), Some(&told("b", "noted", 999)));
    assert!(hand.worker.is_idle());
}

#[test]
fn records_that_were_deleted_unread_halt_the_partition_and_are_named() {
    let mut hand = Hand::<Marked>::new(live());
    let positions = vec![
        Position { dataset: ORDERS.to_owned(), next_offset: 10 },
        Position { dataset: NOTES.to_owned(), next_offset: 7 },
    ];
    let header = ChangelogHeader { sequence: 3, positions, feature_level: 1, ..ChangelogHeader::default() };
    hand.worker.assigned(0);
    hand.worker.taken_over(0, Takeover { header: Some(header), log_starts: vec![10, 12], ..Takeover::default() });
    hand.worker.assigned(1);
    hand.worker.taken_over(1, Takeover { header: None, log_starts: vec![0, 0], ..Takeover::default() });
    hand.settle();
    let reason = hand.halts[&0].clone();
    assert_eq!(reason, HaltReason::Gap { dataset: NOTES, partition: 0, position: 7, log_start: 12, lost: 5 });
    assert!(
        reason.to_string().contains("up to 5 records were deleted unread. The partition stands still. To go on without them, add test.notes/0@7 to kafka.skip")
    );
    one_goes_on(&mut hand);
}

#[test]
fn a_gap_is_gone_past_where_that_is_allowed_for_just_this_gap() {
    for (allowed, goes_on) in [("test.orders/0@3", true), ("test.orders/0@4", false), ("test.orders/1@3", false)] {
        let settings = stream::WorkerSettings { skip: vec![allowed.parse().unwrap()], ..live() };
        let mut hand = Hand::<Marked>::new(settings);
        let positions = vec![Position { dataset: ORDERS.to_owned(), next_offset: 3 }];
        let header = ChangelogHeader { sequence: 3, positions, feature_level: 1, ..ChangelogHeader::default() };
        hand.worker.assigned(0);
        hand.worker.taken_over(0, Takeover { header: Some(header), log_starts: vec![8, 0], log_ends: vec![9, 0] });
        hand.after_ms(1000);
        assert_eq!(hand.halts.is_empty(), goes_on, "{allowed}");
        if goes_on {
            assert_eq!(hand.starts, [(0, vec![8, 0])]);
            assert_eq!(hand.header(0).positions[0].next_offset, 8, "it is written down at once");
        }
    }
}

#[test]
fn a_log_that_ends_before_what_was_processed_halts_the_partition() {
    let mut hand = Hand::<Marked>::new(live());
    let positions = vec![Position { dataset: ORDERS.to_owned(), next_offset: 30 }];
    let header = ChangelogHeader { sequence: 3, positions, feature_level: 1, ..ChangelogHeader::default() };
    hand.worker.assigned(0);
    hand.worker.taken_over(0, Takeover { header: Some(header), log_starts: vec![0, 0], log_ends: vec![29, 0] });
    hand.worker.assigned(1);
    hand.settle();
    assert_eq!(hand.halts[&0], HaltReason::Cut { dataset: ORDERS, partition: 0, position: 30, log_end: 29 });
    one_goes_on(&mut hand);
}

#[test]
fn what_can_not_be_written_halts_the_partition_that_it_came_of_and_the_others_go_on() {
    let mut hand = Hand::<Marked>::owning(live(), &[0, 1]);
    hand.order(0, "a", "1 note");
    hand.order(1, "b", "1 note");
    hand.worker.finish();
    let batch = hand.next_commit();
    let came_of: Vec<_> = batch.outputs.iter().map(|emitted| (emitted.output.key.clone(), emitted.partition)).collect();
    assert_eq!(came_of, [("a".to_owned(), 0), ("b".to_owned(), 1)]);
    hand.worker.aborted();
    hand.worker.halted(0, HaltReason::Unwritable("a record of test.told: too large".to_owned()));
    hand.after_ms(1000);
    assert_eq!(hand.told(), [told("b", "noted", 1)]);
    one_goes_on(&mut hand);
}

#[test]
fn a_header_of_a_higher_feature_level_halts_the_partition() {
    let mut hand = Hand::<Marked>::new(live());
    hand.worker.assigned(0);
    let header = ChangelogHeader { sequence: 3, feature_level: 2, ..ChangelogHeader::default() };
    hand.worker.taken_over(0, Takeover { header: Some(header), log_starts: vec![0, 0], ..Takeover::default() });
    hand.worker.assigned(1);
    hand.settle();
    assert_eq!(hand.halts[&0], HaltReason::FeatureLevel { found: 2, known: 1 });
    one_goes_on(&mut hand);
}

#[test]
fn a_timer_that_never_goes_halts_its_partition() {
    let mut hand = Hand::<Marked>::owning(live(), &[0, 1]);
    hand.order(1, "b", "1 note");
    hand.order(0, "a", "1 note");
    hand.order(0, "a", "2 stuck");
    hand.order(0, "a", "9 note");
    hand.after_ms(1000);
    assert!(matches!(hand.halts[&0], HaltReason::NoProgress { due, .. } if due == at(3)));
    hand.after_ms(1000);
    assert_eq!(hand.told(), [told("b", "noted", 1)], "nothing of the batch that broke is written twice or at all");
    one_goes_on(&mut hand);
}

#[test]
fn a_state_that_can_not_be_decoded_halts_its_partition() {
    let mut hand = Hand::<Marked>::owning(live(), &[0, 1]);
    let broken = StateChange {
        key: Key::from("a"),
        value: Some(Bytes::from_static(b"\x00junk")),
        due: Due::default(),
        labels: Labels::Same,
    };
    hand.views.get_mut(&0).unwrap().states.insert(Key::from("a"), broken);
    hand.order(1, "b", "1 note");
    hand.order(0, "x", "1 note");
    hand.order(0, "a", "1 note");
    hand.after_ms(1000);
    assert!(matches!(&hand.halts[&0], HaltReason::State(_)));
    hand.after_ms(1000);
    assert_eq!(hand.told(), [told("b", "noted", 1)]);
    one_goes_on(&mut hand);
}

#[test]
fn a_state_that_is_too_large_halts_its_partition_with_the_limit() {
    let mut hand = Hand::<Marked>::owning(live(), &[0, 1]);
    hand.order(0, "a", "1 grow 2000000");
    hand.order(1, "b", "1 note");
    hand.after_ms(1000);
    hand.after_ms(1000);
    let reason = hand.halts[&0].to_string();
    assert!(matches!(hand.halts[&0], HaltReason::Unwritable(_)), "{reason}");
    assert!(reason.contains("1000000") && reason.contains("can't be written"), "{reason}");
    assert_eq!(hand.told(), [told("b", "noted", 1)]);
    one_goes_on(&mut hand);
}

#[test]
fn an_answer_of_the_store_that_does_not_fit_the_question_halts_rather_than_loses_records() {
    let mut hand = Hand::<Marked>::owning(live(), &[0, 1]);
    hand.order(0, "a", "1 note");
    let load = hand.worker.poll(hand.now_ms);
    assert!(matches!(load, Some(stream::Decision::Load(_))));
    hand.worker.loaded(Vec::new());
    hand.settle();
    assert!(matches!(hand.halts[&0], HaltReason::Invariant { name: "every_key_is_answered", .. }));
    one_goes_on(&mut hand);
}

#[test]
fn claims_of_a_halted_partition_give_their_room_back() {
    let mut hand = Hand::<Marked>::owning(live(), &[0, 1]);
    hand.worker.capacity(1);
    hand.order(0, "a", "1 ask x");
    hand.finish();
    assert_eq!(hand.acts.len(), 1);
    hand.order(0, "a", "2 grow 2000000");
    hand.after_ms(1000);
    assert!(hand.halts.contains_key(&0));
    hand.order(1, "b", "1 ask y");
    hand.after_ms(1000);
    assert_eq!(hand.acts.len(), 1, "what is under way takes room");
    let (partition, key, claim) = hand.acts[0].clone();
    hand.worker.completed(partition, key, claim, "done".to_owned());
    hand.after_ms(1000);
    assert_eq!(hand.acts.len(), 2);
    assert!(hand.worker.is_idle());
}

#[test]
fn a_halted_partition_that_is_assigned_anew_is_taken_over_anew() {
    let mut hand = Hand::<Marked>::owning(live(), &[0, 1]);
    hand.order(0, "a", "1 grow 2000000");
    hand.after_ms(1000);
    assert!(hand.halts.remove(&0).is_some());
    hand.logs.get_mut(&(0, 0)).unwrap()[0].value = Some(b"1 grow 2".to_vec());
    hand.worker.revoked(0);
    hand.worker.assigned(0);
    hand.after_ms(1000);
    assert_eq!(hand.state(0, "a").unwrap().filler, "xx");
}
