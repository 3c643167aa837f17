use std::time::Duration;

use testkit::{Redis, RedisOptions, wait_until};

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
