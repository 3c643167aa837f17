use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use testkit::SchemaRegistry;

use crate::{runs, timed};

fn call(registry: &SchemaRegistry, method: &str, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", registry.port())).unwrap();
    write!(
        stream,
        "{method} /apis/ccompat/v7{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: application/vnd.schemaregistry.v1+json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn the_registry_keeps_schemas_until_it_is_killed() {
    let registry = timed("registry start", || SchemaRegistry::start().unwrap());
    assert_eq!(registry.url(), format!("http://127.0.0.1:{}/apis/ccompat/v7", registry.port()));
    let registered = call(&registry, "POST", "/subjects/carts-value/versions", r#"{"schema":"\"string\""}"#);
    assert!(registered.contains(r#"{"id":"#), "{registered}");
    assert!(call(&registry, "GET", "/subjects", "").contains("carts-value"));

    registry.pause().unwrap();
    registry.resume().unwrap();
    assert!(call(&registry, "GET", "/subjects", "").contains("carts-value"));

    let first = registry.process().pid().unwrap();
    registry.kill9().unwrap();
    timed("registry restart", || registry.restart().unwrap());
    assert!(!call(&registry, "GET", "/subjects", "").contains("carts-value"));
    let last = registry.process().pid().unwrap();
    drop(registry);
    assert!(!runs(first) && !runs(last));
}
