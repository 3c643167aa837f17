//! What holds for any course of events.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use stream::{ClaimId, Key, TestDriver, WorkerSettings};

use crate::shared::*;

/// What happens to the service: the same in every run.
#[derive(Clone, Debug)]
enum Fact {
    Order { key: u8, text: String },
    Note { key: u8, text: String },
    Advance { by: i64 },
    Rule { name: u8 },
}

/// What must make no difference: where the batch ends, whether its commit fails, whether the process dies.
#[derive(Clone, Copy, Debug, Default)]
struct Noise {
    waits_for_more: bool,
    aborts: bool,
    dies: bool,
}

fn text() -> impl Strategy<Value = String> {
    let command = prop_oneof![
        4 => Just("note".to_owned()),
        4 => (0..300_i64).prop_map(|time| format!("remind {time}")),
        2 => (1..4_i64).prop_map(|links| format!("chain {links}")),
        1 => Just("hold".to_owned()),
        2 => Just("ignore".to_owned()),
        1 => Just("reject".to_owned()),
        2 => Just("forget".to_owned()),
        2 => (0..3_u8).prop_map(|label| format!("label l{label}")),
        1 => (0..3_u8).prop_map(|label| format!("unlabel l{label}")),
        2 => Just("echo".to_owned()),
        1 => Just("nonsense".to_owned()),
    ];
    (0..250_i64, command).prop_map(|(time, command)| format!("{time} {command}"))
}

fn fact() -> impl Strategy<Value = Fact> {
    prop_oneof![
        12 => (0..4_u8, text()).prop_map(|(key, text)| Fact::Order { key, text }),
        3 => (0..4_u8, text()).prop_map(|(key, text)| Fact::Note { key, text }),
        2 => (0..60_i64).prop_map(|by| Fact::Advance { by }),
        1 => (0..2_u8).prop_map(|name| Fact::Rule { name }),
    ]
}

fn noise() -> impl Strategy<Value = Noise> {
    (prop::bool::weighted(0.5), prop::bool::weighted(0.2), prop::bool::weighted(0.1))
        .prop_map(|(waits_for_more, aborts, dies)| Noise { waits_for_more, aborts, dies })
}

/// All that came of a run, by key: what was told in its order, and the state in the end.
type Outcome = (BTreeMap<String, Vec<Told>>, Vec<Option<DeskState>>, Vec<Vec<u8>>, stream::Counts);

fn run(facts: &[(Fact, Noise)], noisy: bool, cache_bytes: usize) -> Outcome {
    let settings = WorkerSettings { cache_bytes, ..replay() };
    let mut driver: TestDriver<Desk<Marked>> = driver_with(settings);
    let mut rules = Rules::default();
    let mut time = 0;
    for (fact, noise) in facts {
        let noise = if noisy { *noise } else { Noise::default() };
        if noise.aborts {
            driver.abort_next_commit();
        }
        match fact {
            Fact::Order { key, text } => tell(&mut driver, ORDERS, *key, text, noise),
            Fact::Note { key, text } => tell(&mut driver, NOTES, *key, text, noise),
            Fact::Advance { by } => {
                time += by;
                driver.advance_to(at(time));
            }
            Fact::Rule { name } => {
                // What came before it is decided by the rules of before.
                driver.capacity(0);
                let name = format!("rule {name}");
                driver.table(RULES, &name, Some(b"in force")).unwrap();
                rules.0.retain(|known| *known != name);
                rules.0.push(name);
            }
        }
        if noise.dies {
            driver.restart(rules.clone());
        }
    }
    driver.advance_to(at(10_000));
    assert!(driver.halted().is_none());
    let mut by_key: BTreeMap<String, Vec<Told>> = BTreeMap::new();
    for told in driver.told() {
        by_key.entry(told.key.clone()).or_default().push(told);
    }
    let states = (0..4).map(|key| driver.state(&format!("key {key}"))).collect();
    let letters =
        driver.dead_letters().iter().map(|letter| letter.value.clone().unwrap_or_default().to_vec()).collect();
    (by_key, states, letters, driver.counts().clone())
}

fn tell(driver: &mut TestDriver<Desk<Marked>>, dataset: &str, key: u8, text: &str, noise: Noise) {
    let key = format!("key {key}");
    if noise.waits_for_more {
        driver.append(dataset, &key, Some(text.as_bytes()), at(0), None);
    } else {
        driver.input(dataset, &key, text.as_bytes(), at(0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn whatever_fails_and_wherever_batches_end_the_same_comes_of_the_same_records(
        facts in prop::collection::vec((fact(), noise()), 1..60),
    ) {
        let straight = run(&facts, false, 1 << 20);
        let noisy = run(&facts, true, 300);
        prop_assert_eq!(&straight.0, &noisy.0);
        prop_assert_eq!(&straight.1, &noisy.1);
        prop_assert_eq!(&straight.2, &noisy.2);
        let of_inputs = |counts: &stream::Counts| -> stream::Counts {
            counts.iter().filter(|((what, _, _), _)| [ORDERS, NOTES].contains(what)).map(|(k, v)| (*k, *v)).collect()
        };
        prop_assert_eq!(of_inputs(&straight.3), of_inputs(&noisy.3));
        let records = facts.iter().filter(|(fact, _)| matches!(fact, Fact::Order { .. } | Fact::Note { .. })).count();
        prop_assert_eq!(of_inputs(&noisy.3).values().sum::<u64>(), records as u64);
    }
}

/// What happens around side effects.
#[derive(Clone, Debug)]
enum Event {
    Ask {
        partition: i32,
        key: u8,
    },
    Room {
        places: usize,
    },
    Complete {
        which: prop::sample::Index,
    },
    /// An outcome of a claim of an owner before, who is thought to be dead.
    Stray {
        which: prop::sample::Index,
    },
    Wait {
        ms: i64,
    },
    Finish,
    Abort,
    Drain {
        partition: i32,
    },
    Reassign {
        partition: i32,
    },
    Restart,
}

fn event() -> impl Strategy<Value = Event> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        8 => (0..2_i32, 0..3_u8).prop_map(|(partition, key)| Event::Ask { partition, key }),
        3 => (0..4_usize).prop_map(|places| Event::Room { places }),
        6 => index().prop_map(|which| Event::Complete { which }),
        1 => index().prop_map(|which| Event::Stray { which }),
        6 => (1..400_i64).prop_map(|ms| Event::Wait { ms }),
        3 => Just(Event::Finish),
        3 => Just(Event::Abort),
        1 => (0..2_i32).prop_map(|partition| Event::Drain { partition }),
        2 => (0..2_i32).prop_map(|partition| Event::Reassign { partition }),
        1 => Just(Event::Restart),
    ]
}

#[derive(Default)]
struct Shell {
    in_flight: Vec<(i32, Key, ClaimId)>,
    stray: Vec<(i32, Key, ClaimId)>,
    performed: BTreeSet<String>,
    asked: usize,
    places: usize,
}

impl Shell {
    fn apply(&mut self, hand: &mut Hand<Marked>, event: &Event) {
        match event {
            Event::Ask { partition, key } => {
                hand.order(*partition, &format!("key {key}"), &format!("1 ask j{}", self.asked));
                self.asked += 1;
            }
            Event::Room { places } => {
                self.places = *places;
                hand.worker.capacity(*places);
            }
            Event::Complete { which } if !self.in_flight.is_empty() => {
                let (partition, key, claim) = self.in_flight.remove(which.index(self.in_flight.len()));
                hand.worker.completed(partition, key, claim, "done".to_owned());
            }
            Event::Stray { which } if !self.stray.is_empty() => {
                let (partition, key, claim) = self.stray.remove(which.index(self.stray.len()));
                hand.worker.completed(partition, key, claim, "done".to_owned());
            }
            Event::Complete { .. } | Event::Stray { .. } => {}
            Event::Wait { ms } => hand.after_ms(*ms),
            Event::Finish => hand.finish(),
            Event::Abort => hand.aborts += 1,
            Event::Drain { partition } => hand.worker.draining(*partition),
            Event::Reassign { partition } => {
                hand.worker.revoked(*partition);
                self.lose(|of| of == *partition);
                hand.worker.assigned(*partition);
            }
            Event::Restart => {
                self.lose(|_| true);
                hand.restart(&[0, 1]);
                hand.worker.capacity(self.places);
            }
        }
        let room = self.places.saturating_sub(self.in_flight.len());
        let acts = std::mem::take(&mut hand.acts);
        assert!(acts.len() <= room || matches!(event, Event::Room { .. }), "{} claims for {room} places", acts.len());
        for (partition, key, claim) in acts {
            assert!(self.performed.insert(claim.to_string()), "{claim} is performed twice");
            self.in_flight.push((partition, key, claim));
        }
    }

    fn lose(&mut self, of: impl Fn(i32) -> bool) {
        let (lost, kept) = std::mem::take(&mut self.in_flight).into_iter().partition(|(partition, ..)| of(*partition));
        self.in_flight = kept;
        self.stray.extend::<Vec<_>>(lost);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn every_side_effect_is_performed_at_most_once_and_ends_exactly_once(
        events in prop::collection::vec(event(), 1..80),
    ) {
        let mut hand = Hand::<Marked>::owning(live(), &[0, 1]);
        let mut shell = Shell::default();
        for event in &events {
            shell.apply(&mut hand, event);
        }
        // The last worker is lost; its successor has room for all.
        hand.aborts = 0;
        shell.apply(&mut hand, &Event::Restart);
        shell.apply(&mut hand, &Event::Room { places: 1000 });
        shell.apply(&mut hand, &Event::Wait { ms: 1000 });
        while let Some((partition, key, claim)) = shell.in_flight.pop() {
            hand.worker.completed(partition, key, claim, "done".to_owned());
            hand.after_ms(1000);
        }
        prop_assert!(hand.halts.is_empty());
        prop_assert!(hand.worker.is_idle());
        prop_assert_eq!(hand.worker.in_flight(0) + hand.worker.in_flight(1), 0);
        let ended = |told: &&Told| told.what.ends_with("done") || told.what.ends_with("unknown");
        let mut ends: Vec<String> = hand.outputs.iter().filter(ended).map(|told| told.what.clone()).collect();
        ends.sort();
        let ids: BTreeSet<&str> = ends.iter().filter_map(|what| what.split(' ').next()).collect();
        prop_assert_eq!(ids.len(), ends.len(), "each once: {:?}", ends);
        prop_assert_eq!(ends.len(), shell.asked);
    }
}
