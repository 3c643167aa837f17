//! The server, on a socket.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use domain::HumanDuration;
use ingestion::shell::{ServerOptions, Tls, TlsOptions, load_tls, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::support::{Fixture, KEY, Mood, basic};

/// Longer than anything here takes; only a hang meets it.
const PATIENCE: Duration = Duration::from_secs(20);

struct Server {
    address: std::net::SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<bool>,
}

async fn start(door: &Fixture, options: ServerOptions) -> Server {
    start_with(door, options, None).await
}

async fn start_with(door: &Fixture, options: ServerOptions, tls: Option<Arc<Tls>>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let router = door.router.clone();
    let ended = tokio::spawn(async move {
        let shutdown = async move {
            let _ = stopped.await;
        };
        serve(listener, router, tls.as_deref(), &options, shutdown).await
    });
    Server { address, stop, ended }
}

impl Server {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

fn call(close: bool) -> String {
    let body = r#"{"event":"X","userId":"u"}"#;
    let connection = if close { "close" } else { "keep-alive" };
    let (key, length) = (basic(KEY), body.len());
    format!(
        "POST /v1/track HTTP/1.1\r\nhost: x\r\nauthorization: {key}\r\nconnection: {connection}\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("the connection ends").unwrap();
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn a_call_over_a_socket_is_stored_and_answered() {
    let door = Fixture::new();
    let server = start(&door, ServerOptions::default()).await;
    let mut stream = server.connect().await;
    stream.write_all(call(true).as_bytes()).await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with(r#"{"success":true}"#), "{answer}");
    assert_eq!(door.events().len(), 1);
}

#[tokio::test]
async fn a_client_that_sends_a_megabyte_gets_to_see_the_413() {
    let door = Fixture::new();
    let server = start(&door, ServerOptions::default()).await;
    let mut stream = server.connect().await;
    let key = basic(KEY);
    let head = format!(
        "POST /v1/track HTTP/1.1\r\nhost: x\r\nauthorization: {key}\r\nconnection: close\r\ncontent-length: 1048576\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![b'x'; 1 << 20]).await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("too_large"), "{answer}");
}

#[tokio::test]
async fn a_client_that_never_finishes_its_head_is_let_go() {
    let door = Fixture::new();
    let options = ServerOptions { head_timeout: HumanDuration::from_millis(50), ..ServerOptions::default() };
    let server = start(&door, options).await;
    let mut stream = server.connect().await;
    stream.write_all(b"POST /v1/track HTTP/1.1\r\nhost:").await.unwrap();
    assert_eq!(rest(&mut stream).await, "");
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_until_there_is_room() {
    let door = Fixture::new();
    let options = ServerOptions { max_connections: 1, ..ServerOptions::default() };
    let server = start(&door, options).await;
    let mut first = server.connect().await;
    first.write_all(call(false).as_bytes()).await.unwrap();
    let mut byte = [0];
    first.read_exact(&mut byte).await.unwrap();
    let mut second = server.connect().await;
    second.write_all(call(true).as_bytes()).await.unwrap();
    let waits = tokio::time::timeout(Duration::from_millis(50), second.read_exact(&mut byte)).await;
    assert!(waits.is_err(), "the first connection has the only place");
    drop(first);
    assert!(rest(&mut second).await.contains("success"));
}

#[tokio::test]
async fn stopping_lets_a_call_under_way_end_and_takes_no_more() {
    let door = Fixture::new();
    let server = start(&door, ServerOptions::default()).await;
    let mut stream = server.connect().await;
    let request = call(false);
    let (head, tail) = request.split_at(request.len() - 5);
    stream.write_all(head.as_bytes()).await.unwrap();
    // The call is under way once the door waits for its body.
    wait_until(|| door.bodies_being_read() == 1).await;
    server.stop.send(()).unwrap();
    stream.write_all(tail.as_bytes()).await.unwrap();
    assert!(rest(&mut stream).await.contains("success"), "and the connection is closed after it");
    assert!(tokio::time::timeout(PATIENCE, server.ended).await.unwrap().unwrap(), "all calls ended");
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn stopping_waits_no_longer_than_the_drain_time_out() {
    let door = Fixture::new();
    door.log_is(Mood::NeverAnswers);
    let options = ServerOptions { drain_timeout: HumanDuration::from_millis(50), ..ServerOptions::default() };
    let server = start(&door, options).await;
    let mut stream = server.connect().await;
    stream.write_all(call(false).as_bytes()).await.unwrap();
    wait_until(|| door.calls_under_way() == 1).await;
    server.stop.send(()).unwrap();
    assert!(!tokio::time::timeout(PATIENCE, server.ended).await.unwrap().unwrap(), "one call did not end");
}

async fn wait_until(condition: impl Fn() -> bool) {
    tokio::time::timeout(PATIENCE, async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the condition comes true");
}

/// A new certificate for `localhost`, in these files. Returns what a client has to know to trust it.
fn certify(directory: &Path) -> rustls::RootCertStore {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(directory.join("certificate.pem"), cert.pem()).unwrap();
    std::fs::write(directory.join("key.pem"), signing_key.serialize_pem()).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    roots
}

/// Calls over TLS as somebody who trusts these; the answer, or why there is no connection.
async fn call_over_tls(server: &Server, roots: rustls::RootCertStore) -> std::io::Result<String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let mut stream = connector.connect(name, server.connect().await).await?;
    stream.write_all(call(true).as_bytes()).await?;
    let mut answer = String::new();
    tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await.expect("the connection ends")?;
    Ok(answer)
}

#[tokio::test]
async fn over_tls_a_new_certificate_is_shown_without_a_restart_and_a_wrong_one_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name);
    let options = TlsOptions { certificate_file: Some(file("certificate.pem")), key_file: Some(file("key.pem")) };
    let old = certify(directory.path());
    let tls = Arc::new(load_tls(&options).unwrap().unwrap());
    let door = Fixture::new();
    let server = start_with(&door, ServerOptions::default(), Some(Arc::clone(&tls))).await;
    let answer = call_over_tls(&server, old.clone()).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert_eq!(door.events().len(), 1);
    assert!(!tls.reload().unwrap(), "nothing has changed");

    // A key that is another certificate's, no PEM, and no file: what was in force stays.
    let key = std::fs::read(file("key.pem")).unwrap();
    let new = certify(directory.path());
    let new_key = std::fs::read(file("key.pem")).unwrap();
    for (wrong, says) in
        [(Some(&key[..]), "can't be used"), (Some(b"no key"), "no private key"), (None, "can't be read")]
    {
        match wrong {
            Some(bytes) => std::fs::write(file("key.pem"), bytes).unwrap(),
            None => std::fs::remove_file(file("key.pem")).unwrap(),
        }
        let problem = tls.reload().unwrap_err();
        assert!(problem.to_string().contains(says), "{problem}");
        assert!(call_over_tls(&server, old.clone()).await.is_ok());
    }
    std::fs::write(file("key.pem"), new_key).unwrap();
    assert!(tls.reload().unwrap());
    assert!(call_over_tls(&server, old).await.is_err());
    assert!(call_over_tls(&server, new).await.unwrap().starts_with("HTTP/1.1 200 OK"));
}

#[tokio::test]
async fn who_does_not_speak_tls_or_does_not_finish_its_handshake_keeps_nobody_from_ending() {
    let directory = tempfile::tempdir().unwrap();
    certify(directory.path());
    let file = |name: &str| Some(directory.path().join(name));
    let options = TlsOptions { certificate_file: file("certificate.pem"), key_file: file("key.pem") };
    let tls = load_tls(&options).unwrap().map(Arc::new);
    let door = Fixture::new();
    let server = start_with(&door, ServerOptions::default(), tls).await;
    let mut plain = server.connect().await;
    plain.write_all(call(true).as_bytes()).await.unwrap();
    let mut told = Vec::new();
    tokio::time::timeout(PATIENCE, plain.read_to_end(&mut told)).await.expect("the connection ends").ok();
    assert!(!String::from_utf8_lossy(&told).contains("HTTP"), "{told:?}");
    let _silent = server.connect().await;
    server.stop.send(()).unwrap();
    assert!(tokio::time::timeout(PATIENCE, server.ended).await.expect("the server ends").unwrap());
    assert!(door.records().is_empty());
}

#[test]
fn a_certificate_without_its_key_is_refused_and_neither_is_plain_http() {
    assert!(load_tls(&TlsOptions::default()).unwrap().is_none());
    let directory = tempfile::tempdir().unwrap();
    certify(directory.path());
    let file = |name: &str| Some(directory.path().join(name));
    for (options, option) in [
        (TlsOptions { certificate_file: file("certificate.pem"), key_file: None }, "key_file"),
        (TlsOptions { certificate_file: None, key_file: file("key.pem") }, "certificate_file"),
        (TlsOptions { certificate_file: file("key.pem"), key_file: file("key.pem") }, "certificate_file"),
        (TlsOptions { certificate_file: file("certificate.pem"), key_file: file("certificate.pem") }, "key_file"),
        (TlsOptions { certificate_file: file("nowhere"), key_file: file("key.pem") }, "certificate_file"),
    ] {
        assert_eq!(load_tls(&options).unwrap_err().option, option, "{options:?}");
    }
}
