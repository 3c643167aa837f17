//! The suite on Redis, and what happens to it while we write: emptied, set back, killed, full, cut off, broken off midway.

#![allow(clippy::unwrap_used)]

mod suite;

use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use domain::Timestamp;
use store::{LookupError, Lookups, OptionsError, Redis, RedisOptions};
use stream::{Applied, Labels, Lane, Partition, StateChange, StateStore, StoreError};
use suite::lookups::glanced;
use suite::{
    Backend, LOG, PARTITION, applied, begun, end, keys, lane, moved, position, set, some, states, timer, under,
};
use testkit::TcpProxy;

/// One Redis for the tests that leave it as it is; each writes under a prefix of its own.
static SHARED: LazyLock<testkit::Redis> = LazyLock::new(|| testkit::Redis::start().unwrap());

const OTHER: Partition = PARTITION + 1;

struct OnRedis(Redis);

impl OnRedis {
    fn on(server: &testkit::Redis) -> Self {
        Self(Redis::new(options(server.url())).unwrap())
    }
}

impl Backend for OnRedis {
    type Store = Redis;

    fn open(&self) -> Redis {
        self.0.clone()
    }

    fn lookups(&self, store: &Redis) -> Box<dyn Lookups> {
        Box::new(store.lookups())
    }
}

fn options(url: String) -> RedisOptions {
    static PREFIX: AtomicUsize = AtomicUsize::new(0);
    let prefix = format!("test{}", PREFIX.fetch_add(1, Ordering::Relaxed));
    RedisOptions::new(url, prefix, "journeys")
}

/// Short waits, for tests in which Redis stays away.
fn impatient(url: String) -> RedisOptions {
    let mut options = options(url);
    options.connect_timeout = Duration::from_millis(500);
    options.response_timeout = Duration::from_millis(700);
    options.deadline = Duration::from_millis(1_500);
    options
}

fn own_server(settings: &[(&str, &str)]) -> testkit::Redis {
    let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    testkit::Redis::start_with(&testkit::RedisOptions { settings, ..testkit::RedisOptions::default() }).unwrap()
}

/// The name of a key of the view under test.
fn view_key(options: &RedisOptions) -> String {
    format!("{}:journeys:{{journeys:{PARTITION}}}:view", options.prefix)
}

fn generation_key(options: &RedisOptions, generation: &str, last: &str) -> String {
    format!("{}:journeys:{generation}:{{journeys:{PARTITION}}}:{last}", options.prefix)
}

suite!(OnRedis::on(&SHARED), 48);

#[test]
fn a_redis_that_was_emptied_is_noticed_by_whoever_asks() {
    let server = own_server(&[]);
    let mut store = OnRedis::on(&server).open();
    let lookups = store.lookups();
    let start = begun(&mut store, "g", 0);
    let now = applied(&mut store, &start, 1, &[set("anna", "1")]);
    server.flush().unwrap();
    assert_eq!(store.load(PARTITION, &keys(&["anna"])).unwrap(), None);
    assert_eq!(store.apply(PARTITION, &now, 2, &[set("anna", "2")]).unwrap(), Applied::Refused(None));
    assert_eq!(store.position(PARTITION).unwrap(), None);
    assert!(matches!(lookups.get(PARTITION, "anna"), Err(LookupError::Restoring(_))));
    // Healed from the changelog, under a new generation.
    store.begin_rebuild(PARTITION, "h", LOG).unwrap();
    store.fill(PARTITION, "h", &[set("anna", "1")]).unwrap();
    store.switch(PARTITION, "h", LOG, 1).unwrap();
    assert_eq!(states(&mut store, &["anna"]), [some("1")]);
}

#[test]
fn at_a_glance_nothing_is_told_of_an_older_copy_or_while_redis_is_away_and_all_is_again_once_it_is_back() {
    let server = own_server(&[]);
    let mut options = impatient(server.url());
    options.longest_pause = Duration::from_millis(20);
    let mut store = Redis::new(options).unwrap();
    let lookups = store.lookups();
    let mut glance = lookups.glance().unwrap();
    let mut tell = |partition| glanced(&mut *glance, &[(partition, "anna")]).remove(0);
    let start = begun(&mut store, "g", 0);
    let one = applied(&mut store, &start, 1, &[set("anna", "1")]);
    assert_eq!(tell(PARTITION), Some((one.clone(), some("1"))), "also where nobody has asked before");
    // Of another partition, which nothing happens to: as long as it is not told, Redis is away.
    let fill_other = |store: &mut Redis, generation: &str| {
        store.begin_rebuild(OTHER, generation, LOG).unwrap();
        store.switch(OTHER, generation, LOG, 1).unwrap();
        lookups.get_all(&[(PARTITION, "anna"), (OTHER, "anna")]).unwrap();
    };
    fill_other(&mut store, "other");
    assert_eq!(tell(PARTITION), Some((one.clone(), some("1"))));
    let old = server.snapshot().unwrap();
    let two = applied(&mut store, &one, 2, &[set("anna", "2")]);
    assert_eq!(tell(PARTITION), Some((two.clone(), some("2"))));
    server.restore(&old).unwrap();
    await_that(|| tell(OTHER).is_some());
    assert_eq!(tell(PARTITION), None, "1 is older than was acknowledged");
    applied(&mut store, &one, 2, &[set("anna", "2")]);
    assert_eq!(tell(PARTITION), Some((two, some("2"))));

    server.kill9().unwrap();
    assert_eq!(tell(PARTITION), None);
    server.restart().unwrap();
    // What it has kept is for its owner to heal.
    let start = begun(&mut store, "anew", 5);
    let six = applied(&mut store, &start, 6, &[set("anna", "3")]);
    fill_other(&mut store, "other-anew");
    await_that(|| tell(OTHER).is_some());
    assert_eq!(tell(PARTITION), Some((six, some("3"))));
}

fn await_that(mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(10), "it did not come to be so");
    }
}

#[test]
fn a_rebuild_whose_beginning_redis_lost_is_never_switched_to() {
    let server = own_server(&[]);
    let mut store = OnRedis::on(&server).open();
    let lost = |result: Result<(), StoreError>| assert!(matches!(result, Err(StoreError::Unavailable(_))));
    store.begin_rebuild(PARTITION, "emptied", LOG).unwrap();
    store.fill(PARTITION, "emptied", &[set("anna", "1")]).unwrap();
    server.flush().unwrap();
    lost(store.fill(PARTITION, "emptied", &[set("berta", "1")]));
    lost(store.switch(PARTITION, "emptied", LOG, 5));
    assert_eq!(store.position(PARTITION).unwrap(), None);

    // Set back to the middle of a rebuild: what was filled in since is missing.
    store.begin_rebuild(PARTITION, "set-back", LOG).unwrap();
    store.fill(PARTITION, "set-back", &[set("anna", "1")]).unwrap();
    let middle = server.snapshot().unwrap();
    store.fill(PARTITION, "set-back", &[set("berta", "1")]).unwrap();
    server.restore(&middle).unwrap();
    lost(store.switch(PARTITION, "set-back", LOG, 5));
    store.begin_rebuild(PARTITION, "set-back-2", LOG).unwrap();
    store.fill(PARTITION, "set-back-2", &[set("anna", "1")]).unwrap();
    let middle = server.snapshot().unwrap();
    store.fill(PARTITION, "set-back-2", &[set("berta", "1")]).unwrap();
    server.restore(&middle).unwrap();
    lost(store.fill(PARTITION, "set-back-2", &[set("carla", "1")]));
    lost(store.switch(PARTITION, "set-back-2", LOG, 5));
    assert_eq!(store.position(PARTITION).unwrap(), None);
}

#[test]
fn a_redis_set_back_to_an_older_copy_is_noticed_and_healed_from_there() {
    let server = own_server(&[]);
    let mut store = OnRedis::on(&server).open();
    let lookups = store.lookups();
    let start = begun(&mut store, "g", 0);
    let one = applied(&mut store, &start, 1, &[timer("anna", "1", 1), set("berta", "1")]);
    let old = server.snapshot().unwrap();
    let two = applied(&mut store, &one, 2, &[timer("anna", "2", 2), end("berta")]);
    server.restore(&old).unwrap();

    let three = [set("carla", "3")];
    assert_eq!(store.apply(PARTITION, &two, 3, &three).unwrap(), Applied::Refused(Some(one.clone())));
    assert_eq!(store.load(PARTITION, &keys(&["anna"])).unwrap().unwrap().position, one);
    assert!(
        matches!(lookups.get(PARTITION, "anna"), Err(LookupError::Restoring(_))),
        "1 is older than was acknowledged"
    );

    applied(&mut store, &one, 3, &[timer("anna", "2", 2), end("berta"), set("carla", "3")]);
    assert_eq!(states(&mut store, &["anna", "berta", "carla"]), [some("2"), None, some("3")]);
    assert_eq!(lane(&mut store, Lane::Timer), [(2, "anna".into(), some("2"))]);
    assert_eq!(lookups.get(PARTITION, "carla").unwrap(), Some((position("g", 3), "3".into())));
}

#[test]
fn an_older_copy_from_before_a_rebuild_is_another_generation() {
    let server = own_server(&[]);
    let mut store = OnRedis::on(&server).open();
    let start = begun(&mut store, "old", 0);
    let one = applied(&mut store, &start, 1, &[set("anna", "old")]);
    let old = server.snapshot().unwrap();
    store.begin_rebuild(PARTITION, "new", LOG).unwrap();
    store.fill(PARTITION, "new", &[set("anna", "new")]).unwrap();
    store.switch(PARTITION, "new", LOG, 1).unwrap();
    server.restore(&old).unwrap();
    assert_eq!(store.apply(PARTITION, &position("new", 1), 2, &[]).unwrap(), Applied::Refused(Some(one.clone())));
    assert_eq!(store.load(PARTITION, &keys(&["anna"])).unwrap().unwrap().position, one);
}

#[test]
fn a_redis_killed_and_started_again_goes_on_where_its_disk_was() {
    let server = own_server(&[("appendonly", "yes"), ("appendfsync", "always")]);
    let backend = OnRedis::on(&server);
    let mut store = backend.open();
    let start = begun(&mut store, "g", 0);
    let one = applied(&mut store, &start, 1, &[timer("anna", "1", 1)]);
    server.restart().unwrap();
    // The connection is gone and the scripts are forgotten: the call finds its way.
    let two = applied(&mut store, &one, 2, &[timer("anna", "2", 2), set("berta", "2")]);
    server.restart().unwrap();
    assert_eq!(states(&mut store, &["anna", "berta"]), [some("2"), some("2")]);
    assert_eq!(backend.open().position(PARTITION).unwrap(), Some(two));
}

#[test]
fn a_restart_while_a_call_waits_is_bridged_and_an_outage_beyond_the_deadline_is_an_error() {
    let server = own_server(&[("appendonly", "yes"), ("appendfsync", "always")]);
    let mut patient = OnRedis::on(&server).open();
    let start = begun(&mut patient, "g", 0);
    let one = applied(&mut patient, &start, 1, &[set("anna", "1")]);
    let mut hasty = Redis::new(impatient(server.url())).unwrap();
    assert_eq!(hasty.position(PARTITION).unwrap(), None);
    server.kill9().unwrap();
    let away = hasty.position(PARTITION).unwrap_err();
    assert!(
        matches!(&away, StoreError::Unavailable(why) if why.contains(&format!("127.0.0.1:{}", server.port()))),
        "{away}"
    );
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| applied(&mut patient, &one, 2, &[set("anna", "2")]));
        server.restart().unwrap();
        waiting.join().unwrap();
    });
    assert_eq!(states(&mut patient, &["anna"]), [some("2")]);
}

#[test]
fn a_redis_that_takes_connections_and_says_nothing_does_not_hold_a_call_beyond_its_deadline() {
    let server = own_server(&[]);
    let proxy = TcpProxy::start(server.port()).unwrap();
    let mut store = Redis::new(impatient(format!("redis://{}", proxy.address()))).unwrap();
    let start = begun(&mut store, "g", 0);
    proxy.stall();
    for _ in 0..2 {
        let silent = store.apply(PARTITION, &start, 1, &[set("anna", "1")]).unwrap_err();
        assert!(matches!(silent, StoreError::Unavailable(_)), "{silent}");
    }
    proxy.resume();
    // What was sent during the silence may have arrived by now, or arrives later: either way it is written once.
    let done = store.apply(PARTITION, &start, 1, &[set("anna", "1")]).unwrap();
    assert!(matches!(done, Applied::Done | Applied::AlreadyThere), "{done:?}");
    assert_eq!(states(&mut store, &["anna"]), [some("1")]);
}

#[test]
fn a_lost_answer_is_asked_for_again_and_the_batch_is_written_once() {
    let server = own_server(&[]);
    let proxy = TcpProxy::start(server.port()).unwrap();
    let mut store = Redis::new(options(format!("redis://{}", proxy.address()))).unwrap();
    let start = begun(&mut store, "g", 0);
    let mut now = start;
    for header in 1..=30 {
        if header % 3 == 0 {
            proxy.drop_connections();
        }
        let batch = [timer("anna", &header.to_string(), header)];
        let done = store.apply(PARTITION, &now, header, &batch).unwrap();
        assert!(matches!(done, Applied::Done | Applied::AlreadyThere), "{done:?}");
        now = position("g", header);
    }
    // The same for a rebuild: portions are numbered, so none is lost or taken twice.
    store.begin_rebuild(PARTITION, "h", LOG).unwrap();
    for n in 0..10 {
        proxy.drop_connections();
        let fill: Vec<StateChange> = (0..5_000).map(|m| set(&format!("{n}-{m}"), "x")).collect();
        store.fill(PARTITION, "h", &fill).unwrap();
    }
    proxy.drop_connections();
    store.switch(PARTITION, "h", LOG, 30).unwrap();
    let wanted: Vec<String> = (0..50_000).map(|n| format!("{}-{}", n / 5_000, n % 5_000)).collect();
    let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
    assert!(states(&mut store, &wanted).iter().all(Option::is_some));
}

#[test]
fn a_fill_that_failed_may_be_repeated_once_redis_is_back() {
    let server = own_server(&[]);
    let proxy = TcpProxy::start(server.port()).unwrap();
    let mut options = options(format!("redis://{}", proxy.address()));
    options.deadline = Duration::from_secs(3);
    let mut store = Redis::new(options).unwrap();
    let fill: Vec<StateChange> = (0..30_000).map(|n| timer(&format!("c{n}"), "x", n)).collect();
    store.begin_rebuild(PARTITION, "g", LOG).unwrap();
    store.fill(PARTITION, "g", &fill[..10_000]).unwrap();
    proxy.cut();
    assert!(matches!(store.fill(PARTITION, "g", &fill), Err(StoreError::Unavailable(_))));
    proxy.resume();
    store.fill(PARTITION, "g", &fill).unwrap();
    store.switch(PARTITION, "g", LOG, 1).unwrap();
    assert_eq!(lane(&mut store, Lane::Timer).len(), 30_000);
}

#[test]
fn scripts_that_redis_forgot_are_taught_again() {
    let server = own_server(&[]);
    let mut store = OnRedis::on(&server).open();
    let start = begun(&mut store, "g", 0);
    server.command(&["SCRIPT", "FLUSH"]).unwrap();
    let one = applied(&mut store, &start, 1, &[set("anna", "1")]);
    server.command(&["SCRIPT", "FLUSH"]).unwrap();
    assert_eq!(states(&mut store, &["anna"]), [some("1")]);
    store.begin_rebuild(PARTITION, "h", LOG).unwrap();
    server.command(&["SCRIPT", "FLUSH"]).unwrap();
    store.fill(PARTITION, "h", &vec![set("anna", "2"); 5_000]).unwrap();
    store.switch(PARTITION, "h", LOG, one.header_offset).unwrap();
    assert_eq!(states(&mut store, &["anna"]), [some("2")]);
}

#[test]
fn an_eviction_policy_is_refused_at_start_and_names_what_to_do() {
    for policy in ["allkeys-lru", "volatile-ttl"] {
        let settings = testkit::RedisOptions { maxmemory_policy: policy.into(), ..testkit::RedisOptions::default() };
        let server = testkit::Redis::start_with(&settings).unwrap();
        let mut store = OnRedis::on(&server).open();
        for error in [store.check().unwrap_err(), store.position(PARTITION).unwrap_err()] {
            let StoreError::Unusable(why) = &error else { panic!("{error:?}") };
            assert!(why.contains(policy) && why.contains("set maxmemory-policy to noeviction"), "{why}");
        }
        server.command(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]).unwrap();
        assert!(store.check().unwrap().version.contains('.'));
    }
}

#[test]
fn a_redis_without_disk_and_limit_is_warned_of() {
    let report = OnRedis::on(&SHARED).open().check().unwrap();
    assert_eq!(report.warnings.len(), 2, "{report:?}");
    let server = own_server(&[("appendonly", "yes")]);
    server.command(&["CONFIG", "SET", "maxmemory", "1gb"]).unwrap();
    assert_eq!(OnRedis::on(&server).open().check().unwrap().warnings, [""; 0]);
}

#[test]
fn full_memory_refuses_the_whole_batch_and_it_is_applied_once_there_is_room() {
    let server = own_server(&[]);
    let mut store = OnRedis::on(&server).open();
    let start = begun(&mut store, "g", 0);
    let mut now = applied(&mut store, &start, 1, &[timer("anna", "1", 1)]);
    server.command(&["CONFIG", "SET", "maxmemory", "8mb"]).unwrap();
    let batch = |header: i64| -> Vec<StateChange> {
        let value = header.to_string().repeat(300);
        (0..2_000).map(|n| timer(&format!("c{header}-{n}"), &value, n)).chain([timer("anna", &value, 2)]).collect()
    };
    let full = loop {
        let header = now.header_offset + 1;
        match store.apply(PARTITION, &now, header, &batch(header)) {
            Ok(Applied::Done) => now = position("g", header),
            Err(error) => break error,
            other => panic!("{other:?}"),
        }
        assert!(header < 100, "8 MB are full long before");
    };
    assert!(matches!(&full, StoreError::Unusable(why) if why.contains("raise maxmemory")), "{full}");
    assert_eq!(store.position(PARTITION).unwrap(), Some(now.clone()));
    let next = now.header_offset + 1;
    let loaded =
        store.load(PARTITION, &keys(&["anna", &format!("c{next}-0"), &format!("c{next}-1999")])).unwrap().unwrap();
    assert_eq!(loaded.position, now);
    let expected = if now.header_offset == 1 { "1".into() } else { now.header_offset.to_string().repeat(300) };
    assert_eq!(loaded.states, [Some(expected.into()), None, None]);

    server.command(&["CONFIG", "SET", "maxmemory", "0"]).unwrap();
    applied(&mut store, &now, next, &batch(next));
    assert_eq!(lane(&mut store, Lane::Timer).len(), 2_000 * (next as usize - 1) + 1);
}

#[test]
fn a_batch_that_redis_broke_off_midway_is_never_read_and_is_mended_by_the_same_again_or_a_rebuild() {
    let server = own_server(&[]);
    let options = options(server.url());
    let mut store = Redis::new(options.clone()).unwrap();
    let lookups = store.lookups();
    let start = begun(&mut store, "g", 0);
    let one = applied(&mut store, &start, 1, &[set("anna", "1"), set("berta", "1")]);
    // States are written before lanes: a lane of the wrong type breaks the script off between them.
    let timers = generation_key(&options, "g", "timer");
    server.command(&["SET", &timers, "not a sorted set"]).unwrap();
    let two = [timer("anna", "2", 2), end("berta")];
    let broken = store.apply(PARTITION, &one, 2, &two).unwrap_err();
    assert!(matches!(&broken, StoreError::Unusable(why) if why.contains("WRONGTYPE")), "{broken}");
    assert_eq!(server.command(&["HGET", &view_key(&options), "pending"]).unwrap(), Some("2".into()));

    // The half is there, and nobody gets to see it.
    assert_eq!(store.load(PARTITION, &keys(&["anna", "berta"])).unwrap(), None);
    assert!(matches!(lookups.get(PARTITION, "anna"), Err(LookupError::Restoring(_))));
    assert_eq!(store.position(PARTITION).unwrap(), None);

    // Another batch than the broken one might leave a part of it: refused, also where it reaches farther.
    server.command(&["DEL", &timers]).unwrap();
    let five = [timer("anna", "5", 5), end("berta"), set("carla", "5")];
    assert_eq!(store.apply(PARTITION, &one, 5, &five).unwrap(), Applied::Refused(None));

    // The same again mends it.
    let two = applied(&mut store, &one, 2, &two);
    assert_eq!(states(&mut store, &["anna", "berta"]), [some("2"), None]);
    assert_eq!(lane(&mut store, Lane::Timer), [(2, "anna".into(), some("2"))]);

    // And where it can't be written again, a rebuild does, under keys of its own.
    server.command(&["DEL", &timers]).unwrap();
    server.command(&["SET", &timers, "not a sorted set"]).unwrap();
    store.apply(PARTITION, &two, 6, &[timer("anna", "6", 6)]).unwrap_err();
    assert_eq!(store.position(PARTITION).unwrap(), None);
    store.begin_rebuild(PARTITION, "h", LOG).unwrap();
    store.fill(PARTITION, "h", &[timer("anna", "6", 6)]).unwrap();
    store.switch(PARTITION, "h", LOG, 6).unwrap();
    assert_eq!(lane(&mut store, Lane::Timer), [(6, "anna".into(), some("6"))]);
    assert_eq!(server.command(&["EXISTS", &timers]).unwrap(), some("0"));
}

#[test]
fn members_that_redis_wrote_by_half_are_never_read_and_are_mended_by_the_same_again() {
    let server = own_server(&[]);
    let options = options(server.url());
    let mut store = Redis::new(options.clone()).unwrap();
    let lookups = store.lookups();
    let start = begun(&mut store, "g", 0);
    let one = applied(&mut store, &start, 1, &[under("anna", "1", &["a", "b"]), under("berta", "1", &["a"])]);
    // Labels are written in their order, and who leaves goes first: `a` is left, `b` is entered, and `c` breaks it off.
    let broken = generation_key(&options, "g", "labels:c");
    server.command(&["SET", &broken, "not a sorted set"]).unwrap();
    let known = [moved("anna", "2", &["a", "b"], &["b", "c"]), moved("berta", "2", &["a"], &["b"])];
    store.apply(PARTITION, &one, 2, &known).unwrap_err();
    let asked = [(PARTITION, suite::all_under("b"))];
    assert!(matches!(lookups.members(&asked), Err(LookupError::Restoring(PARTITION))));
    server.command(&["DEL", &broken]).unwrap();
    let two = applied(&mut store, &one, 2, &known);
    let found = |label: &str| suite::pages(&lookups, label, 10);
    assert_eq!(
        (found("a").len(), found("b"), found("c")),
        (0, vec!["anna".into(), "berta".into()], vec!["anna".into()])
    );

    // The same by one who does not know where they were.
    server.command(&["SET", &generation_key(&options, "g", "labels:d"), "not a sorted set"]).unwrap();
    store.apply(PARTITION, &two, 3, &[under("anna", "3", &["d"]), end("berta")]).unwrap_err();
    server.command(&["DEL", &generation_key(&options, "g", "labels:d")]).unwrap();
    applied(&mut store, &two, 3, &[under("anna", "3", &["d"]), end("berta")]);
    assert_eq!((found("a").len(), found("b").len(), found("c").len(), found("d")), (0, 0, 0, vec!["anna".into()]));
}

#[test]
fn states_that_stay_under_their_labels_are_written_without_a_word_to_the_index() {
    let server = own_server(&[]);
    let mut store = OnRedis::on(&server).open();
    let start = begun(&mut store, "g", 0);
    let mut now = applied(&mut store, &start, 1, &[moved("anna", "1", &[], &["vip"])]);
    server.command(&["CONFIG", "RESETSTAT"]).unwrap();
    for header in 2..20 {
        now = applied(&mut store, &now, header, &[set("anna", "2"), set("berta", "2")]);
    }
    let told = server.command(&["INFO", "commandstats"]).unwrap().unwrap();
    for command in ["zadd", "zrem", "sadd", "smembers", "zrange", "zcard"] {
        assert!(!told.contains(&format!("cmdstat_{command}:")), "{command} in {told}");
    }
}

#[test]
fn a_view_whose_index_was_made_by_other_rules_or_by_none_is_no_view_and_is_rebuilt() {
    let server = own_server(&[]);
    let by = |options: &RedisOptions, index| Redis::new(RedisOptions { index, ..options.clone() }).unwrap();
    let options = options(server.url());
    let mut without = by(&options, 0);
    let start = begun(&mut without, "g", 0);
    let one = applied(&mut without, &start, 1, &[set("anna", "1")]);
    for (index, generation) in [(1, "h"), (2, "i"), (0, "j")] {
        let mut store = by(&options, index);
        let lookups = store.lookups();
        assert_eq!(store.position(PARTITION).unwrap(), None);
        assert_eq!(store.load(PARTITION, &keys(&["anna"])).unwrap(), None);
        assert_eq!(store.apply(PARTITION, &one, 2, &[]).unwrap(), Applied::Refused(None));
        let asked = [(PARTITION, suite::all_under("vip"))];
        assert!(matches!(lookups.members(&asked), Err(LookupError::Restoring(PARTITION))));
        store.begin_rebuild(PARTITION, generation, LOG).unwrap();
        store.fill(PARTITION, generation, &[under("anna", "1", &["vip"])]).unwrap();
        store.switch(PARTITION, generation, LOG, 1).unwrap();
        assert_eq!(suite::pages(&lookups, "vip", 10), ["anna"]);
        // Who is of the version before writes nothing more.
        assert_eq!(without.apply(PARTITION, &one, 2, &[set("anna", "2")]).unwrap(), Applied::Refused(None));
        if index == 2 {
            without = by(&options, 2);
        }
    }
}

#[test]
fn a_hundred_thousand_members_are_paged_through_each_once() {
    const MEMBERS: usize = 100_000;
    let server = own_server(&[]);
    let mut store = OnRedis::on(&server).open();
    let lookups = store.lookups();
    store.begin_rebuild(PARTITION, "g", LOG).unwrap();
    // Half of them come with the rebuild, half with a batch; of all others, who are as many, nobody is listed.
    let name = |n: usize| format!("customer-{:06}", (n * 7_919) % (2 * MEMBERS));
    let labels = |n: usize| if n.is_multiple_of(2) { &["vip", "all"][..] } else { &["all"] };
    let half: Vec<StateChange> = (0..MEMBERS).map(|n| under(&name(n), "1", labels(n))).collect();
    store.fill(PARTITION, "g", &half).unwrap();
    store.switch(PARTITION, "g", LOG, 1).unwrap();
    let rest: Vec<StateChange> = (MEMBERS..2 * MEMBERS).map(|n| moved(&name(n), "1", &[], labels(n))).collect();
    applied(&mut store, &position("g", 1), 2, &rest);
    let mut expected: Vec<String> = (0..2 * MEMBERS).step_by(2).map(name).collect();
    expected.sort();
    assert_eq!(suite::pages(&lookups, "vip", 1_000), expected);
    let counted = |label| lookups.members(&[(PARTITION, suite::all_under(label))]).unwrap()[0].count;
    assert_eq!((counted("vip"), counted("all")), (MEMBERS as u64, 2 * MEMBERS as u64));
}

#[test]
fn lists_that_wait_for_a_connection_are_asked_together_with_lookups_and_each_has_its_own_answer() {
    let server = own_server(&[]);
    let proxy = TcpProxy::start(server.port()).unwrap();
    let mut options = options(format!("redis://{}", proxy.address()));
    options.lookup_connections = 1;
    let mut store = Redis::new(options).unwrap();
    let start = begun(&mut store, "g", 0);
    let changes: Vec<StateChange> =
        (0..40).map(|n| under(&format!("c{n}"), &n.to_string(), &[&format!("l{n}")])).collect();
    applied(&mut store, &start, 1, &changes);
    let lookups = store.lookups();
    assert!(lookups.get(PARTITION, "c0").unwrap().is_some());
    proxy.stall();
    std::thread::scope(|scope| {
        for n in 0..40 {
            let lookups = &lookups;
            scope.spawn(move || {
                let (_, value) = lookups.get(PARTITION, &format!("c{n}")).unwrap().unwrap();
                assert_eq!(suite::text(value), n.to_string());
            });
            scope.spawn(move || {
                let query = store::MembersQuery { limit: 10, ..suite::all_under(&format!("l{n}")) };
                let told = lookups.members(&[(PARTITION, query)]).unwrap().remove(0);
                assert_eq!((told.count, told.keys), (1, vec![format!("c{n}").into()]));
            });
        }
        std::thread::sleep(Duration::from_millis(300));
        proxy.resume();
    });
}

#[test]
fn a_switch_drops_all_keys_of_the_view_before_and_of_rebuilds_that_were_given_up() {
    let server = own_server(&[]);
    let backend = OnRedis::on(&server);
    let mut store = backend.open();
    let labels = Labels::are(vec!["vip".into(), "a:b".into()]);
    let many = |n: i64| StateChange { labels: labels.clone(), ..timer(&format!("c{n}"), "x", n) };
    let many: Vec<StateChange> = (0..3_000).map(many).collect();
    let start = begun(&mut store, "one", 0);
    applied(&mut store, &start, 1, &many);
    let mut died = backend.open();
    died.begin_rebuild(PARTITION, "two", LOG).unwrap();
    died.fill(PARTITION, "two", &many).unwrap();
    let size = || server.command(&["DBSIZE"]).unwrap().unwrap().parse::<usize>().unwrap();
    assert!(size() > 2 * 64);
    store.begin_rebuild(PARTITION, "three", LOG).unwrap();
    store.fill(PARTITION, "three", &[set("anna", "3")]).unwrap();
    store.switch(PARTITION, "three", LOG, 2).unwrap();
    assert_eq!(size(), 2, "the view and the one state");
}

#[test]
fn a_view_of_another_layout_is_no_view_and_is_rebuilt() {
    let server = own_server(&[]);
    let options = options(server.url());
    let mut store = Redis::new(options.clone()).unwrap();
    let start = begun(&mut store, "g", 0);
    server.command(&["HSET", &view_key(&options), "layout", "0"]).unwrap();
    assert_eq!(store.position(PARTITION).unwrap(), None);
    assert_eq!(store.load(PARTITION, &keys(&["anna"])).unwrap(), None);
    assert_eq!(store.apply(PARTITION, &start, 1, &[]).unwrap(), Applied::Refused(None));
    begun(&mut store, "h", 0);
    assert_eq!(states(&mut store, &["anna"]), [None]);
}

#[test]
fn a_redis_with_requirepass_takes_the_password_without_a_user() {
    let server = testkit::Redis::start().unwrap();
    server.command(&["CONFIG", "SET", "requirepass", "one-secret"]).unwrap();
    let mut with_password = impatient(server.url());
    assert!(Redis::new(with_password.clone()).unwrap().check().is_err());
    with_password.password = Some("one-secret".into());
    Redis::new(with_password).unwrap().check().unwrap();
}

#[test]
fn a_password_comes_from_the_url_or_the_options_or_a_file_that_is_read_anew_and_is_never_shown() {
    let server = own_server(&[]);
    server.command(&["ACL", "SETUSER", "vuelve", "on", ">first-secret", "~*", "+@all"]).unwrap();
    server.command(&["ACL", "SETUSER", "default", "off"]).unwrap();
    let at = |user: &str| format!("redis://{user}127.0.0.1:{}/0", server.port());

    let mut by_url = options(at("vuelve:first-secret@"));
    by_url.deadline = Duration::from_millis(300);
    assert!(!format!("{by_url:?} {:?}", Redis::new(by_url.clone()).unwrap()).contains("secret"));
    Redis::new(by_url.clone()).unwrap().check().unwrap();

    let file = tempfile::NamedTempFile::new().unwrap();
    let mut by_file = by_url.clone();
    by_file.url = at("vuelve@");
    by_file.password_file = Some(file.path().to_owned());
    let mut store = Redis::new(by_file).unwrap();
    let empty = store.check().unwrap_err();
    assert!(empty.to_string().contains("is empty"), "{empty}");
    std::fs::write(file.path(), "first-secret\n").unwrap();
    store.check().unwrap();

    // As the configuration has them: beside the URL.
    let mut beside = by_url.clone();
    beside.url = at("");
    (beside.user, beside.password) = (Some("vuelve".into()), Some("first-secret".into()));
    Redis::new(beside.clone()).unwrap().check().unwrap();
    assert!(!format!("{beside:?} {:?}", Redis::new(beside.clone()).unwrap()).contains("secret"));
    beside.password = Some("wrong-secret".into());
    let refused = Redis::new(beside).unwrap().check().unwrap_err();
    assert!(matches!(&refused, StoreError::Unusable(why) if !why.contains("secret")), "{refused}");

    for wrong in [at("vuelve:wrong-secret@"), at("")] {
        let mut options = by_url.clone();
        options.url = wrong;
        let refused = Redis::new(options).unwrap().check().unwrap_err();
        assert!(matches!(&refused, StoreError::Unusable(why) if !why.contains("secret")), "{refused}");
        assert!(refused.to_string().contains("password"), "{refused}");
    }
    server.kill9().unwrap();
    let away = Redis::new(by_url).unwrap().check().unwrap_err();
    assert!(matches!(&away, StoreError::Unavailable(why) if !why.contains("secret")), "{away}");
}

#[test]
fn a_user_without_the_rights_that_are_needed_is_told_which() {
    let server = own_server(&[]);
    let rights = ["ACL", "SETUSER", "reader", "on", ">secret", "~*", "+@read", "+info", "+script", "+evalsha", "-zadd"];
    server.command(&rights).unwrap();
    let mut store = Redis::new(options(format!("redis://reader:secret@127.0.0.1:{}", server.port()))).unwrap();
    let refused = store.begin_rebuild(PARTITION, "g", LOG).unwrap_err();
    assert!(matches!(&refused, StoreError::Unusable(why) if why.contains("+@")), "{refused}");
}

#[test]
fn a_replica_is_refused_until_it_is_promoted() {
    let primary = own_server(&[]);
    let replica = own_server(&[("replicaof", &format!("127.0.0.1 {}", primary.port()))]);
    let mut store = Redis::new(impatient(replica.url())).unwrap();
    let refused = store.position(PARTITION).unwrap_err();
    assert!(matches!(&refused, StoreError::Unavailable(why) if why.contains("replica")), "{refused}");
    replica.command(&["REPLICAOF", "NO", "ONE"]).unwrap();
    assert_eq!(store.position(PARTITION).unwrap(), None);
}

#[test]
fn options_that_can_not_work_are_refused_by_name() {
    let with = |url: &str, prefix: &str| Redis::new(RedisOptions::new(url, prefix, "journeys")).unwrap_err();
    for url in ["", "localhost:6379", "http://localhost", "redis://", "redis://h:port", "redis://h/first"] {
        let error = with(url, "vuelve");
        assert!(matches!(error, OptionsError::Url(_)), "{url:?}: {error}");
        assert!(error.to_string().contains("write redis://"), "{error}");
    }
    let secret = with("redis://user:top-secret@host:not-a-port", "vuelve").to_string();
    assert!(!secret.contains("top-secret"), "{secret}");
    for prefix in ["", "a:b", "{a}", "a b"] {
        assert!(matches!(with("redis://localhost", prefix), OptionsError::Name { what: "prefix", .. }), "{prefix:?}");
    }
    let mut none = RedisOptions::new("redis://localhost", "vuelve", "journeys");
    none.lookup_connections = 0;
    assert_eq!(Redis::new(none).unwrap_err(), OptionsError::Zero("lookup_connections"));
}

#[test]
fn more_lookups_than_connections_wait_their_turn() {
    let mut options = options(SHARED.url());
    options.lookup_connections = 2;
    let mut store = Redis::new(options).unwrap();
    let start = begun(&mut store, "g", 0);
    applied(&mut store, &start, 1, &[set("anna", "1")]);
    let lookups = store.lookups();
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..20 {
                    assert!(lookups.get(PARTITION, "anna").unwrap().is_some());
                }
            });
        }
    });
}

#[test]
fn lookups_that_wait_for_a_connection_are_asked_together_and_each_has_its_own_answer() {
    let server = own_server(&[]);
    let proxy = TcpProxy::start(server.port()).unwrap();
    let mut options = options(format!("redis://{}", proxy.address()));
    options.lookup_connections = 1;
    let mut store = Redis::new(options).unwrap();
    let start = begun(&mut store, "g", 0);
    let states: Vec<StateChange> = (0..40).map(|n| set(&format!("c{n}"), &n.to_string())).collect();
    applied(&mut store, &start, 1, &states);
    let lookups = store.lookups();
    assert!(lookups.get(PARTITION, "c0").unwrap().is_some());
    // One a bucket, and two for the view: one lookup by itself has three.
    let reads = || {
        let told = server.command(&["INFO", "commandstats"]).unwrap().unwrap();
        let line = told.lines().find_map(|line| line.strip_prefix("cmdstat_hmget:calls=")).unwrap();
        line.split(',').next().unwrap().parse::<usize>().unwrap()
    };
    let before = reads();
    proxy.stall();
    std::thread::scope(|scope| {
        for n in 0..40 {
            let lookups = &lookups;
            scope.spawn(move || {
                let (_, value) = lookups.get(PARTITION, &format!("c{n}")).unwrap().unwrap();
                assert_eq!(suite::text(value), n.to_string());
            });
        }
        std::thread::sleep(Duration::from_millis(500));
        proxy.resume();
    });
    let asked = reads() - before;
    assert!(asked <= 40 + 5 * 2, "{asked} commands for 40 lookups");
}

#[test]
fn lookups_that_wait_for_a_connection_in_vain_end_by_their_deadline() {
    let server = own_server(&[]);
    let proxy = TcpProxy::start(server.port()).unwrap();
    let mut options = impatient(format!("redis://{}", proxy.address()));
    options.lookup_connections = 1;
    let mut store = Redis::new(options).unwrap();
    let start = begun(&mut store, "g", 0);
    applied(&mut store, &start, 1, &[set("anna", "1")]);
    let lookups = store.lookups();
    proxy.stall();
    let began = std::time::Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let refused = lookups.get(PARTITION, "anna");
                assert!(matches!(refused, Err(LookupError::Store(StoreError::Unavailable(_)))), "{refused:?}");
            });
        }
    });
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    proxy.resume();
    assert!(lookups.get(PARTITION, "anna").unwrap().is_some(), "the connection came back");
}

#[test]
fn lookups_of_a_process_that_does_not_own_the_partition_read_its_view_too() {
    let options = options(SHARED.url());
    let mut owner = Redis::new(options.clone()).unwrap();
    let lookups = Redis::new(options).unwrap().lookups();
    let start = begun(&mut owner, "g", 0);
    let one = applied(&mut owner, &start, 1, &[timer("anna", "1", 1)]);
    assert_eq!(lookups.get(PARTITION, "anna").unwrap(), Some((one, "1".into())));
    begun(&mut owner, "h", 2);
    assert_eq!(lookups.get(PARTITION, "anna").unwrap(), None);
    let due = suite::who_is_due(Lane::Timer, Timestamp::MAX, 1);
    assert!(owner.load(PARTITION, &due).unwrap().unwrap().due.is_empty());
}
