//! Redis over TLS: its certificate is checked, by an authority that is given. `cargo test -p vuelve-store --features tls`

#![cfg(feature = "tls")]
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use store::{OptionsError, Redis, RedisOptions};
use stream::{StateStore, StoreError};

/// Makes an authority and a certificate of it for 127.0.0.1.
fn certificates(directory: &Path) {
    let openssl = |arguments: &str| {
        let done = Command::new("openssl").args(arguments.split(' ')).current_dir(directory).output().unwrap();
        assert!(done.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&done.stderr));
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(&format!("req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=authority"));
    openssl(&format!("req -x509 {key} -keyout other.key -out other.pem -days 2 -subj /CN=other"));
    openssl(&format!("req {key} -keyout redis.key -out redis.csr -subj /CN=redis.example.com"));
    std::fs::write(directory.join("names"), "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n").unwrap();
    openssl("x509 -req -in redis.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out redis.pem");
}

#[test]
fn a_server_is_trusted_by_the_authority_given_and_by_no_other() {
    let directory = tempfile::tempdir().unwrap();
    certificates(directory.path());
    let file = |name: &str| directory.path().join(name);
    let port = testkit::free_port().unwrap();
    let text = |name: &str| file(name).display().to_string();
    let settings = [
        ("tls-port", port.to_string()),
        ("tls-cert-file", text("redis.pem")),
        ("tls-key-file", text("redis.key")),
        ("tls-ca-cert-file", text("ca.pem")),
        ("tls-auth-clients", "no".into()),
    ];
    let settings = settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let _server =
        testkit::Redis::start_with(&testkit::RedisOptions { settings, ..testkit::RedisOptions::default() }).unwrap();

    let mut options = RedisOptions::new(format!("rediss://127.0.0.1:{port}"), "tls", "journeys");
    options.deadline = Duration::from_secs(2);
    options.ca_file = Some(file("ca.pem"));
    let mut store = Redis::new(options.clone()).unwrap();
    store.check().unwrap();
    store.begin_rebuild(0, "g", "log").unwrap();
    store.switch(0, "g", "log", 1).unwrap();
    assert_eq!(store.position(0).unwrap().unwrap().header_offset, 1);

    // With a password file, too: the client is made anew and keeps its trust.
    let password = file("password");
    std::fs::write(&password, "anything").unwrap();
    let mut with_password = options.clone();
    with_password.password_file = Some(password);
    let refused = Redis::new(with_password).unwrap().check().unwrap_err();
    assert!(matches!(&refused, StoreError::Unusable(why) if why.contains("password")), "{refused}");

    for other in [Some(file("other.pem")), None] {
        options.ca_file = other;
        let refused = Redis::new(options.clone()).unwrap().check().unwrap_err();
        assert!(refused.to_string().contains("certificate"), "{refused}");
    }
    for broken in ["absent.pem", "names"] {
        options.ca_file = Some(file(broken));
        let refused = Redis::new(options.clone()).unwrap_err();
        assert!(matches!(&refused, OptionsError::Authority { file, .. } if file.ends_with(broken)), "{refused}");
    }
}
