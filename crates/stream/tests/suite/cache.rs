//! The cache changes nothing but how often the store is asked.

use stream::WorkerSettings;

use crate::shared::*;

fn with_cache(cache_bytes: usize) -> Hand<Marked> {
    let mut hand = Hand::owning(WorkerSettings { cache_bytes, ..live() }, &[0, 1]);
    for round in 0..4 {
        for n in 0..50 {
            let text = if n % 7 == round { format!("{round} forget") } else { format!("{round} remind {}", 100 + n) };
            hand.order(n % 2, &format!("key {n}"), &text);
        }
        hand.after_ms(100);
        assert!(hand.worker.cache_bytes() <= cache_bytes, "{} bytes", hand.worker.cache_bytes());
    }
    hand
}

#[test]
fn the_result_is_the_same_without_a_cache_with_a_small_one_and_with_a_large_one() {
    let mut large = with_cache(1 << 20);
    let told = large.told();
    for cache_bytes in [0, 1_000, 5_000] {
        let mut other = with_cache(cache_bytes);
        assert_eq!(other.told(), told);
        for partition in [0, 1] {
            assert_eq!(other.views[&partition].changelog, large.views[&partition].changelog, "{cache_bytes} bytes");
        }
        assert!(other.loaded_keys > large.loaded_keys);
    }
    assert!(large.loaded_keys < 100, "who is in the cache is not asked for: {}", large.loaded_keys);
}

#[test]
fn what_is_cached_of_a_partition_goes_with_it() {
    let mut hand = with_cache(1 << 20);
    let both = hand.worker.cache_bytes();
    hand.worker.revoked(1);
    let one = hand.worker.cache_bytes();
    assert!(0 < one && one < both);
    hand.worker.revoked(0);
    assert_eq!(hand.worker.cache_bytes(), 0);
}

#[test]
fn an_aborted_batch_leaves_nothing_in_the_cache() {
    let mut hand = Hand::<Marked>::owning(live(), &[0]);
    hand.order(0, "a", "1 note");
    hand.finish();
    hand.order(0, "a", "2 note");
    hand.aborts = 1;
    hand.finish();
    hand.after_ms(250);
    assert_eq!(hand.state(0, "a").unwrap().log, ["noted at 1", "noted at 2"]);
    hand.order(0, "a", "3 note");
    hand.finish();
    assert_eq!(hand.state(0, "a").unwrap().log, ["noted at 1", "noted at 2", "noted at 3"]);
}
