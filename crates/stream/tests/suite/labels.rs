//! What the worker tells a store of labels. Wanted properties:
//! - after each commit a key is found under the labels of its state, and under no others;
//! - who stays under the same labels is not told of: the store has nothing to write.

use stream::{HaltReason, Key, MAX_LABEL_BYTES, MAX_LABELS, WorkerSettings};

use crate::shared::*;

fn found(hand: &Hand<Marked>, label: &str) -> Vec<Key> {
    hand.views[&0].index.found_under(label)
}

fn without_cache() -> WorkerSettings {
    WorkerSettings { cache_bytes: 0, ..live() }
}

#[test]
fn a_key_is_found_under_the_labels_of_its_state_and_no_longer_under_those_that_it_left() {
    // Known from the cache, and from what the store has.
    for settings in [live(), without_cache()] {
        let mut hand = Hand::<Marked>::owning(settings, &[0]);
        for text in ["1 label vip", "2 label new"] {
            hand.order(0, "a", text);
            hand.finish();
        }
        hand.order(0, "b", "3 label vip");
        hand.finish();
        assert_eq!(
            (found(&hand, "vip").len(), found(&hand, "new"), found(&hand, "lost").len()),
            (2, vec!["a".into()], 0)
        );

        // Several changes in one batch are one.
        for text in ["4 unlabel vip", "5 label lost", "6 unlabel new", "7 label new"] {
            hand.order(0, "a", text);
        }
        hand.finish();
        assert_eq!(
            (found(&hand, "vip"), found(&hand, "new"), found(&hand, "lost")),
            (vec!["b".into()], vec!["a".into()], vec!["a".into()])
        );

        hand.order(0, "a", "8 forget");
        hand.order(0, "b", "9 forget");
        hand.order(0, "b", "10 label new");
        hand.finish();
        assert_eq!(
            (found(&hand, "vip").len(), found(&hand, "new"), found(&hand, "lost").len()),
            (0, vec!["b".into()], 0)
        );
    }
}

#[test]
fn a_change_that_leaves_the_labels_as_they_are_tells_nothing_of_them() {
    for settings in [live(), without_cache()] {
        let mut hand = Hand::<Marked>::owning(settings, &[0]);
        hand.order(0, "a", "1 label vip");
        hand.finish();
        for n in 2..20 {
            hand.order(0, "a", &format!("{n} note"));
            hand.order(0, "b", &format!("{n} note"));
            hand.finish();
        }
        hand.order(0, "a", "20 unlabel vip");
        hand.order(0, "a", "21 label vip");
        hand.finish();
        assert_eq!((hand.views[&0].told_labels, found(&hand, "vip")), (1, vec!["a".into()]));
    }
}

#[test]
fn what_an_aborted_batch_told_of_labels_is_told_again() {
    let mut hand = Hand::<Marked>::owning(live(), &[0]);
    hand.order(0, "a", "1 label vip");
    hand.finish();
    hand.order(0, "a", "2 unlabel vip");
    hand.order(0, "a", "3 label new");
    hand.aborts = 1;
    hand.finish();
    hand.after_ms(250);
    assert_eq!((found(&hand, "vip").len(), found(&hand, "new")), (0, vec!["a".into()]));
}

#[test]
fn a_restarted_worker_knows_under_which_labels_the_store_has_a_key() {
    let mut hand = Hand::<Marked>::owning(live(), &[0]);
    hand.order(0, "a", "1 label vip");
    hand.finish();
    hand.restart(&[0]);
    hand.order(0, "a", "2 label new");
    hand.order(0, "a", "3 unlabel vip");
    hand.finish();
    assert_eq!((found(&hand, "vip").len(), found(&hand, "new")), (0, vec!["a".into()]));
}

#[test]
fn a_state_under_too_many_labels_or_under_one_too_long_is_not_committed() {
    let many: Vec<String> = (0..=MAX_LABELS).map(|n| format!("1 label l{n}")).collect();
    let long = vec![format!("1 label {}", "x".repeat(MAX_LABEL_BYTES + 1))];
    for texts in [many, long] {
        let mut hand = Hand::<Marked>::owning(live(), &[0]);
        for text in &texts {
            hand.order(0, "a", text);
        }
        hand.finish();
        let halted = &hand.halts[&0];
        assert!(matches!(halted, HaltReason::Invariant { name: "labels_are_few_and_short", .. }), "{halted:?}");
        assert_eq!(hand.state(0, "a"), None);
    }
}
