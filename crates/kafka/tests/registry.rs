//! The registry's client, against servers that answer in one way.
#![allow(clippy::unwrap_used, reason = "a test may fail by it")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc;
use std::time::Duration;

use kafka::{Registry, RegistryError};
use schemas::Schemas;

const SOON: Duration = Duration::from_secs(10);

/// Gives every request the same answer, and tells the head of each.
struct Server {
    url: String,
    heads: mpsc::Receiver<String>,
}

impl Server {
    fn answering(head: &'static str, body: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (tell, heads) = mpsc::channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = BufReader::new(stream.unwrap());
                let (mut read, mut length) = (String::new(), 0);
                loop {
                    let mut line = String::new();
                    stream.read_line(&mut line).unwrap();
                    if line.trim().is_empty() {
                        break;
                    }
                    let small = line.to_ascii_lowercase();
                    length = small.strip_prefix("content-length: ").map_or(length, |text| text.trim().parse().unwrap());
                    read += &line;
                }
                stream.read_exact(&mut vec![0; length]).unwrap();
                let _ = tell.send(read);
                let answer =
                    format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
                let _ = stream.get_mut().write_all(answer.as_bytes());
            }
        });
        Self { url, heads }
    }

    fn registry(&self) -> Registry {
        Registry::new(&self.url, SOON)
    }

    fn learning(&self) -> RegistryError {
        self.registry().learn(&Schemas::new(), 7).unwrap_err()
    }

    fn binding(&self, register: bool) -> RegistryError {
        self.registry().bind("shop", &Schemas::new(), register).unwrap_err()
    }
}

#[test]
fn only_the_registrys_own_word_that_a_schema_does_not_exist_is_taken_for_it() {
    let error = Server::answering("404 Not Found", r#"{"error_code":40403,"message":"Schema 7 not found"}"#).learning();
    assert!(!error.is_passing() && error.to_string().contains("schema 7"), "{error}");

    let page = "<html><body>Sign in</body></html>";
    for (head, body, says) in [
        ("404 Not Found", "no such page", "HTTP 404"),
        ("404 Not Found", r#"{"error_code":404,"message":"HTTP 404 Not Found"}"#, "HTTP 404"),
        ("404 Not Found", r#"{"error_code":40401,"message":"Subject not found"}"#, "HTTP 404"),
        ("403 Forbidden", r#"{"error_code":40301,"message":"no right to read"}"#, "kafka.registry_user"),
        ("401 Unauthorized", "", "kafka.registry_user"),
        ("400 Bad Request", page, "HTTP 400"),
        ("302 Found\r\nlocation: http://127.0.0.1:1/login", "", "its own address"),
        ("200 OK", page, "no answer of a registry: <html>"),
        ("200 OK", r#"{"something":"else"}"#, "no answer of a registry"),
        ("503 Service Unavailable", "", "HTTP 503"),
    ] {
        let error = Server::answering(head, body).learning();
        assert!(error.is_passing(), "{head} {body}: {error}");
        assert!(error.to_string().contains(says), "{head} {body}: {error}");
    }
}

#[test]
fn a_subject_that_is_not_registered_is_told_from_a_registry_that_can_not_be_asked() {
    for body in [r#"{"error_code":40401,"message":"Subject"}"#, r#"{"error_code":40403,"message":"Schema"}"#] {
        let error = Server::answering("404 Not Found", body).binding(false);
        assert!(matches!(&error, RegistryError::NotRegistered { subject } if subject.starts_with("shop.")), "{error}");
    }
    assert!(Server::answering("404 Not Found", "nginx").binding(false).is_passing());
    assert!(Server::answering("403 Forbidden", "").binding(true).is_passing());
    // Ours does not fit what is registered: no wait mends that.
    let error = Server::answering("409 Conflict", r#"{"error_code":409,"message":"incompatible"}"#).binding(true);
    assert!(matches!(&error, RegistryError::Refused { code: 409, .. }), "{error}");
}

#[test]
fn a_registry_with_a_password_is_told_it_and_nobody_else_is() {
    let server = Server::answering("401 Unauthorized", "");
    let registry = server.registry().with_login("vuelve", "se:cret");
    let error = registry.learn(&Schemas::new(), 7).unwrap_err();
    let head = server.heads.recv_timeout(SOON).unwrap();
    // base64 of `vuelve:se:cret`.
    assert!(head.contains("authorization: Basic dnVlbHZlOnNlOmNyZXQ="), "{head}");
    assert!(!format!("{registry:?} {error:?} {error}").contains("cret"), "{registry:?} {error:?}");

    server.learning();
    assert!(!server.heads.recv_timeout(SOON).unwrap().contains("authorization"));
}

#[test]
fn a_schema_that_it_does_not_have_is_not_asked_for_with_each_record_and_one_that_it_could_not_tell_of_is() {
    let server = Server::answering("404 Not Found", r#"{"error_code":40403,"message":"Schema 7 not found"}"#);
    let (registry, schemas) = (server.registry(), Schemas::new());
    registry.learn(&schemas, 7).unwrap_err();
    registry.clone().learn(&schemas, 7).unwrap();
    registry.learn(&schemas, 8).unwrap_err();
    assert_eq!(schemas.missing(b"\0\0\0\0\x07"), Some(7), "nothing was learnt");
    assert_eq!(server.heads.try_iter().count(), 2);
    let server = Server::answering("503 Service Unavailable", "away");
    let registry = server.registry();
    for _ in 0..2 {
        assert!(registry.learn(&schemas, 7).unwrap_err().is_passing());
    }
    assert_eq!(server.heads.try_iter().count(), 2);
}
