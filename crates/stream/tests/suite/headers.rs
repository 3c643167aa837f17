//! The header: one record that says how far a partition got.

use schemas::{Position, UpstreamWatermark};

use crate::shared::*;

fn position(dataset: &str, next_offset: i64) -> Position {
    Position { dataset: dataset.to_owned(), next_offset }
}

#[test]
fn the_first_header_is_written_before_any_record() {
    let hand = Hand::<Marked>::owning(live(), &[0, 1]);
    for partition in [0, 1] {
        let header = hand.header(partition);
        assert_eq!(header.sequence, 1);
        assert_eq!(header.positions, [position(ORDERS, 0), position(NOTES, 0)]);
        assert_eq!(header.watermark, 0, "no time has come yet");
    }
}

#[test]
fn a_header_names_positions_watermarks_tables_level_time_and_writer() {
    let mut hand = Hand::<Marked>::owning(live(), &[0]);
    hand.rule(0, "first").unwrap();
    hand.worker.table_read(0, 3);
    hand.order(0, "a", "10 note");
    hand.order(0, "a", "11 ignore");
    hand.record(1, 0, Some(b"a"), Some(b"1 note"), 1);
    hand.worker.end_reached(1, 0, 5, None);
    hand.mark(0, 600, &[2]);
    hand.mark(1, 700, &[2]);
    hand.finish();
    let header = hand.header(0).clone();
    assert_eq!(header.sequence, 2);
    assert_eq!(header.positions, [position(ORDERS, 2), position(NOTES, 5)]);
    assert_eq!(header.watermarks, [UpstreamWatermark { dataset: ORDERS.to_owned(), time: 600 }]);
    assert_eq!(header.watermark, 600);
    assert_eq!(header.tables, [position("test.rules", 3), position("test.house_rules", 0)]);
    assert_eq!(header.revision, Some(1));
    assert_eq!(header.feature_level, 1);
    assert_eq!(header.written_at, Some(hand.now_ms));
    assert_eq!(header.transactional_id, "test-0");
}

#[test]
fn only_the_partitions_that_a_batch_touched_get_a_header() {
    let mut hand = Hand::<Marked>::owning(live(), &[0, 1]);
    hand.order(1, "a", "10 ignore");
    hand.finish();
    assert_eq!((hand.headers(0), hand.headers(1)), (1, 2));
}

#[test]
fn a_change_of_the_table_alone_writes_a_header_on_every_partition() {
    let mut hand = Hand::<Marked>::owning(live(), &[0, 1]);
    hand.rule(0, "new").unwrap();
    assert!(!hand.worker.is_idle());
    hand.after_ms(100);
    for partition in [0, 1] {
        assert_eq!(hand.header(partition).tables, [position("test.rules", 1), position("test.house_rules", 0)]);
    }
    assert_eq!((hand.headers(0), hand.headers(1)), (2, 2));
    hand.after_ms(1000);
    assert_eq!((hand.headers(0), hand.headers(1)), (2, 2), "once");
    assert!(hand.worker.is_idle());
}

#[test]
fn the_header_of_a_change_of_the_table_is_written_again_if_its_commit_aborts() {
    let mut hand = Hand::<Marked>::owning(live(), &[0]);
    hand.rule(0, "new").unwrap();
    hand.aborts = 1;
    hand.after_ms(100);
    assert_eq!(hand.aborts, 0);
    hand.after_ms(1000);
    assert_eq!(hand.header(0).tables, [position("test.rules", 1), position("test.house_rules", 0)]);
}

#[test]
fn a_table_that_changes_all_the_time_holds_up_nothing() {
    let mut hand = Hand::<Marked>::owning(live(), &[0]);
    for n in 0..100 {
        hand.rule(n, "new").unwrap();
        hand.order(0, "a", "10 note");
        hand.after_ms(10);
    }
    assert!(hand.outputs.len() >= 90);
    assert!(hand.headers(0) <= 12, "a header a batch, not a header a record: {}", hand.headers(0));
}

#[test]
fn an_idle_partition_writes_down_at_times_that_it_came_past_markers() {
    let mut hand = Hand::<Marked>::owning(live(), &[0]);
    hand.order(0, "a", "10 note");
    hand.finish();
    hand.worker.end_reached(0, 0, 9, None);
    for _ in 0..39 {
        hand.after_ms(250);
    }
    assert_eq!(hand.header(0).positions[0].next_offset, 1, "not yet");
    hand.after_ms(250);
    assert_eq!(hand.header(0).positions[0].next_offset, 9);
    let headers = hand.headers(0);
    for _ in 0..100 {
        hand.after_ms(250);
    }
    assert_eq!(hand.headers(0), headers, "what stands where it stood says so once");
}

#[test]
fn time_alone_writes_a_header_at_times_and_in_a_replay_at_once() {
    let watermarks = |settings: stream::WorkerSettings| {
        let mut hand = Hand::<Marked>::owning(settings, &[0]);
        for n in 1..=50 {
            hand.mark(0, n, &[0]);
            hand.mark(1, n, &[0]);
            hand.after_ms(250);
        }
        assert_eq!(hand.worker.watermark(0), Some(at(50)));
        hand.views[&0].headers[1..].iter().map(|header| header.watermark).collect::<Vec<_>>()
    };
    assert_eq!(watermarks(live()), [40]);
    assert_eq!(watermarks(replay_by_hand()), (1..=50).collect::<Vec<_>>());
}

#[test]
fn the_next_owner_goes_on_where_the_header_says() {
    let mut hand = Hand::<Marked>::owning(live(), &[0]);
    hand.order(0, "a", "10 note");
    hand.record(1, 0, Some(b"a"), Some(b"1 note"), 1);
    hand.worker.end_reached(0, 0, 4, None);
    hand.finish();
    hand.restart(&[0]);
    assert_eq!(hand.starts.last(), Some(&(0, vec![4, 1])));
    assert_eq!((hand.worker.position(0, 0), hand.worker.position(1, 0)), (Some(4), Some(1)));
    assert_eq!((hand.worker.position(2, 0), hand.worker.position(0, 1)), (None, None));
}

#[test]
fn an_input_that_a_newer_version_reads_for_the_first_time_begins_where_its_log_does() {
    let mut hand = Hand::<Marked>::owning(live(), &[0]);
    let mut header = hand.header(0).clone();
    header.positions.retain(|position| position.dataset == ORDERS);
    hand.worker.assigned(1);
    hand.worker.taken_over(
        1,
        stream::Takeover { header: Some(header), log_starts: vec![0, 7], ..stream::Takeover::default() },
    );
    hand.views.insert(1, View::default());
    hand.worker.poll(hand.now_ms);
    hand.settle();
    assert_eq!(hand.worker.position(1, 1), Some(7));
}

#[test]
fn the_same_records_give_the_same_bytes() {
    let run = || {
        let mut driver = Hand::<Marked>::owning(replay_by_hand(), &[0, 1]);
        for n in 0..200 {
            driver.order(n % 2, &format!("key {}", n % 37), &format!("{n} remind {}", n + 20));
        }
        driver.finish();
        driver
    };
    let (mut one, mut other) = (run(), run());
    assert_eq!(one.told(), other.told());
    for partition in [0, 1] {
        let (one, other) = (&one.views[&partition], &other.views[&partition]);
        assert_eq!(one.changelog, other.changelog);
        assert_eq!(one.headers, other.headers);
        assert_eq!(one.headers.last().unwrap().written_at, None, "a replay has no wall clock");
        let keys: Vec<_> = one.changelog.iter().map(|(key, _)| key).collect();
        assert!(keys.is_sorted());
    }
}

fn replay_by_hand() -> stream::WorkerSettings {
    stream::WorkerSettings { time_mode: stream::TimeMode::Replay, ..live() }
}
