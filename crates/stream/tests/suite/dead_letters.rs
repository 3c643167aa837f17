//! What can't be used, and how every record ends.

use stream::DeadLetter;

use crate::shared::*;

type Bytes = Option<&'static [u8]>;

#[test]
fn a_record_that_can_not_be_used_is_a_dead_letter_byte_for_byte_and_the_next_goes_on() {
    let mut hand = Hand::<Marked>::owning(live(), &[0]);
    let records: [(Bytes, Bytes); 4] = [
        (Some(b"a"), Some(b"\xff\xfe\x00 nonsense")),
        (None, Some(b"1 note")),
        (Some(b""), None),
        (Some(b"a"), Some(b"")),
    ];
    for (key, value) in records {
        assert!(hand.record(0, 0, key, value, 77));
    }
    hand.order(0, "a", "5 note");
    hand.finish();
    assert_eq!(hand.told(), [told("a", "noted", 5)]);
    assert_eq!(hand.dead_letters.len(), 4);
    for (offset, (letter, (key, value))) in hand.dead_letters.iter().zip(records).enumerate() {
        let DeadLetter { dataset, partition, offset: at_offset, timestamp, key: found_key, value: found, .. } = letter;
        let poison = &letter.poison;
        assert_eq!((*dataset, *partition, *at_offset, *timestamp), (ORDERS, 0, offset as i64, at(77)));
        assert_eq!((found_key.as_deref(), found.as_deref()), (key, value));
        assert_eq!(poison.reason, "malformed");
    }
    assert_eq!(hand.count(ORDERS, "deadlettered"), 4);
}

#[test]
fn what_a_step_sets_aside_is_a_dead_letter_once_byte_for_byte_and_changes_nothing() {
    let mut driver = driver();
    driver.order("a", "1 note");
    let before = driver.state("a");
    driver.abort_next_commit();
    driver.order("a", "2 aside");
    driver.order("b", "3 aside");
    let letters = driver.dead_letters();
    let told: Vec<_> =
        letters.iter().map(|letter| (letter.poison.reason, letter.key.as_deref(), letter.value.as_deref())).collect();
    assert_eq!(
        told,
        [("not_yet", Some(&b"a"[..]), Some(&b"2 aside"[..])), ("not_yet", Some(&b"b"[..]), Some(&b"3 aside"[..])),]
    );
    assert_eq!((driver.state("a"), driver.states()), (before, 1));
}

#[test]
fn a_key_that_is_the_headers_or_too_long_is_poison() {
    let mut driver = driver();
    driver.order("\0", "1 note");
    driver.order("\0a", "1 note");
    driver.order(&"k".repeat(1025), "1 note");
    driver.order(&"k".repeat(1024), "1 note");
    driver.order("a\0", "1 note");
    let reasons: Vec<_> = driver.dead_letters().iter().map(|letter| letter.poison.reason).collect();
    assert_eq!(reasons, ["bad_key"; 3]);
    assert_eq!(driver.states(), 2);
}

#[test]
fn poison_is_dead_lettered_once_whatever_is_aborted() {
    let mut driver = driver();
    driver.abort_next_commit();
    driver.order("a", "nonsense");
    driver.restart(Rules::default());
    assert_eq!(driver.dead_letters().len(), 1);
}

#[test]
fn every_record_is_counted_once_with_its_outcome_and_reason() {
    let mut hand = Hand::<Marked>::owning(live(), &[0, 1]);
    let texts = ["1 note", "2 ignore", "3 reject", "x", "4 note", "5 what", "6 echo", "7 aside"];
    for round in 0..30 {
        if round % 7 == 3 {
            hand.aborts = 1;
        }
        for (n, text) in texts.iter().enumerate() {
            hand.order((round + n as i32) % 2, "a", text);
        }
        hand.record(1, 0, Some(b"b"), Some(b"1 ignore"), 0);
        hand.after_ms(70);
    }
    hand.after_ms(1000);
    hand.after_ms(1000);
    let sum = |input: &str| -> u64 {
        hand.counts.iter().filter(|((what, _, _), _)| *what == input).map(|(_, count)| *count).sum()
    };
    assert_eq!((sum(ORDERS), sum(NOTES)), (30 * texts.len() as u64, 30));
    assert_eq!(hand.counts[&(ORDERS, "emitted", "")], 90);
    assert_eq!(hand.counts[&(ORDERS, "ignored", "nothing_to_do")], 30);
    assert_eq!(hand.counts[&(ORDERS, "rejected", "not_allowed")], 30);
    assert_eq!(hand.counts[&(ORDERS, "deadlettered", "malformed")], 60);
    assert_eq!(hand.counts[&(ORDERS, "deadlettered", "not_yet")], 30);
    assert_eq!(hand.outputs.iter().filter(|told| told.what == "rejected").count(), 30);
}
