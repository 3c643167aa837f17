//! What every store has to keep, as generic tests: each file has its subject's properties in its first lines, and `suite!`
//! makes a test of each for one store.

// Each test binary uses a part of it; `suite!` names its functions.
#![allow(dead_code, unreachable_pub)]
// A test that can't go on panics; small makers of test values take what is at hand.
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value, clippy::unnecessary_wraps)]

pub mod apply;
pub mod labels;
pub mod lookups;
pub mod model;
pub mod rebuild;

use std::sync::Arc;

use bytes::Bytes;
use domain::Timestamp;
use store::{Lookups, MembersQuery};
use stream::{
    Applied, Due, DueQuery, Key, Label, Labels, Lane, LoadRequest, Loaded, Partition, StateChange, StateStore,
    StorePosition,
};

/// One store's data, of which several workers may have handles.
pub trait Backend {
    type Store: StateStore;
    /// Another worker's handle.
    fn open(&self) -> Self::Store;
    /// Lookups that compare with what `store` and its clones wrote.
    fn lookups(&self, store: &Self::Store) -> Box<dyn Lookups>;
}

/// The partition that most tests use.
pub const PARTITION: Partition = 3;
pub const LOG: &str = "cluster-1/topic-1";

pub fn position(generation: &str, header_offset: i64) -> StorePosition {
    StorePosition { generation: generation.into(), log: LOG.into(), header_offset }
}

/// Begins an empty view at `header_offset` and gives its position.
pub fn begun(store: &mut impl StateStore, generation: &str, header_offset: i64) -> StorePosition {
    store.begin_rebuild(PARTITION, generation, LOG).unwrap();
    store.switch(PARTITION, generation, LOG, header_offset).unwrap();
    position(generation, header_offset)
}

pub fn set(key: &str, value: &str) -> StateChange {
    due(key, value, Due::default())
}

pub fn due(key: &str, value: &str, due: Due) -> StateChange {
    let value = Some(Bytes::copy_from_slice(value.as_bytes()));
    StateChange { key: key.into(), value, due, labels: Labels::Same }
}

pub fn timer(key: &str, value: &str, at: i64) -> StateChange {
    due(key, value, Due { timer: Some(Timestamp::from_millis(at)), ..Due::default() })
}

pub fn end(key: &str) -> StateChange {
    StateChange { key: key.into(), value: None, due: Due::default(), labels: Labels::Same }
}

/// A state that is found under these labels; who writes it does not know under which it was.
pub fn under(key: &str, value: &str, labels: &[&str]) -> StateChange {
    StateChange { labels: Labels::are(of(labels)), ..set(key, value) }
}

/// The same of one who knows under which it was.
pub fn moved(key: &str, value: &str, before: &[&str], now: &[&str]) -> StateChange {
    StateChange { labels: Labels::Are { before: Some(of(before)), now: of(now) }, ..set(key, value) }
}

fn of(labels: &[&str]) -> Vec<Label> {
    labels.iter().map(|label| Label::from(*label)).collect()
}

pub fn all_under(label: &str) -> MembersQuery {
    MembersQuery { label: label.into(), after: None, limit: 1_000 }
}

/// Who is under a label, in pages of so many.
pub fn pages(lookups: &dyn Lookups, label: &str, limit: usize) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    loop {
        let after = found.last().map(|last| Key::from(last.as_str()));
        let query = MembersQuery { label: label.into(), after, limit };
        let page = lookups.members(&[(PARTITION, query)]).unwrap().remove(0).keys;
        assert!(page.len() <= limit);
        if page.is_empty() {
            return found;
        }
        found.extend(page.iter().map(ToString::to_string));
    }
}

pub fn keys(keys: &[&str]) -> LoadRequest {
    LoadRequest { keys: keys.iter().map(|key| Key::from(*key)).collect(), due: None }
}

pub fn who_is_due(lane: Lane, until: Timestamp, limit: usize) -> LoadRequest {
    LoadRequest { keys: Vec::new(), due: Some(DueQuery { lane, until, limit }) }
}

/// Loads the states of `keys` as text.
pub fn states(store: &mut impl StateStore, wanted: &[&str]) -> Vec<Option<String>> {
    let loaded = store.load(PARTITION, &keys(wanted)).unwrap().unwrap();
    loaded.states.into_iter().map(|state| state.map(text)).collect()
}

/// The due entries as (time, key, value).
pub fn due_entries(loaded: Loaded) -> Vec<(i64, Arc<str>, Option<String>)> {
    loaded.due.into_iter().map(|(at, key, value)| (at.as_millis(), key, value.map(text))).collect()
}

/// All due entries of a lane.
pub fn lane(store: &mut impl StateStore, lane: Lane) -> Vec<(i64, Arc<str>, Option<String>)> {
    due_entries(store.load(PARTITION, &who_is_due(lane, Timestamp::MAX, 100_000)).unwrap().unwrap())
}

pub fn text(value: Bytes) -> String {
    String::from_utf8(value.to_vec()).unwrap()
}

pub fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// Applies the next batch and gives the position then.
pub fn applied(
    store: &mut impl StateStore,
    from: &StorePosition,
    header_offset: i64,
    changes: &[StateChange],
) -> StorePosition {
    assert_eq!(store.apply(PARTITION, from, header_offset, changes).unwrap(), Applied::Done);
    StorePosition { header_offset, ..from.clone() }
}

/// A test of each property, for the backend that the expression makes.
#[macro_export]
macro_rules! suite {
    ($backend:expr, $cases:expr) => {
        $crate::suite!(@each $backend, apply: [
            a_partition_without_a_view_says_so,
            an_applied_batch_is_read_back_with_its_position,
            a_batch_applied_twice_is_there_already_and_changes_nothing,
            a_batch_from_another_position_is_refused_and_told_where_the_view_stands,
            of_several_changes_of_a_key_in_a_batch_the_last_counts,
            several_partitions_at_once_are_each_moved_or_refused_by_themselves,
            an_ended_key_is_gone_with_its_entries_in_all_lanes,
            the_due_come_eldest_first_with_their_states_and_only_up_to_the_time_and_limit_asked,
            each_lane_is_its_own_and_a_change_moves_or_removes_its_entry,
            times_at_the_ends_of_the_scale_are_kept_in_order,
            a_load_asks_for_states_and_the_due_at_once_and_answers_in_the_order_asked,
            values_and_keys_are_given_back_byte_for_byte,
            a_batch_of_thirty_thousand_changes_is_one_batch,
            partitions_are_apart,
            what_is_too_large_is_refused_before_anything_is_written,
            a_stalled_worker_is_refused_once_another_went_on,
            a_restarted_worker_finds_the_view_where_it_was_left,
            a_view_that_is_behind_is_healed_by_the_batches_that_it_lacks,
        ]);
        $crate::suite!(@each $backend, rebuild: [
            a_rebuild_stands_beside_the_view_in_use_until_it_is_switched_to,
            an_empty_changelog_gives_a_view_before_the_first_offset,
            fills_may_repeat_and_the_latest_change_of_a_key_counts,
            a_batch_for_the_view_before_the_switch_is_refused_after_it,
            a_rebuild_that_was_overtaken_by_another_is_told_to_begin_again,
            a_rebuild_does_not_replace_a_view_that_moved_on_meanwhile,
            the_generation_in_use_can_not_be_rebuilt_over_itself,
            a_switch_that_is_repeated_is_done_once,
            a_rebuild_after_one_that_was_given_up_holds_nothing_of_it,
            a_fill_or_switch_without_a_rebuild_is_refused,
        ]);
        $crate::suite!(@each $backend, labels: [
            a_key_is_found_under_its_labels_and_no_longer_under_those_that_it_left,
            of_several_changes_of_a_key_in_a_batch_the_last_labels_count,
            a_rebuilt_view_finds_what_was_filled_in_and_nothing_of_the_view_before,
            a_stalled_worker_moves_nobody_and_a_repeated_batch_moves_her_once,
            a_restarted_worker_finds_the_labels_where_they_were_left,
            keys_of_any_bytes_are_paged_through_in_the_order_of_their_bytes,
            several_partitions_are_asked_at_once_and_each_is_by_itself,
            too_much_at_once_is_refused,
            who_stays_is_listed_once_while_others_come_and_go_and_the_view_is_built_anew,
            lists_go_on_beside_a_writer_and_are_each_of_one_moment,
        ]);
        $crate::suite!(@each $backend, lookups: [
            a_lookup_reads_what_the_worker_wrote_with_its_position,
            a_lookup_without_a_view_says_that_it_is_being_restored,
            several_keys_are_read_at_once_in_their_order_through_a_switch_too,
            where_one_partition_is_being_restored_nothing_of_several_is_answered,
            a_lookup_of_too_many_keys_is_refused,
            lookups_go_on_beside_a_writer_and_never_see_an_older_state_than_was_acknowledged,
            a_glance_tells_what_a_lookup_tells_or_nothing,
            glances_beside_a_writer_never_see_an_older_state_than_was_acknowledged,
        ]);
        #[test]
        fn it_agrees_with_a_simple_model_whatever_is_done() {
            suite::model::it_agrees_with_a_simple_model_whatever_is_done(|| $backend, $cases);
        }
    };
    (@each $backend:expr, $file:ident: [$($name:ident,)*]) => {
        $(#[test]
        fn $name() {
            suite::$file::$name(&$backend);
        })*
    };
}
