//! Some thousands of seeds, and the broken engines.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use simulation::{Broken, Options, repeat, run};

/// So many take about a minute on two cores.
const SEEDS: u64 = 2_000;

/// The first seeds from 1 on, at most so many, that break an invariant: each with how to repeat it.
fn failures(seeds: u64, broken: Option<Broken>, enough: usize) -> Vec<String> {
    let (next, failures) = (AtomicU64::new(1), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed > seeds || failures.lock().expect("no panic before").len() >= enough {
                        return;
                    }
                    let outcome = run(seed, &Options { broken, ..Options::default() });
                    if let Some(breach) = outcome.breaches.first() {
                        let repeat = repeat(seed, broken);
                        failures.lock().expect("no panic before").push(format!("{breach}\n  repeat it: {repeat}"));
                    }
                }
            });
        }
    });
    failures.into_inner().expect("no panic before")
}

#[test]
fn whatever_goes_wrong_each_reminder_is_asked_for_once_and_sent_at_most_once() {
    let failures = failures(SEEDS, None, 3);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn a_seed_gives_the_same_run_again() {
    for seed in 1..20 {
        let [first, second] = [(); 2].map(|()| run(seed, &Options::default()));
        assert_eq!((first.fingerprint, first.lasted), (second.fingerprint, second.lasted), "seed {seed}");
    }
}

/// Each with the number of seeds within which it has to be found: several times the distance at which it is met on average.
const FOUND_WITHIN: [(Broken, u64); 20] = [
    (Broken::RepeatsTheEnd, 200),
    (Broken::SkipsTheFence, 200),
    (Broken::AsksForGenerationAfresh, 150),
    (Broken::TakesSilenceForStaying, 150),
    (Broken::AcknowledgesEarly, 100),
    (Broken::ForgetsToRewind, 10),
    (Broken::WritesTheStoreFirst, 10),
    (Broken::ForgetsTheHeader, 2),
    (Broken::TrustsTheStableOffset, 200),
    (Broken::RebuildsBlindly, 200),
    (Broken::ReusesAClaim, 60),
    (Broken::FiresAhead, 200),
    (Broken::FiresOutside, 10),
    (Broken::TimersWithoutOffsets, 20),
    (Broken::SharesAGeneration, 10),
    (Broken::TrustsItsOwnClock, 500),
    (Broken::ForgetsMessages, 10),
    (Broken::OverlooksRepeats, 2_500),
    (Broken::DatesHistoryAnew, 20),
    (Broken::HashesOtherwise, 20),
];

#[test]
fn every_engine_that_is_broken_is_looked_for() {
    let looked_for: Vec<Broken> = FOUND_WITHIN.iter().map(|(broken, _)| *broken).collect();
    assert_eq!(looked_for, Broken::ALL);
}

#[test]
fn an_engine_that_is_broken_is_found_within_so_many_seeds() {
    for (broken, seeds) in FOUND_WITHIN {
        assert!(!failures(seeds, Some(broken), 1).is_empty(), "{broken:?} is not found within {seeds} seeds");
    }
}
