use std::time::Duration;

use testkit::{Redis, RedisOptions, TcpProxy, wait_until};

use crate::timed;

#[test]
fn redis_loses_what_was_not_saved_and_goes_back_to_a_snapshot() {
    let redis = timed("redis start", || Redis::start().unwrap());
    let get = |key| redis.command(&["GET", key]).unwrap();
    redis.command(&["SET", "cart", "old"]).unwrap();
    let old = redis.snapshot().unwrap();
    redis.command(&["SET", "cart", "new"]).unwrap();
    let new = redis.snapshot().unwrap();
    redis.command(&["SET", "cart", "unsaved"]).unwrap();

    let url = redis.url();
    redis.kill9().unwrap();
    assert!(redis.command(&["PING"]).is_err());
    timed("redis restart", || redis.restart().unwrap());
    assert_eq!(redis.url(), url);
    assert_eq!(get("cart").as_deref(), Some("new"));

    redis.restore(&old).unwrap();
    assert_eq!(get("cart").as_deref(), Some("old"));
    redis.restore(&new).unwrap();
    assert_eq!(get("cart").as_deref(), Some("new"));
    redis.flush().unwrap();
    assert_eq!(get("cart"), None);
}

#[test]
fn redis_evicts_only_when_told_to() {
    let policy = |redis: &Redis| {
        let info = redis.command(&["INFO", "memory"]).unwrap().unwrap();
        info.lines().find_map(|line| line.strip_prefix("maxmemory_policy:")).unwrap().to_owned()
    };
    assert_eq!(policy(&Redis::start().unwrap()), "noeviction");
    let options = RedisOptions {
        maxmemory_policy: "allkeys-lru".into(),
        maxmemory_mb: 64,
        settings: vec![("maxclients".into(), "50".into())],
    };
    let redis = Redis::start_with(&options).unwrap();
    assert_eq!(policy(&redis), "allkeys-lru");
    let info = redis.command(&["INFO", "clients"]).unwrap().unwrap();
    assert!(info.contains("maxclients:50\r\n"), "{info}");
}

#[test]
fn a_paused_redis_answers_when_it_goes_on() {
    let redis = Redis::start().unwrap();
    redis.process().pause().unwrap();
    std::thread::scope(|scope| {
        let answer = scope.spawn(|| redis.command(&["PING"]));
        // It can't have answered, however long one waits; a short look suffices.
        wait_until(Duration::from_millis(50), "an answer", || answer.is_finished().then_some(())).unwrap_err();
        redis.process().resume().unwrap();
        assert_eq!(answer.join().unwrap().unwrap().as_deref(), Some("PONG"));
    });
}

#[test]
fn what_redis_refuses_is_an_error_in_its_words() {
    let redis = Redis::start().unwrap();
    let error = redis.command(&["NONSENSE"]).unwrap_err().to_string();
    assert!(error.contains("was refused: ERR unknown command 'NONSENSE'"), "{error}");
}

#[test]
fn a_replica_that_lags_behind_takes_its_masters_place_with_what_it_had() {
    let master = Redis::start().unwrap();
    let network = TcpProxy::start(master.port()).unwrap();
    let replica = Redis::start().unwrap();
    let set = |value| master.command(&["SET", "cart", value]).unwrap();
    set("seen");
    replica.replicate(network.port()).unwrap();
    network.stall();
    set("unseen");
    replica.promote().unwrap();
    master.restore(&replica.snapshot().unwrap()).unwrap();
    assert_eq!(master.command(&["GET", "cart"]).unwrap().as_deref(), Some("seen"));
}

#[test]
fn answers_with_several_elements_come_as_they_are() {
    let redis = Redis::start().unwrap();
    redis.command(&["HSET", "cart", "size", "2"]).unwrap();
    let element = |text: &str| Some(text.as_bytes().to_vec());
    let several = redis.elements(&["HMGET", "cart", "size", "owner"]).unwrap();
    assert_eq!(several, [element("2"), None]);
    assert_eq!(redis.elements(&["HGETALL", "cart"]).unwrap(), [element("size"), element("2")]);
    assert!(redis.command(&["HGETALL", "cart"]).is_err());
    assert!(redis.elements(&["GET", "nothing"]).is_err());
}
