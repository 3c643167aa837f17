//! Those who wait for a change of the policy.

use crate::shared::*;

#[test]
fn who_is_held_hears_of_each_revision_once() {
    let mut driver = driver();
    driver.order("a", "1 hold");
    driver.told();
    driver.order("b", "1 note");
    assert_eq!(driver.told(), [told("b", "noted", 1)], "no revision, no word");
    driver.table(RULES, PLAIN, Some(b"1")).unwrap();
    assert_eq!(driver.told(), [told("a", "told 1", 1)]);
    driver.order("b", "2 note");
    driver.advance_to(at(50));
    assert_eq!(driver.told(), [told("b", "noted", 2)]);
    driver.table(RULES, PLAIN, Some(b"2")).unwrap();
    assert_eq!(driver.told(), [told("a", "told 2", 1)]);
}

#[test]
fn who_begins_to_hold_in_a_revision_is_told_of_the_next_one_only() {
    let mut driver = driver();
    driver.table(RULES, PLAIN, Some(b"1")).unwrap();
    driver.order("a", "1 hold");
    driver.order("b", "1 note");
    assert_eq!(driver.told(), [told("a", "held", 1), told("b", "noted", 1)]);
    driver.table(RULES, PLAIN, Some(b"2")).unwrap();
    assert_eq!(driver.told(), [told("a", "told 2", 1)]);
}

#[test]
fn a_revision_in_the_middle_of_a_batch_is_told_to_who_held_before_it() {
    let mut hand = Hand::<Marked>::owning(live(), &[0]);
    hand.order(0, "a", "1 hold");
    hand.settle();
    hand.rule(0, PLAIN).unwrap();
    hand.order(0, "b", "1 hold");
    hand.finish();
    let words: Vec<_> = hand.told().into_iter().map(|told| (told.key, told.what)).collect();
    let word = |key: &str, what: &str| (key.to_owned(), what.to_owned());
    assert_eq!(words, [word("a", "held"), word("b", "held"), word("a", "told 1")]);
}

#[test]
fn a_word_that_was_aborted_is_told_again_and_a_restart_tells_nothing_twice() {
    let mut driver = driver();
    driver.order("a", "1 hold");
    driver.told();
    driver.abort_next_commit();
    driver.table(RULES, PLAIN, Some(b"1")).unwrap();
    driver.order("b", "1 note");
    driver.restart(Rules(vec![PLAIN.to_owned()]));
    let heard = driver.told().iter().filter(|told| told.what == "told 1").count();
    assert_eq!(heard, 1);
}

#[test]
fn a_change_while_nobody_owned_the_partition_is_told_by_the_next_owner() {
    let mut hand = Hand::<Marked>::owning(live(), &[0]);
    hand.order(0, "a", "1 hold");
    hand.finish();
    hand.told();
    hand.worker.revoked(0);
    hand.rule(0, PLAIN).unwrap();
    hand.after_ms(250);
    hand.worker.assigned(0);
    hand.after_ms(250);
    assert_eq!(hand.told(), [told("a", "told 1", 1)]);
}

#[test]
fn many_who_are_held_hear_of_it_over_several_batches() {
    let settings = stream::WorkerSettings { max_batch_records: 10, ..live() };
    let mut hand = Hand::<Marked>::owning(settings, &[0]);
    for n in 0..35 {
        hand.order(0, &format!("k{n:02}"), "1 hold");
    }
    hand.finish();
    hand.told();
    hand.rule(0, PLAIN).unwrap();
    hand.after_ms(250);
    assert_eq!(hand.told().len(), 35);
    hand.after_ms(1000);
    assert_eq!(hand.told(), []);
}

#[test]
fn the_longer_a_batch_takes_the_fewer_are_told_in_the_next_and_the_header_says_how_many_are_left() {
    let settings = stream::WorkerSettings { max_batch_records: 4_000, ..live() };
    let interval_ms = settings.commit_interval.as_millis();
    let mut hand = Hand::<Marked>::owning(settings, &[0]);
    for n in 0..4_000 {
        hand.order(0, &format!("k{n:04}"), "1 hold");
    }
    hand.finish();
    assert_eq!(hand.header(0).untold, Some(0));
    hand.rule(0, PLAIN).unwrap();
    hand.now_ms += 250;
    let (mut told, mut left) = (Vec::new(), Vec::new());
    for took_ms in [1, 1, 1, interval_ms * 8 / 10, 2 * interval_ms, 2 * interval_ms, 2 * interval_ms, 1] {
        let batch = hand.next_commit();
        told.push(batch.outputs.len());
        left.extend(batch.partitions[0].header.as_ref().unwrap().untold);
        hand.now_ms += took_ms;
        hand.commit(batch);
        assert!(hand.worker.poll(hand.now_ms).is_none(), "it gives way");
    }
    assert_eq!(told, [256, 384, 576, 864, 864, 432, 256, 256]);
    let so_far = told.iter().scan(4_000, |left, told| {
        *left -= *told as i64;
        Some(*left)
    });
    assert_eq!(left, so_far.collect::<Vec<_>>());
    hand.after_ms(250);
    assert_eq!(hand.header(0).untold, Some(0));
    assert_eq!(hand.told().iter().filter(|told| told.what == "told 1").count(), 4_000);
}

#[test]
fn a_change_is_heard_of_also_where_compaction_took_those_that_were_heard_of_before() {
    let mut hand = Hand::<Marked>::owning(live(), &[0]);
    hand.rule(0, PLAIN).unwrap();
    hand.rule(9, "withdrawn").unwrap();
    hand.order(0, "a", "1 hold");
    hand.finish();
    hand.told();
    // That it was withdrawn concerns nobody, and no record of it is left.
    hand.restart(&[0]);
    hand.rule(0, PLAIN).unwrap();
    hand.worker.table_read(0, 12);
    hand.rule_of(1, 0, "new").unwrap();
    hand.after_ms(250);
    assert_eq!(hand.told(), [told("a", "told 13 by new", 1)]);
    // Nothing new: nobody hears anything, and of the next change everybody does.
    hand.rule_of(1, 1, "quiet").unwrap();
    hand.finish();
    assert_eq!((hand.header(0).tables[1].next_offset, hand.header(0).revision), (2, Some(13)));
    hand.restart(&[0]);
    hand.worker.table_read(0, 12);
    hand.worker.table_read(1, 2);
    hand.after_ms(250);
    assert_eq!(hand.told(), []);
    hand.rule_of(1, 2, "newer").unwrap();
    hand.after_ms(250);
    assert_eq!(hand.told(), [told("a", "told 15 by newer", 1)]);
}

#[test]
fn a_partition_that_comes_from_a_worker_who_had_read_more_hears_of_the_next_change() {
    let mut hand = Hand::<Marked>::owning(live(), &[0]);
    hand.rule(3, PLAIN).unwrap();
    hand.worker.table_read(1, 7);
    hand.rule(4, PLAIN).unwrap();
    hand.order(0, "a", "1 hold");
    hand.finish();
    hand.told();
    // The new one has heard of the last change as well, but of no end of the other table then.
    hand.restart(&[]);
    hand.rule(3, PLAIN).unwrap();
    hand.rule(5, PLAIN).unwrap();
    hand.worker.table_read(1, 7);
    hand.worker.assigned(0);
    hand.after_ms(250);
    assert_eq!(hand.told(), [told("a", "told 13", 1)]);
}
