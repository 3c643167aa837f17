//! Lookups. Wanted property: an answer is whole, says what it stands for, and is never behind what was acknowledged before it
//! was asked for.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use store::{Glance, Looked, LookupError};
use stream::StateStore;

use super::*;

pub fn a_lookup_reads_what_the_worker_wrote_with_its_position(backend: &impl Backend) {
    let mut store = backend.open();
    let start = begun(&mut store, "g", 0);
    let now = applied(&mut store, &start, 1, &[set("anna", "1")]);
    let lookups = backend.lookups(&store);
    assert_eq!(lookups.get(PARTITION, "anna").unwrap(), Some((now.clone(), "1".into())));
    assert_eq!(lookups.get(PARTITION, "berta").unwrap(), None);
    applied(&mut store, &now, 2, &[set("anna", "2")]);
    assert_eq!(lookups.get(PARTITION, "anna").unwrap(), Some((position("g", 2), "2".into())));
    // Through a switch, too.
    store.begin_rebuild(PARTITION, "new", LOG).unwrap();
    store.fill(PARTITION, "new", &[set("anna", "3")]).unwrap();
    store.switch(PARTITION, "new", LOG, 3).unwrap();
    assert_eq!(lookups.get(PARTITION, "anna").unwrap(), Some((position("new", 3), "3".into())));
}

pub fn a_lookup_without_a_view_says_that_it_is_being_restored(backend: &impl Backend) {
    let mut store = backend.open();
    let lookups = backend.lookups(&store);
    assert!(matches!(lookups.get(PARTITION, "anna"), Err(LookupError::Restoring(PARTITION))));
    store.begin_rebuild(PARTITION, "g", LOG).unwrap();
    assert!(matches!(lookups.get(PARTITION, "anna"), Err(LookupError::Restoring(PARTITION))));
    store.switch(PARTITION, "g", LOG, 1).unwrap();
    assert_eq!(lookups.get(PARTITION, "anna").unwrap(), None);
}

/// A view of another partition, with these states.
fn filled(store: &mut impl StateStore, partition: Partition, generation: &str, states: &[StateChange]) {
    store.begin_rebuild(partition, generation, LOG).unwrap();
    store.fill(partition, generation, states).unwrap();
    store.switch(partition, generation, LOG, 1).unwrap();
}

pub fn several_keys_are_read_at_once_in_their_order_through_a_switch_too(backend: &impl Backend) {
    let mut store = backend.open();
    filled(&mut store, 1, "one", &[set("anna", "1"), set("berta", "2")]);
    filled(&mut store, 2, "two", &[set("anna", "3"), set("carla", "4")]);
    let lookups = backend.lookups(&store);
    let wanted = [(2, "carla"), (1, "nobody"), (1, "berta"), (2, "anna"), (1, "anna"), (2, "carla")];
    let read = || -> Vec<_> {
        let found = lookups.get_all(&wanted).unwrap();
        found.into_iter().map(|found| (found.position.generation.clone(), found.value.map(text))).collect()
    };
    let is = |generation: &str, value: &str| (generation.to_owned(), Some(value.to_owned()));
    let none = |generation: &str| (generation.to_owned(), None);
    let expected = |one, two| vec![is(two, "4"), none(one), is(one, "2"), is(two, "3"), is(one, "1"), is(two, "4")];
    assert_eq!(read(), expected("one", "two"));
    assert_eq!(read(), expected("one", "two"), "once the generations are known");
    filled(&mut store, 1, "anew", &[set("anna", "1"), set("berta", "2")]);
    assert_eq!(read(), expected("anew", "two"), "where one of them is another");
    assert_eq!(lookups.get_all(&[]).unwrap(), []);
}

pub fn where_one_partition_is_being_restored_nothing_of_several_is_answered(backend: &impl Backend) {
    let mut store = backend.open();
    filled(&mut store, 1, "g", &[set("anna", "1")]);
    let lookups = backend.lookups(&store);
    let wanted = [(1, "anna"), (2, "berta")];
    assert!(matches!(lookups.get_all(&wanted), Err(LookupError::Restoring(2))));
    filled(&mut store, 2, "g", &[]);
    let found: Vec<bool> = lookups.get_all(&wanted).unwrap().iter().map(|looked| looked.value.is_some()).collect();
    assert_eq!(found, [true, false]);
}

pub fn a_lookup_of_too_many_keys_is_refused(backend: &impl Backend) {
    let lookups = backend.lookups(&backend.open());
    let wanted = vec![(PARTITION, "anna"); store::limits::KEYS_PER_LOOKUP + 1];
    assert!(matches!(lookups.get_all(&wanted), Err(LookupError::Store(_))));
}

pub fn lookups_go_on_beside_a_writer_and_never_see_an_older_state_than_was_acknowledged(backend: &impl Backend) {
    let mut store = backend.open();
    let start = begun(&mut store, "g", 0);
    let mut now = applied(&mut store, &start, 1, &[set("anna", "1")]);
    let lookups = backend.lookups(&store);
    let (written, done) = (AtomicI64::new(1), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut asked = 0;
                while !done.load(Ordering::SeqCst) || asked == 0 {
                    let before = written.load(Ordering::SeqCst);
                    let (position, value) = lookups.get(PARTITION, "anna").unwrap().unwrap();
                    assert_eq!(text(value), position.header_offset.to_string());
                    assert!(position.header_offset >= before);
                    asked += 1;
                }
            });
        }
        for header in 2..300 {
            now = applied(&mut store, &now, header, &[set("anna", &header.to_string())]);
            written.store(header, Ordering::SeqCst);
        }
        done.store(true, Ordering::SeqCst);
    });
}

/// What is told at a glance; the view of each that is.
pub fn glanced(glance: &mut dyn Glance, wanted: &[(Partition, &str)]) -> Vec<Option<(StorePosition, Option<String>)>> {
    let told = runtime().block_on(glance.get_all(wanted));
    told.into_iter().map(|told| told.map(|Looked { position, value }| ((*position).clone(), value.map(text)))).collect()
}

/// A glance stays in the runtime in which it was used first: one for all of this process's tests.
pub fn runtime() -> &'static tokio::runtime::Runtime {
    static RUNTIME: LazyLock<tokio::runtime::Runtime> =
        LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap());
    &RUNTIME
}

pub fn a_glance_tells_what_a_lookup_tells_or_nothing(backend: &impl Backend) {
    let mut store = backend.open();
    filled(&mut store, 1, "one", &[set("anna", "1"), set("berta", "2")]);
    let lookups = backend.lookups(&store);
    let mut glance = lookups.glance().unwrap();
    let wanted = [(2, "carla"), (1, "nobody"), (1, "berta"), (1, "anna")];
    let tell = |glance: &mut dyn Glance| {
        let told = glanced(glance, &wanted);
        let expected: Vec<_> = wanted.iter().map(|wanted| lookups.get_all(&[*wanted]).ok()).collect();
        let expected = expected.into_iter().map(|looked| {
            let Looked { position, value } = looked?.remove(0);
            Some(((*position).clone(), value.map(text)))
        });
        for (told, expected) in told.iter().zip(expected) {
            assert!(told.is_none() || *told == expected, "{told:?} where a lookup tells {expected:?}");
        }
        told.iter().map(Option::is_some).collect::<Vec<_>>()
    };
    assert_eq!(tell(&mut *glance), [false, true, true, true], "2 has no view");
    filled(&mut store, 2, "two", &[set("carla", "4")]);
    assert_eq!(tell(&mut *glance), [true; 4]);
    filled(&mut store, 1, "anew", &[set("anna", "5")]);
    assert_eq!(tell(&mut *glance), [true; 4], "of one that was built anew, too");
    assert_eq!(glanced(&mut *glance, &[]), []);
}

pub fn glances_beside_a_writer_never_see_an_older_state_than_was_acknowledged(backend: &impl Backend) {
    let mut store = backend.open();
    let start = begun(&mut store, "g", 0);
    let mut now = applied(&mut store, &start, 1, &[set("anna", "1")]);
    let lookups = backend.lookups(&store);
    lookups.get(PARTITION, "anna").unwrap();
    let (written, done) = (AtomicI64::new(1), AtomicBool::new(false));
    let told = AtomicI64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut glance = lookups.glance().unwrap();
            while !done.load(Ordering::SeqCst) || told.load(Ordering::SeqCst) == 0 {
                let before = written.load(Ordering::SeqCst);
                let looked = glanced(&mut *glance, &[(PARTITION, "anna")]).remove(0);
                // Where a batch was applied in between, it tells nothing.
                let Some((position, value)) = looked else { continue };
                assert_eq!(value, Some(position.header_offset.to_string()));
                assert!(position.header_offset >= before);
                told.fetch_add(1, Ordering::SeqCst);
            }
        });
        for header in 2..300 {
            now = applied(&mut store, &now, header, &[set("anna", &header.to_string())]);
            written.store(header, Ordering::SeqCst);
        }
        done.store(true, Ordering::SeqCst);
    });
}
