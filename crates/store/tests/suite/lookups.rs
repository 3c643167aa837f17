//! Lookups. Wanted property: an answer is whole, says what it stands for, and is never behind what was acknowledged before it
//! was asked for.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use store::LookupError;
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
