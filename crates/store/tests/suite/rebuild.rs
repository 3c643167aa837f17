//! Rebuilds. Wanted properties:
//! - the view in use stays readable and writable until the switch, and is gone after it;
//! - only a rebuild that is whole, the latest begun, and over the view that still stands is switched to.

use stream::{Applied, Lane, StateStore, StoreError};

use super::*;

fn is_lost(result: Result<(), StoreError>) {
    match result {
        Err(StoreError::Unavailable(why)) => assert!(why.contains("begin it again"), "{why}"),
        other => panic!("{other:?}"),
    }
}

pub fn a_rebuild_stands_beside_the_view_in_use_until_it_is_switched_to(backend: &impl Backend) {
    let mut store = backend.open();
    let start = begun(&mut store, "old", 0);
    let now = applied(&mut store, &start, 1, &[timer("anna", "old", 1), timer("berta", "old", 2)]);
    store.begin_rebuild(PARTITION, "new", LOG).unwrap();
    store.fill(PARTITION, "new", &[timer("anna", "new", 5)]).unwrap();
    assert_eq!(states(&mut store, &["anna", "berta"]), [some("old"), some("old")]);
    assert_eq!(store.position(PARTITION).unwrap(), Some(now));

    store.switch(PARTITION, "new", LOG, 9).unwrap();
    assert_eq!(store.position(PARTITION).unwrap(), Some(position("new", 9)));
    assert_eq!(states(&mut store, &["anna", "berta"]), [some("new"), None]);
    assert_eq!(lane(&mut store, Lane::Timer), [(5, "anna".into(), some("new"))]);
    applied(&mut store, &position("new", 9), 10, &[end("anna")]);
    assert_eq!(lane(&mut store, Lane::Timer), []);
}

pub fn an_empty_changelog_gives_a_view_before_the_first_offset(backend: &impl Backend) {
    let mut store = backend.open();
    let start = begun(&mut store, "g", -1);
    assert_eq!(store.position(PARTITION).unwrap(), Some(start.clone()));
    assert_eq!(states(&mut store, &["anna"]), [None]);
    applied(&mut store, &start, 0, &[]);
}

pub fn fills_may_repeat_and_the_latest_change_of_a_key_counts(backend: &impl Backend) {
    let mut store = backend.open();
    store.begin_rebuild(PARTITION, "g", LOG).unwrap();
    let early: Vec<_> = (0..5_000).map(|n| timer(&format!("c{n}"), "early", n)).collect();
    let late: Vec<_> = (0..5_000)
        .filter(|n| n % 2 == 0)
        .map(|n| if n % 4 == 0 { end(&format!("c{n}")) } else { set(&format!("c{n}"), "late") })
        .collect();
    store.fill(PARTITION, "g", &early).unwrap();
    store.fill(PARTITION, "g", &[]).unwrap();
    store.fill(PARTITION, "g", &early).unwrap();
    store.fill(PARTITION, "g", &late).unwrap();
    store.switch(PARTITION, "g", LOG, 9_999).unwrap();
    assert_eq!(states(&mut store, &["c0", "c1", "c2", "c4999"]), [None, some("early"), some("late"), some("early")]);
    assert_eq!(lane(&mut store, Lane::Timer).len(), 2_500);
}

pub fn a_batch_for_the_view_before_the_switch_is_refused_after_it(backend: &impl Backend) {
    let (mut stalled, mut owner) = (backend.open(), backend.open());
    let start = begun(&mut stalled, "old", 5);
    begun(&mut owner, "new", 5);
    let refused = stalled.apply(PARTITION, &start, 6, &[set("anna", "stalled")]).unwrap();
    assert_eq!(refused, Applied::Refused(Some(position("new", 5))));
    assert_eq!(states(&mut owner, &["anna"]), [None]);
    // What the stalled one reads is the new view, and says so.
    assert_eq!(stalled.load(PARTITION, &keys(&["anna"])).unwrap().unwrap().position, position("new", 5));
}

pub fn a_rebuild_that_was_overtaken_by_another_is_told_to_begin_again(backend: &impl Backend) {
    let (mut slow, mut quick) = (backend.open(), backend.open());
    slow.begin_rebuild(PARTITION, "slow", LOG).unwrap();
    slow.fill(PARTITION, "slow", &[set("anna", "slow")]).unwrap();
    quick.begin_rebuild(PARTITION, "quick", LOG).unwrap();
    is_lost(slow.fill(PARTITION, "slow", &[set("berta", "slow")]));
    quick.fill(PARTITION, "quick", &[set("anna", "quick")]).unwrap();
    is_lost(slow.switch(PARTITION, "slow", LOG, 5));
    quick.switch(PARTITION, "quick", LOG, 6).unwrap();
    is_lost(slow.switch(PARTITION, "slow", LOG, 5));
    assert_eq!(quick.position(PARTITION).unwrap(), Some(position("quick", 6)));
    assert_eq!(states(&mut quick, &["anna", "berta"]), [some("quick"), None]);
}

pub fn a_rebuild_does_not_replace_a_view_that_moved_on_meanwhile(backend: &impl Backend) {
    let (mut slow, mut successor) = (backend.open(), backend.open());
    let start = begun(&mut successor, "g", 5);
    slow.begin_rebuild(PARTITION, "slow", LOG).unwrap();
    slow.fill(PARTITION, "slow", &[set("anna", "slow")]).unwrap();
    let now = applied(&mut successor, &start, 6, &[set("anna", "6")]);
    is_lost(slow.switch(PARTITION, "slow", LOG, 5));
    assert_eq!(successor.position(PARTITION).unwrap(), Some(now));
    assert_eq!(states(&mut successor, &["anna"]), [some("6")]);
}

pub fn the_generation_in_use_can_not_be_rebuilt_over_itself(backend: &impl Backend) {
    let mut store = backend.open();
    begun(&mut store, "g", 5);
    assert!(matches!(store.begin_rebuild(PARTITION, "g", LOG), Err(StoreError::Unusable(_))));
    for name in ["", "a b", "{x}", "a:b", &"g".repeat(65)] {
        assert!(matches!(store.begin_rebuild(PARTITION, name, LOG), Err(StoreError::Unusable(_))), "{name:?}");
    }
    assert_eq!(store.position(PARTITION).unwrap(), Some(position("g", 5)));
}

pub fn a_switch_that_is_repeated_is_done_once(backend: &impl Backend) {
    let mut store = backend.open();
    begun(&mut store, "g", 5);
    store.switch(PARTITION, "g", LOG, 5).unwrap();
    is_lost(store.switch(PARTITION, "g", LOG, 6));
    is_lost(store.switch(PARTITION, "h", LOG, 5));
    assert_eq!(store.position(PARTITION).unwrap(), Some(position("g", 5)));
}

pub fn a_rebuild_after_one_that_was_given_up_holds_nothing_of_it(backend: &impl Backend) {
    {
        let mut died = backend.open();
        died.begin_rebuild(PARTITION, "died", LOG).unwrap();
        died.fill(PARTITION, "died", &[timer("anna", "died", 1)]).unwrap();
    }
    let mut store = backend.open();
    assert_eq!(store.position(PARTITION).unwrap(), None);
    begun(&mut store, "g", 5);
    assert_eq!(states(&mut store, &["anna"]), [None]);
    assert_eq!(lane(&mut store, Lane::Timer), []);
}

pub fn a_fill_or_switch_without_a_rebuild_is_refused(backend: &impl Backend) {
    let mut store = backend.open();
    is_lost(store.fill(PARTITION, "g", &[set("anna", "1")]));
    is_lost(store.switch(PARTITION, "g", LOG, 1));
    store.begin_rebuild(PARTITION, "g", LOG).unwrap();
    is_lost(store.fill(PARTITION, "h", &[set("anna", "1")]));
    is_lost(store.switch(PARTITION, "g", "cluster-1/another-topic", 1));
    assert_eq!(store.position(PARTITION).unwrap(), None);
}
