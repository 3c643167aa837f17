//! Loads and applies. Wanted properties:
//! - a batch is seen whole with its position, or not at all;
//! - it is applied once, by a caller that knows the position before it, and by nobody else;
//! - lanes give the eldest first, and never an entry that a later change removed.

use domain::Timestamp;
use stream::{Advance, Applied, Due, DueQuery, Key, Labels, Lane, LoadRequest, StateChange, StateStore, StoreError};

use super::*;

pub fn a_partition_without_a_view_says_so(backend: &impl Backend) {
    let mut store = backend.open();
    assert_eq!(store.position(PARTITION).unwrap(), None);
    assert_eq!(store.load(PARTITION, &keys(&["anna"])).unwrap(), None);
    let refused = store.apply(PARTITION, &position("g", 4), 5, &[set("anna", "1")]).unwrap();
    assert_eq!(refused, Applied::Refused(None));
    assert_eq!(store.position(PARTITION).unwrap(), None);
}

pub fn an_applied_batch_is_read_back_with_its_position(backend: &impl Backend) {
    let mut store = backend.open();
    let start = begun(&mut store, "g", -1);
    assert_eq!(store.position(PARTITION).unwrap(), Some(start.clone()));
    applied(&mut store, &start, 7, &[set("anna", "1"), timer("berta", "2", 100)]);
    assert_eq!(store.position(PARTITION).unwrap(), Some(position("g", 7)));
    let loaded = store.load(PARTITION, &keys(&["berta", "anna", "carla"])).unwrap().unwrap();
    assert_eq!(loaded.position, position("g", 7));
    assert_eq!(
        loaded.states.into_iter().map(|state| state.map(text)).collect::<Vec<_>>(),
        [some("2"), some("1"), None]
    );
    assert!(loaded.due.is_empty());
}

pub fn a_batch_applied_twice_is_there_already_and_changes_nothing(backend: &impl Backend) {
    let mut store = backend.open();
    let start = begun(&mut store, "g", 3);
    let batch = [set("anna", "1"), timer("berta", "2", 100)];
    applied(&mut store, &start, 7, &batch);
    assert_eq!(store.apply(PARTITION, &start, 7, &batch).unwrap(), Applied::AlreadyThere);
    assert_eq!(store.apply(PARTITION, &start, 7, &[end("anna")]).unwrap(), Applied::AlreadyThere);
    assert_eq!(states(&mut store, &["anna", "berta"]), [some("1"), some("2")]);
}

pub fn a_batch_from_another_position_is_refused_and_told_where_the_view_stands(backend: &impl Backend) {
    let mut store = backend.open();
    let start = begun(&mut store, "g", 3);
    let now = applied(&mut store, &start, 7, &[set("anna", "1")]);
    let other_log = StorePosition { log: "cluster-2/topic-1".into(), ..now.clone() };
    for wrong in [position("g", 3), position("g", 6), position("g", 8), position("h", 7), other_log] {
        let refused = store.apply(PARTITION, &wrong, 9, &[set("anna", "wrong"), set("berta", "wrong")]).unwrap();
        assert_eq!(refused, Applied::Refused(Some(now.clone())), "from {wrong:?}");
    }
    assert_eq!(store.position(PARTITION).unwrap(), Some(now.clone()));
    assert_eq!(states(&mut store, &["anna", "berta"]), [some("1"), None]);
    let backwards = store.apply(PARTITION, &now, 6, &[set("anna", "wrong")]).unwrap_err();
    assert!(backwards.to_string().contains("only moves forward"), "{backwards}");
}

pub fn of_several_changes_of_a_key_in_a_batch_the_last_counts(backend: &impl Backend) {
    let mut store = backend.open();
    let start = begun(&mut store, "g", 0);
    let batch = [
        timer("anna", "1", 10),
        end("berta"),
        set("carla", "1"),
        end("anna"),
        timer("berta", "2", 20),
        timer("carla", "2", 30),
        timer("carla", "3", 40),
    ];
    applied(&mut store, &start, 1, &batch);
    assert_eq!(states(&mut store, &["anna", "berta", "carla"]), [None, some("2"), some("3")]);
    assert_eq!(lane(&mut store, Lane::Timer), [(20, "berta".into(), some("2")), (40, "carla".into(), some("3"))]);
}

pub fn several_partitions_at_once_are_each_moved_or_refused_by_themselves(backend: &impl Backend) {
    let mut store = backend.open();
    for partition in [1, 2, 3] {
        store.begin_rebuild(partition, "g", LOG).unwrap();
        store.switch(partition, "g", LOG, 5).unwrap();
    }
    let (here, elsewhere) = (position("g", 5), position("g", 4));
    let (anna, berta) = ([set("anna", "1")], [set("berta", "2")]);
    let advance = |partition, expected, changes| Advance { partition, expected, header_offset: 7, changes };
    let advances = [
        advance(1, &here, anna.as_slice()),
        advance(2, &elsewhere, &anna),
        advance(3, &here, &berta),
        advance(4, &here, &anna),
    ];
    let there = Applied::Refused(Some(here.clone()));
    assert_eq!(
        store.apply_all(&advances).unwrap(),
        [Applied::Done, there.clone(), Applied::Done, Applied::Refused(None)]
    );
    let again = store.apply_all(&advances).unwrap();
    assert_eq!(again, [Applied::AlreadyThere, there, Applied::AlreadyThere, Applied::Refused(None)]);

    // A batch may have nothing for the store.
    assert_eq!(store.apply_all(&[]).unwrap(), []);
    assert!(store.load_all(&[]).unwrap().is_empty());

    // In the order of the requests, also by a handle that does not know the views yet.
    for mut store in [store, backend.open()] {
        let requests: Vec<_> = [3, 4, 1, 2].map(|partition| (partition, keys(&["berta", "anna"]))).into();
        let loaded = store.load_all(&requests).unwrap();
        let states = |loaded: Option<Loaded>| {
            let loaded = loaded?;
            Some((loaded.position.header_offset, loaded.states.into_iter().map(|state| state.map(text)).collect()))
        };
        let found: Vec<Option<(i64, Vec<Option<String>>)>> = loaded.into_iter().map(states).collect();
        let expected =
            [Some((7, vec![some("2"), None])), None, Some((7, vec![None, some("1")])), Some((5, vec![None, None]))];
        assert_eq!(found, expected);
    }
}

pub fn an_ended_key_is_gone_with_its_entries_in_all_lanes(backend: &impl Backend) {
    let mut store = backend.open();
    let start = begun(&mut store, "g", 0);
    let at = |millis| Some(Timestamp::from_millis(millis));
    let everywhere = Due { timer: at(1), ready: at(2), claimed: at(3), held: at(4) };
    let now = applied(&mut store, &start, 1, &[due("anna", "1", everywhere), due("berta", "2", everywhere)]);
    applied(&mut store, &now, 2, &[end("anna"), end("nobody")]);
    assert_eq!(states(&mut store, &["anna"]), [None]);
    for (index, each) in Lane::ALL.into_iter().enumerate() {
        assert_eq!(lane(&mut store, each), [(index as i64 + 1, "berta".into(), some("2"))]);
    }
}

pub fn the_due_come_eldest_first_with_their_states_and_only_up_to_the_time_and_limit_asked(backend: &impl Backend) {
    let mut store = backend.open();
    let start = begun(&mut store, "g", 0);
    let changes: Vec<StateChange> =
        (0..300_i64).map(|n| timer(&format!("customer-{n}"), &n.to_string(), (n * 7919) % 300)).collect();
    applied(&mut store, &start, 1, &changes);
    let ask = |until, limit| who_is_due(Lane::Timer, Timestamp::from_millis(until), limit);
    let mut times = |until, limit| {
        let found = due_entries(store.load(PARTITION, &ask(until, limit)).unwrap().unwrap());
        for (at, key, value) in &found {
            let n: i64 = value.as_ref().unwrap().parse().unwrap();
            assert_eq!((&**key, *at), (&*format!("customer-{n}"), (n * 7919) % 300));
        }
        found.into_iter().map(|(at, ..)| at).collect::<Vec<_>>()
    };
    assert_eq!(times(99, 1_000), (0..=99).collect::<Vec<_>>());
    assert_eq!(times(299, 5), [0, 1, 2, 3, 4]);
    assert_eq!(times(-1, 5), [0_i64; 0]);
    assert_eq!(times(50, 0), [0_i64; 0]);
}

pub fn each_lane_is_its_own_and_a_change_moves_or_removes_its_entry(backend: &impl Backend) {
    let mut store = backend.open();
    let start = begun(&mut store, "g", 0);
    let at = |millis| Some(Timestamp::from_millis(millis));
    let first = [
        due("anna", "1", Due { timer: at(10), ready: at(20), ..Due::default() }),
        due("berta", "1", Due { ready: at(15), claimed: at(5), ..Due::default() }),
        due("carla", "1", Due { held: at(1), ..Due::default() }),
    ];
    let now = applied(&mut store, &start, 1, &first);
    assert_eq!(lane(&mut store, Lane::Timer), [(10, "anna".into(), some("1"))]);
    assert_eq!(lane(&mut store, Lane::Ready), [(15, "berta".into(), some("1")), (20, "anna".into(), some("1"))]);
    assert_eq!(lane(&mut store, Lane::Claimed), [(5, "berta".into(), some("1"))]);
    assert_eq!(lane(&mut store, Lane::Held), [(1, "carla".into(), some("1"))]);

    let second =
        [due("anna", "2", Due { timer: at(30), claimed: at(1), ..Due::default() }), due("berta", "2", Due::default())];
    applied(&mut store, &now, 2, &second);
    assert_eq!(lane(&mut store, Lane::Timer), [(30, "anna".into(), some("2"))]);
    assert_eq!(lane(&mut store, Lane::Ready), []);
    assert_eq!(lane(&mut store, Lane::Claimed), [(1, "anna".into(), some("2"))]);
    assert_eq!(lane(&mut store, Lane::Held), [(1, "carla".into(), some("1"))]);
}

pub fn times_at_the_ends_of_the_scale_are_kept_in_order(backend: &impl Backend) {
    let mut store = backend.open();
    let start = begun(&mut store, "g", 0);
    let times =
        [("never", Timestamp::MAX), ("always", Timestamp::MIN), ("now", Timestamp::from_millis(1_760_000_000_123))];
    let changes = times.map(|(key, at)| due(key, key, Due { timer: Some(at), ..Due::default() }));
    applied(&mut store, &start, 1, &changes);
    let found = lane(&mut store, Lane::Timer);
    assert_eq!(found.iter().map(|(_, key, _)| &**key).collect::<Vec<_>>(), ["always", "now", "never"]);
    assert_eq!(found[1].0, 1_760_000_000_123);
    let by_now = who_is_due(Lane::Timer, Timestamp::from_millis(1_760_000_000_122), 10);
    assert_eq!(due_entries(store.load(PARTITION, &by_now).unwrap().unwrap()).len(), 1);
}

pub fn a_load_asks_for_states_and_the_due_at_once_and_answers_in_the_order_asked(backend: &impl Backend) {
    let mut store = backend.open();
    let start = begun(&mut store, "g", 0);
    let changes: Vec<StateChange> = (0..200).map(|n| timer(&format!("c{n}"), &format!("v{n}"), n)).collect();
    applied(&mut store, &start, 1, &changes);
    let mut request = who_is_due(Lane::Timer, Timestamp::from_millis(2), 10);
    request.keys = (0..250).rev().chain([7, 7]).map(|n| Key::from(format!("c{n}"))).collect();
    let loaded = store.load(PARTITION, &request).unwrap().unwrap();
    let expected: Vec<Option<String>> =
        (0..250).rev().chain([7, 7]).map(|n| (n < 200).then(|| format!("v{n}"))).collect();
    assert_eq!(loaded.states.iter().map(|state| state.clone().map(text)).collect::<Vec<_>>(), expected);
    assert_eq!(
        due_entries(loaded),
        [(0, "c0".into(), some("v0")), (1, "c1".into(), some("v1")), (2, "c2".into(), some("v2"))]
    );
}

pub fn values_and_keys_are_given_back_byte_for_byte(backend: &impl Backend) {
    let mut store = backend.open();
    let start = begun(&mut store, "g", 0);
    let every_byte: Vec<u8> = (0..=255).collect();
    let long_key = "ü".repeat(1_000);
    let strange = ["", "a:b", "{tag}", "line\r\nbreak", "'quoted\"", "*1\r\n$4\r\nPING\r\n", &long_key, "\0"];
    let changes: Vec<StateChange> = strange
        .iter()
        .enumerate()
        .map(|(n, key)| StateChange {
            key: Key::from(*key),
            value: Some(bytes::Bytes::from(every_byte.repeat(n))),
            due: Due { timer: Some(Timestamp::from_millis(n as i64)), ..Due::default() },
            labels: Labels::Same,
        })
        .collect();
    applied(&mut store, &start, 1, &changes);
    let mut request = who_is_due(Lane::Timer, Timestamp::MAX, 100);
    request.keys = changes.iter().map(|change| change.key.clone()).collect();
    let loaded = store.load(PARTITION, &request).unwrap().unwrap();
    let expected: Vec<_> = changes.iter().map(|change| change.value.clone()).collect();
    assert_eq!(loaded.states, expected);
    let due: Vec<_> = loaded.due.into_iter().map(|(_, key, value)| (key, value)).collect();
    assert_eq!(due, changes.into_iter().map(|change| (change.key, change.value)).collect::<Vec<_>>());
}

pub fn a_batch_of_thirty_thousand_changes_is_one_batch(backend: &impl Backend) {
    // More than a script may unpack at once, in every command: states set and ended, entries made and removed.
    const MANY: i64 = 30_000;
    let mut store = backend.open();
    let start = begun(&mut store, "g", 0);
    let at = |n| Some(Timestamp::from_millis(n));
    let all: Vec<StateChange> = (0..MANY)
        .map(|n| due(&format!("{n}"), &format!("value {n}"), Due { timer: at(n), held: at(-n), ..Due::default() }))
        .collect();
    let now = applied(&mut store, &start, 1, &all);
    let mut request = who_is_due(Lane::Timer, Timestamp::MAX, MANY as usize);
    request.keys = all.iter().map(|change| change.key.clone()).collect();
    let loaded = store.load(PARTITION, &request).unwrap().unwrap();
    assert!(loaded.states.iter().zip(&all).all(|(state, change)| *state == change.value));
    assert_eq!(loaded.due.len(), MANY as usize);

    // The first half ends, the second loses its timers.
    let half: Vec<StateChange> =
        (0..MANY).map(|n| if n < MANY / 2 { end(&format!("{n}")) } else { set(&format!("{n}"), "later") }).collect();
    let now = applied(&mut store, &now, 2, &half);
    let loaded = store.load(PARTITION, &request).unwrap().unwrap();
    assert_eq!(loaded.states.iter().filter(|state| state.is_some()).count(), MANY as usize / 2);
    assert_eq!((loaded.due.len(), lane(&mut store, Lane::Held).len()), (0, 0));

    // A few enter a lane while most leave another.
    let few: Vec<StateChange> = (0..MANY)
        .map(|n| if n % 1_000 == 0 { timer(&format!("{n}"), "few", n) } else { end(&format!("{n}")) })
        .collect();
    applied(&mut store, &now, 3, &few);
    assert_eq!(lane(&mut store, Lane::Timer).len(), 30);
}

pub fn partitions_are_apart(backend: &impl Backend) {
    let mut store = backend.open();
    let start = begun(&mut store, "g", 0);
    applied(&mut store, &start, 1, &[timer("anna", "1", 1)]);
    for (partition, header) in [(PARTITION + 1, 5), (PARTITION * 10, 6)] {
        assert_eq!(store.position(partition).unwrap(), None);
        store.begin_rebuild(partition, "g", LOG).unwrap();
        store.switch(partition, "g", LOG, header).unwrap();
        let loaded = store.load(partition, &keys(&["anna"])).unwrap().unwrap();
        assert_eq!((loaded.position, loaded.states), (position("g", header), vec![None]));
    }
    assert_eq!(states(&mut store, &["anna"]), [some("1")]);
}

pub fn what_is_too_large_is_refused_before_anything_is_written(backend: &impl Backend) {
    let mut store = backend.open();
    let start = begun(&mut store, "g", 0);
    let unusable = |result: Result<Applied, StoreError>, what: &str| match result {
        Err(StoreError::Unusable(why)) => assert!(why.contains(what) && why.contains("at most"), "{why}"),
        other => panic!("{other:?}"),
    };
    let long_key = "k".repeat(store::limits::KEY_BYTES + 1);
    unusable(store.apply(PARTITION, &start, 1, &[set("anna", "1"), set(&long_key, "1")]), "bytes of a key");
    let long_value = "v".repeat(store::limits::VALUE_BYTES + 1);
    unusable(store.apply(PARTITION, &start, 1, &[set("anna", "1"), set("berta", &long_value)]), "bytes of a state");
    let too_many = vec![set("anna", "1"); store::limits::CHANGES_PER_APPLY + 1];
    unusable(store.apply(PARTITION, &start, 1, &too_many), "changes in one batch");
    assert_eq!(store.position(PARTITION).unwrap(), Some(start));
    assert_eq!(states(&mut store, &["anna"]), [None]);

    let too_many = LoadRequest { keys: vec![Key::from("anna"); store::limits::KEYS_PER_LOAD + 1], due: None };
    assert!(matches!(store.load(PARTITION, &too_many), Err(StoreError::Unusable(_))));
    let query = DueQuery { lane: Lane::Timer, until: Timestamp::MAX, limit: store::limits::DUE_PER_LOAD + 1 };
    let too_many = LoadRequest { keys: vec![], due: Some(query) };
    assert!(matches!(store.load(PARTITION, &too_many), Err(StoreError::Unusable(_))));
}

pub fn a_stalled_worker_is_refused_once_another_went_on(backend: &impl Backend) {
    let (mut stalled, mut successor) = (backend.open(), backend.open());
    let start = begun(&mut stalled, "g", 0);
    let now = applied(&mut stalled, &start, 1, &[set("anna", "1")]);
    // The batch to 2 is committed, its worker stalls; the successor applies it from the changelog, and goes on.
    let two = [set("anna", "2"), timer("berta", "2", 10)];
    let after = applied(&mut successor, &now, 2, &two);
    let after = applied(&mut successor, &after, 3, &[set("anna", "3"), end("berta")]);
    // Here the stalled one wakes up.
    assert_eq!(stalled.apply(PARTITION, &now, 2, &two).unwrap(), Applied::Refused(Some(after.clone())));
    assert_eq!(states(&mut successor, &["anna", "berta"]), [some("3"), None]);
    assert_eq!(stalled.load(PARTITION, &keys(&["anna"])).unwrap().unwrap().position, after);
}

pub fn a_restarted_worker_finds_the_view_where_it_was_left(backend: &impl Backend) {
    let start = {
        let mut store = backend.open();
        let start = begun(&mut store, "g", 0);
        applied(&mut store, &start, 5, &[timer("anna", "1", 10)])
    };
    let mut store = backend.open();
    assert_eq!(store.position(PARTITION).unwrap(), Some(start.clone()));
    assert_eq!(lane(&mut store, Lane::Timer), [(10, "anna".into(), some("1"))]);
    applied(&mut store, &start, 6, &[end("anna")]);
    assert_eq!(lane(&mut store, Lane::Timer), []);
}

pub fn a_view_that_is_behind_is_healed_by_the_batches_that_it_lacks(backend: &impl Backend) {
    let mut store = backend.open();
    let start = begun(&mut store, "g", 0);
    applied(&mut store, &start, 2, &[set("anna", "2"), timer("berta", "2", 10)]);
    // Others committed 4 and 7 and did not come to write them: the owner reads them from the changelog, as one batch.
    let found = store.position(PARTITION).unwrap().unwrap();
    let lacking = [timer("anna", "4", 5), end("berta"), timer("anna", "7", 6), set("carla", "7")];
    applied(&mut store, &found, 7, &lacking);
    assert_eq!(states(&mut store, &["anna", "berta", "carla"]), [some("7"), None, some("7")]);
    assert_eq!(lane(&mut store, Lane::Timer), [(6, "anna".into(), some("7"))]);
}
