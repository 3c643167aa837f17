//! The suite on the store in memory, and what is this store's own: its size.

#![allow(clippy::unwrap_used)]

mod suite;

use store::{Lookups, Memory};
use stream::{Applied, StateStore, StoreError};
use suite::{Backend, PARTITION, applied, begun, end, set, states, timer};

struct InMemory(Memory);

impl Backend for InMemory {
    type Store = Memory;

    fn open(&self) -> Memory {
        self.0.clone()
    }

    fn lookups(&self, store: &Memory) -> Box<dyn Lookups> {
        Box::new(store.lookups())
    }
}

suite!(InMemory(Memory::new()), 512);

#[test]
fn its_size_follows_what_it_keeps() {
    let mut store = Memory::new();
    let start = begun(&mut store, "g", 0);
    assert_eq!(store.size_bytes(), 0);
    let now = applied(&mut store, &start, 1, &[timer("anna", &"v".repeat(1_000), 1), set("berta", "1")]);
    let both = store.size_bytes();
    assert!(both > 1_000 && both < 2_000, "{both}");
    let now = applied(&mut store, &now, 2, &[timer("anna", &"v".repeat(500), 2)]);
    assert_eq!(store.size_bytes(), both - 500);
    let now = applied(&mut store, &now, 3, &[set("anna", &"v".repeat(500))]);
    assert!(store.size_bytes() < both - 500);
    applied(&mut store, &now, 4, &[end("anna"), end("berta")]);
    assert_eq!(store.size_bytes(), 0);

    store.begin_rebuild(PARTITION, "new", suite::LOG).unwrap();
    store.fill(PARTITION, "new", &[set("anna", "1")]).unwrap();
    let one = store.size_bytes();
    assert!(one > 0);
    store.switch(PARTITION, "new", suite::LOG, 4).unwrap();
    assert_eq!(store.size_bytes(), one);
    store.release(PARTITION);
    assert_eq!((store.size_bytes(), store.position(PARTITION).unwrap()), (0, None));
}

#[test]
fn a_batch_that_would_pass_the_limit_is_refused_whole_and_one_that_frees_memory_is_not() {
    let mut store = Memory::with_limit(10_000);
    let start = begun(&mut store, "g", 0);
    let now = applied(&mut store, &start, 1, &[set("anna", &"v".repeat(8_000))]);
    let full = store.apply(PARTITION, &now, 2, &[set("berta", "1"), set("carla", &"v".repeat(3_000))]).unwrap_err();
    assert!(matches!(&full, StoreError::Unusable(why) if why.contains("the limit is 10000")), "{full}");
    assert_eq!(states(&mut store, &["berta", "carla"]), [None, None]);
    let now = applied(&mut store, &now, 2, &[set("anna", "small"), set("carla", &"v".repeat(3_000))]);
    assert_eq!(store.apply(PARTITION, &now, 3, &[end("carla")]).unwrap(), Applied::Done);
}

#[test]
fn it_keeps_copies_so_that_a_small_state_does_not_hold_a_large_batch() {
    let batch = bytes::Bytes::from(vec![7; 1 << 20]);
    let mut store = Memory::new();
    let start = begun(&mut store, "g", 0);
    let change = stream::StateChange { value: Some(batch.slice(10..20)), ..set("anna", "") };
    applied(&mut store, &start, 1, &[change]);
    assert!(batch.try_into_mut().is_ok(), "nobody else holds the batch");
}
