//! A key's timers: before its records, and by the watermark.

use crate::shared::*;

#[test]
fn timers_due_strictly_before_a_record_fire_before_it_in_their_order() {
    let mut driver = driver();
    driver.order("a", "10 remind 40");
    driver.order("a", "10 remind 30");
    driver.order("a", "10 remind 50");
    driver.told();
    driver.order("a", "50 note");
    assert_eq!(driver.told(), [told("a", "reminded 30", 30), told("a", "reminded 40", 40), told("a", "noted", 50)]);
    driver.order("a", "51 note");
    assert_eq!(driver.told(), [told("a", "reminded 50", 50), told("a", "noted", 51)]);
}

#[test]
fn now_is_the_later_of_her_time_and_the_records() {
    let mut driver = driver();
    driver.order("a", "100 note");
    driver.order("a", "50 note");
    driver.order("a", "10 remind 20");
    assert_eq!(driver.told(), [told("a", "noted", 100), told("a", "noted", 100), told("a", "set 20", 100)]);
    // A timer that is behind her time when it is set fires before the next record that is later than it, at her time.
    driver.order("a", "20 note");
    assert_eq!(driver.told(), [told("a", "noted", 100)]);
    driver.order("a", "21 note");
    assert_eq!(driver.told(), [told("a", "reminded 20", 100), told("a", "noted", 100)]);
}

#[test]
fn one_keys_records_fire_no_timers_of_another() {
    let mut driver = driver();
    driver.order("a", "10 remind 20");
    driver.order("b", "1000 note");
    assert_eq!(driver.told(), [told("a", "set 20", 10), told("b", "noted", 1000)]);
}

#[test]
fn other_inputs_apply_at_her_time_and_fire_nothing() {
    let mut driver = driver();
    driver.order("a", "10 remind 20");
    driver.note("a", "500 note");
    assert_eq!(driver.told(), [told("a", "set 20", 10), told("a", "noted", 10)]);
}

#[test]
fn the_watermark_fires_timers_due_by_it_without_records() {
    let mut driver = driver();
    driver.order("a", "10 remind 20");
    driver.order("b", "10 remind 21");
    driver.told();
    driver.advance_to(at(19));
    assert_eq!(driver.told(), []);
    driver.advance_to(at(20));
    assert_eq!(driver.told(), [told("a", "reminded 20", 20)]);
    driver.advance_to(at(30));
    assert_eq!(driver.told(), [told("b", "reminded 21", 21)]);
}

#[test]
fn a_timer_that_a_timer_sets_fires_too_if_it_is_due() {
    let mut driver = driver();
    driver.order("a", "10 chain 5");
    driver.told();
    driver.advance_to(at(13));
    let fired: Vec<i64> = driver.told().iter().map(|told| told.now).collect();
    assert_eq!(fired, [11, 12, 13]);
    driver.order("a", "100 note");
    let fired: Vec<i64> = driver.told().iter().map(|told| told.now).collect();
    assert_eq!(fired, [14, 15, 100]);
}

#[test]
fn a_timer_set_behind_the_watermark_fires_in_the_same_batch() {
    let mut driver = driver();
    driver.order("a", "10 note");
    driver.advance_to(at(1000));
    driver.told();
    driver.order("a", "20 remind 500");
    assert_eq!(driver.told(), [told("a", "set 500", 20), told("a", "reminded 500", 500)]);
    assert_eq!(driver.state("a").unwrap().timers, [] as [i64; 0]);
}

#[test]
fn a_timer_set_behind_the_watermark_fires_before_her_next_record_wherever_the_batch_ends() {
    for separately in [true, false] {
        let mut driver = driver();
        driver.advance_to(at(1000));
        for (dataset, text) in [(ORDERS, "20 remind 500"), (ORDERS, "30 note"), (NOTES, "1 note")] {
            driver.append(dataset, "a", Some(text.as_bytes()), at(0), None);
            if separately {
                driver.capacity(0);
            }
        }
        driver.capacity(0);
        let expected = [("set 500", 20), ("reminded 500", 500), ("noted", 500), ("noted", 500)];
        assert_eq!(driver.told(), expected.map(|(what, now)| told("a", what, now)));
    }
}

#[test]
fn more_timers_than_a_batch_takes_fire_over_several_batches_and_the_watermark_waits_for_them() {
    let settings = stream::WorkerSettings { max_batch_records: 10, ..live() };
    let mut hand = Hand::<Marked>::owning(settings, &[0]);
    for n in 0..35 {
        hand.order(0, &format!("k{n:02}"), "10 remind 100");
    }
    hand.finish();
    hand.told();
    let commits = hand.commits;
    hand.mark(0, 200, &[35]);
    hand.mark(1, 200, &[35]);
    hand.now_ms += 250;
    let mut watermarks = Vec::new();
    for _ in 0..40 {
        if let Some(decision) = hand.worker.poll(hand.now_ms) {
            hand.carry_out(decision);
        }
        watermarks.push((hand.outputs.len(), hand.worker.watermark(0).unwrap()));
    }
    assert_eq!(hand.outputs.len(), 35, "without waiting for the clock");
    assert!(hand.commits - commits >= 4);
    assert!(watermarks.iter().all(|(fired, watermark)| *watermark < at(100) || *fired == 35), "{watermarks:?}");
    assert_eq!(hand.worker.watermark(0), Some(at(200)));
}

#[test]
fn the_longer_a_full_batch_is_worked_on_the_fewer_timers_are_in_the_next() {
    let mut hand = Hand::<Marked>::owning(live(), &[0]);
    for n in 0..10_000 {
        hand.order(0, &format!("k{n:04}"), "10 remind 100");
    }
    hand.finish();
    hand.told();
    // Each batch of the set-up was done in no time.
    hand.restart(&[0]);
    hand.mark(0, 200, &[10_000]);
    hand.mark(1, 200, &[10_000]);
    hand.now_ms += 250;
    let mut fired = Vec::new();
    for took_ms in [10, 10, 200, 300, 300, 300, 300, 10] {
        let batch = loop {
            match hand.worker.poll(hand.now_ms) {
                Some(stream::Decision::Commit(batch)) => break batch,
                Some(decision) => {
                    hand.carry_out(decision);
                    hand.now_ms += took_ms;
                }
                None => panic!("there are timers due"),
            }
        };
        fired.push(batch.outputs.len());
        // A commit that is held up says nothing of how long the work took.
        hand.now_ms += 5_000;
        hand.commit(*batch);
        assert!(hand.worker.poll(hand.now_ms).is_none(), "it gives way");
    }
    assert_eq!(fired, [1_000, 1_500, 2_250, 2_250, 1_125, 562, 281, 256]);
}

#[test]
fn a_state_equal_to_the_default_is_ended_and_her_time_with_it_wherever_the_batch_ends() {
    for separately in [true, false] {
        let mut driver = driver();
        for text in ["100 note", "110 forget", "50 note"] {
            if separately {
                driver.order("a", text);
            } else {
                driver.append(ORDERS, "a", Some(text.as_bytes()), at(0), None);
            }
        }
        driver.order("b", "1 note");
        assert_eq!(driver.state("a").unwrap().log, ["noted at 50"]);
        driver.order("a", "200 forget");
        assert_eq!(driver.state("a"), None);
        assert_eq!(driver.states(), 1);
    }
}

#[test]
fn an_output_alone_leaves_no_state_and_no_time() {
    for separately in [true, false] {
        let mut driver = driver();
        for text in ["100 echo", "50 echo"] {
            if separately {
                driver.order("a", text);
            } else {
                driver.append(ORDERS, "a", Some(text.as_bytes()), at(0), None);
            }
        }
        driver.order("b", "1 ignore");
        assert_eq!(driver.told(), [told("a", "echo", 100), told("a", "echo", 50)]);
        assert_eq!(driver.states(), 0);
    }
}

#[test]
#[should_panic(expected = "what_is_not_emitted_changes_nothing")]
fn a_service_that_changes_its_state_and_says_that_it_ignored_the_record_fails_its_tests() {
    driver().order("a", "1 lie");
}
