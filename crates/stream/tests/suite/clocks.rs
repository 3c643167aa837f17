//! The watermark: how far time has come, and never past what is still to be processed.

use domain::Timestamp;
use stream::WorkerSettings;

use crate::shared::*;

#[test]
fn the_watermark_waits_for_the_slowest_upstream_partition() {
    let mut hand = Hand::<Marked>::owning(live(), &[0]);
    hand.mark(0, 500, &[0]);
    hand.after_ms(250);
    assert_eq!(hand.worker.watermark(0), Some(Timestamp::MIN));
    hand.mark(1, 300, &[0]);
    hand.after_ms(250);
    assert_eq!(hand.worker.watermark(0), Some(at(300)));
}

#[test]
fn the_watermark_does_not_pass_a_record_that_was_not_processed() {
    let mut hand = Hand::<Marked>::owning(live(), &[0]);
    hand.order(0, "a", "10 remind 100");
    hand.mark(0, 50, &[1]);
    hand.mark(1, 50, &[1]);
    hand.finish();
    // Upstream is at 1000, but what came of it lies below offset 2, which was not read yet.
    hand.mark(0, 1000, &[2]);
    hand.mark(1, 1000, &[2]);
    hand.after_ms(1000);
    assert_eq!(hand.worker.watermark(0), Some(at(50)));
    hand.told();
    hand.order(0, "a", "90 forget");
    hand.after_ms(100);
    assert_eq!(hand.worker.watermark(0), Some(at(1000)));
    assert_eq!(hand.told(), [], "she bought before the reminder was due");
}

#[test]
fn a_position_past_trailing_markers_reaches_a_mark() {
    let mut hand = Hand::<Marked>::owning(live(), &[0]);
    hand.order(0, "a", "10 note");
    hand.mark(0, 50, &[2]);
    hand.mark(1, 50, &[2]);
    hand.after_ms(250);
    assert_eq!(hand.worker.watermark(0), Some(Timestamp::MIN));
    hand.worker.end_reached(0, 0, 2, None);
    hand.after_ms(250);
    assert_eq!(hand.worker.watermark(0), Some(at(50)));
}

#[test]
fn a_mark_of_a_new_owner_upstream_that_knows_less_takes_nothing_back() {
    let mut hand = Hand::<Marked>::owning(live(), &[0]);
    for upstream in [0, 1] {
        hand.mark(upstream, 500, &[0]);
        hand.mark(upstream, 100, &[0]);
    }
    hand.after_ms(250);
    assert_eq!(hand.worker.watermark(0), Some(at(500)));
    for upstream in [0, 1] {
        hand.mark(upstream, 200, &[0]);
    }
    hand.after_ms(250);
    assert_eq!(hand.worker.watermark(0), Some(at(500)));
}

#[test]
fn two_inputs_with_the_same_marks_are_each_held_to_their_own_bounds() {
    let mut hand = Hand::<TwiceMarked>::owning(live(), &[0]);
    for upstream in [0, 1] {
        let mark = schemas::Mark {
            entries: vec![schemas::MarkEntry { partition: upstream, time: 70 }],
            bounds: vec![
                schemas::OutputBound { dataset: ORDERS.to_owned(), offsets: vec![0] },
                schemas::OutputBound { dataset: NOTES.to_owned(), offsets: vec![1] },
            ],
            ..schemas::Mark::default()
        };
        hand.worker.mark(UPSTREAM, &mark);
    }
    hand.after_ms(250);
    assert_eq!(hand.worker.watermark(0), Some(Timestamp::MIN), "a note is still to be read");
    hand.record(1, 0, Some(b"a"), Some(b"10 note"), 10);
    hand.after_ms(250);
    assert_eq!(hand.worker.watermark(0), Some(at(70)));
}

#[test]
fn marks_of_another_data_set_tell_nothing() {
    let mut hand = Hand::<Marked>::owning(live(), &[0]);
    for upstream in [0, 1, 7, -1] {
        hand.mark_of("somebody.else", upstream, 500, &[0]);
    }
    hand.after_ms(250);
    assert_eq!(hand.worker.watermark(0), Some(Timestamp::MIN));
}

#[test]
fn the_brokers_time_moves_the_watermark_record_by_record() {
    let mut hand = Hand::<Brokered>::owning(live(), &[0]);
    hand.order(0, "a", "10 remind 60");
    hand.order(0, "b", "50 note");
    hand.finish();
    assert_eq!(hand.worker.watermark(0), Some(at(50)));
    hand.told();
    hand.order(0, "b", "60 note");
    hand.finish();
    assert_eq!(hand.told(), [told("b", "noted", 60), told("a", "reminded 60", 60)]);
}

#[test]
fn a_drained_input_follows_the_present_less_a_second_until_a_record_comes() {
    let mut hand = Hand::<Brokered>::owning(live(), &[0]);
    hand.order(0, "a", "10 remind 5000");
    hand.worker.end_reached(0, 0, 1, Some(at(5_999)));
    hand.finish();
    assert_eq!(hand.worker.watermark(0), Some(at(4_999)));
    hand.told();
    hand.worker.end_reached(0, 0, 1, Some(at(6_000)));
    hand.after_ms(250);
    assert_eq!(hand.told(), [told("a", "reminded 5000", 5000)]);
    hand.order(0, "a", "5500 note");
    hand.worker.end_reached(0, 0, 1, Some(at(99_000)));
    hand.finish();
    assert_eq!(hand.worker.watermark(0), Some(at(5_500)), "an end before the record says nothing of it");
}

#[test]
fn after_an_outage_nobody_is_reminded_of_a_cart_whose_purchase_waits_in_the_log() {
    let settings = WorkerSettings { max_batch_records: 1, ..live() };
    let mut hand = Hand::<Brokered>::owning(settings, &[0]);
    hand.order(0, "a", "10 remind 3600");
    hand.order(0, "b", "20 note");
    hand.order(0, "a", "3000 forget");
    hand.order(0, "b", "9000 note");
    hand.worker.end_reached(0, 0, 4, Some(at(1_000_000)));
    hand.after_ms(1000);
    hand.finish();
    assert!(hand.told().iter().all(|told| told.what != "reminded 3600"));
    assert_eq!(hand.worker.watermark(0), Some(at(999_000)));
}

#[test]
fn a_record_that_can_not_be_used_moves_the_brokers_time_too() {
    let mut hand = Hand::<Brokered>::owning(live(), &[0]);
    hand.record(0, 0, Some(b"a"), Some(b"nonsense"), 70);
    hand.finish();
    assert_eq!(hand.worker.watermark(0), Some(at(70)));
}

#[test]
fn each_input_with_a_brokers_clock_has_a_time_of_its_own() {
    let mut hand = Hand::<TwiceBrokered>::owning(live(), &[0]);
    hand.order(0, "a", "500 note");
    hand.finish();
    assert_eq!(hand.worker.watermark(0), Some(Timestamp::MIN));
    hand.record(1, 0, Some(b"a"), Some(b"1 note"), 200);
    hand.finish();
    assert_eq!(hand.worker.watermark(0), Some(at(200)));
    hand.worker.end_reached(1, 0, 1, Some(at(9_000)));
    hand.after_ms(250);
    assert_eq!(hand.worker.watermark(0), Some(at(500)));
}

#[test]
fn where_no_input_has_a_clock_timers_fire_before_records_only() {
    let mut hand = Hand::<Clockless>::owning(live(), &[0]);
    hand.order(0, "a", "10 remind 20");
    hand.after_ms(10_000);
    assert_eq!(hand.told(), [told("a", "set 20", 10)]);
    hand.order(0, "a", "30 note");
    hand.after_ms(10_000);
    assert_eq!(hand.told(), [told("a", "reminded 20", 20), told("a", "noted", 30)]);
}

#[test]
fn in_a_replay_the_brokers_clock_stands_still_until_it_is_advanced() {
    let mut driver = driver_with::<Brokered>(replay());
    driver.input(ORDERS, "a", b"10 remind 20", at(1_000_000));
    driver.input(ORDERS, "b", b"15 note", at(2_000_000));
    assert_eq!(driver.told(), [told("a", "set 20", 10), told("b", "noted", 15)]);
    driver.advance_to(at(20));
    assert_eq!(driver.told(), [told("a", "reminded 20", 20)]);
}

#[test]
fn the_next_owner_starts_from_the_watermark_of_the_header() {
    let mut hand = Hand::<Marked>::owning(live(), &[0]);
    hand.order(0, "a", "10 note");
    hand.mark(0, 300, &[1]);
    hand.mark(1, 300, &[1]);
    hand.finish();
    hand.restart(&[0]);
    assert_eq!(hand.worker.watermark(0), Some(at(300)));
    hand.order(0, "b", "20 remind 200");
    hand.finish();
    assert_eq!(hand.told().last(), Some(&told("b", "reminded 200", 200)), "it is behind the watermark");
}

#[test]
fn a_clock_that_is_set_back_does_not_stop_the_worker() {
    let mut hand = Hand::<Marked>::owning(live(), &[0]);
    hand.after_ms(1000);
    hand.now_ms -= 3_600_000;
    hand.order(0, "a", "10 note");
    hand.after_ms(100);
    assert_eq!(hand.told(), [told("a", "noted", 10)]);
    hand.mark(0, 300, &[1]);
    hand.mark(1, 300, &[1]);
    hand.after_ms(250);
    let (written_at_ms, partition, time) = hand.marks.last().copied().unwrap();
    assert_eq!((partition, time), (0, at(300)));
    assert!((0..=250).contains(&(hand.now_ms - written_at_ms)));
}
