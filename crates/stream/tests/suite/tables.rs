//! Tables: what every worker holds whole.

use crate::shared::*;

#[test]
fn a_new_owner_first_catches_up_to_the_tables_of_the_header() {
    let mut hand = Hand::<Marked>::owning(live(), &[0]);
    hand.rule(0, "old").unwrap();
    hand.rule(1, "new").unwrap();
    hand.order(0, "a", "1 note");
    hand.finish();
    assert_eq!(hand.told(), [told("a", "noted by new", 1)]);
    hand.order(0, "a", "2 note");
    hand.restart(&[0]);
    assert_eq!(hand.worker.running().count(), 0);
    hand.rule(0, "old").unwrap();
    hand.after_ms(1000);
    assert_eq!(hand.told(), [], "one record is missing still");
    hand.rule(1, "new").unwrap();
    hand.after_ms(1000);
    assert_eq!(hand.told(), [told("a", "noted by new", 2)]);
}

#[test]
fn a_table_that_is_read_past_markers_lets_the_partition_start() {
    let mut hand = Hand::<Marked>::owning(live(), &[0]);
    hand.rule(0, "old").unwrap();
    hand.worker.table_read(0, 9);
    hand.finish();
    hand.restart(&[0]);
    hand.rule(0, "old").unwrap();
    assert_eq!(hand.worker.running().count(), 0);
    hand.worker.table_read(0, 9);
    assert_eq!(hand.worker.running().count(), 1);
}

#[test]
fn a_partition_that_starts_with_newer_tables_says_so_in_its_header() {
    let mut hand = Hand::<Marked>::owning(live(), &[0]);
    hand.worker.revoked(0);
    hand.rule(0, "new").unwrap();
    hand.after_ms(1000);
    hand.worker.assigned(0);
    hand.after_ms(1000);
    assert_eq!(hand.header(0).tables[0].next_offset, 1);
}

#[test]
fn a_record_of_a_table_that_is_refused_leaves_the_policy_and_counts_as_read() {
    let mut hand = Hand::<Marked>::owning(live(), &[0]);
    hand.rule(0, "good").unwrap();
    let refusal = hand.rule(1, "poison").unwrap_err();
    assert_eq!(refusal.reason, "malformed");
    assert_eq!(hand.worker.policy().0, ["good"]);
    hand.after_ms(1000);
    assert_eq!(hand.header(0).tables[0].next_offset, 2);
}

#[test]
fn a_record_of_a_table_that_was_read_before_changes_nothing() {
    let mut hand = Hand::<Marked>::owning(live(), &[0]);
    hand.rule(0, "one").unwrap();
    hand.rule(1, "two").unwrap();
    hand.rule(0, "one").unwrap();
    assert_eq!(hand.worker.policy().0, ["one", "two"]);
}
