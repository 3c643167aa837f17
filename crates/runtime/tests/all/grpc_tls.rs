//! What callers of the gRPC server meet where it has certificates.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use runtime::config::{Config, GrpcOptions, Sources, layout};
use runtime::grpc::GrpcServer;
use runtime::host::StopToken;
use runtime::readiness::Readiness;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

const PATIENCE: Duration = Duration::from_secs(30);

/// Somebody with a certificate that only itself vouches for.
struct Party {
    certified: rcgen::CertifiedKey<rcgen::KeyPair>,
}

impl Party {
    fn new() -> Self {
        Self { certified: rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap() }
    }

    fn write(&self, directory: &Path, name: &str) {
        std::fs::write(directory.join(format!("{name}.pem")), self.certified.cert.pem()).unwrap();
        std::fs::write(directory.join(format!("{name}-key.pem")), self.certified.signing_key.serialize_pem()).unwrap();
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.certified.cert.der().clone()).unwrap();
        roots
    }

    fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.certified.signing_key.serialize_pem().as_bytes()).unwrap()
    }
}

struct Server {
    address: SocketAddr,
    stop: StopToken,
    serving: JoinHandle<anyhow::Result<()>>,
}

/// With the certificate `server.pem` of a directory, and where clients are asked for theirs, `client.pem`.
fn config(directory: &Path, asks_clients: bool) -> Config {
    let file = |name: &str| directory.join(name).display().to_string();
    let mut flags = vec![
        format!("grpc.tls.certificate_file={}", file("server.pem")),
        format!("grpc.tls.key_file={}", file("server-key.pem")),
        "grpc.tls.reload_interval=10ms".to_owned(),
    ];
    if asks_clients {
        flags.push(format!("grpc.tls.client_ca_file={}", file("client.pem")));
    }
    layout().load(&Sources { flags, ..Sources::default() }).unwrap()
}

async fn server(config: &Config) -> Server {
    let (readiness, stop) = (Readiness::new(), StopToken::new());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = GrpcServer::new(config.get::<GrpcOptions>(), readiness);
    Server { address, serving: tokio::spawn(server.serve(listener, stop.clone())), stop }
}

impl Server {
    /// Asks for health, as somebody who trusts `server` and shows the certificate of `client`.
    async fn ask(&self, server: &Party, client: Option<&Party>) -> Result<(), String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.unwrap().with_root_certificates(server.roots());
        let mut config = match client {
            None => config.with_no_client_auth(),
            Some(client) => {
                config.with_client_auth_cert(vec![client.certified.cert.der().clone()], client.key()).unwrap()
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        let (connector, address) = (TlsConnector::from(Arc::new(config)), self.address);
        let connect = tower::service_fn(move |_| {
            let connector = connector.clone();
            async move {
                let name = ServerName::try_from("localhost").unwrap();
                let stream = connector.connect(name, TcpStream::connect(address).await?).await?;
                Ok::<_, io::Error>(TokioIo::new(stream))
            }
        });
        let ask = async {
            let endpoint = Endpoint::from_static("http://localhost");
            let channel = endpoint.connect_with_connector(connect).await.map_err(|error| error.to_string())?;
            let told = HealthClient::new(channel).check(HealthCheckRequest::default()).await;
            told.map(drop).map_err(|status| status.to_string())
        };
        tokio::time::timeout(PATIENCE, ask).await.expect("it is answered or refused")
    }

    async fn end(self) {
        self.stop.stop();
        self.serving.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn who_has_no_certificate_of_the_clients_authority_is_not_let_in() {
    let directory = tempfile::tempdir().unwrap();
    let (ours, client, stranger) = (Party::new(), Party::new(), Party::new());
    ours.write(directory.path(), "server");
    client.write(directory.path(), "client");
    let server = server(&config(directory.path(), true)).await;
    assert_eq!(server.ask(&ours, Some(&client)).await, Ok(()));
    assert!(server.ask(&ours, None).await.is_err());
    assert!(server.ask(&ours, Some(&stranger)).await.is_err());
    assert!(server.ask(&stranger, Some(&client)).await.is_err(), "the client knows whom it asks");
    // Without TLS nothing is answered at all.
    let plain = Endpoint::from_shared(format!("http://{}", server.address)).unwrap().connect().await;
    if let Ok(channel) = plain {
        assert!(HealthClient::new(channel).check(HealthCheckRequest::default()).await.is_err());
    }
    server.end().await;
}

#[tokio::test]
async fn certificates_are_replaced_without_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let (old, new) = (Party::new(), Party::new());
    old.write(directory.path(), "server");
    let server = server(&config(directory.path(), false)).await;
    assert_eq!(server.ask(&old, None).await, Ok(()));
    assert!(server.ask(&new, None).await.is_err());
    new.write(directory.path(), "server");
    let shown = async {
        while server.ask(&new, None).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, shown).await.expect("the new one is shown");
    assert!(server.ask(&old, None).await.is_err());
    server.end().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_certificate_is_told_by_its_key_and_its_file() {
    let directory = tempfile::tempdir().unwrap();
    Party::new().write(directory.path(), "server");
    let told = async |asks_clients| {
        let server = server(&config(directory.path(), asks_clients)).await;
        format!("{:#}", server.serving.await.unwrap().unwrap_err())
    };
    let file = |name: &str| directory.path().join(name).display().to_string();
    let missing = told(true).await;
    assert!(missing.contains(&format!("tls.client_ca_file: {} can't be read", file("client.pem"))), "{missing}");
    std::fs::write(directory.path().join("client.pem"), "nothing").unwrap();
    let empty = told(true).await;
    assert!(empty.contains(&format!("tls.client_ca_file: {}: it holds no certificate", file("client.pem"))), "{empty}");
    std::fs::write(directory.path().join("server-key.pem"), "nothing").unwrap();
    let no_key = told(false).await;
    assert!(no_key.contains(&format!("tls.key_file: {}: it holds no private key", file("server-key.pem"))), "{no_key}");
}

#[test]
fn a_port_that_asks_clients_for_certificates_may_be_open_to_the_network() {
    let open = |more: &[&str]| {
        let flags = [&["grpc.listen=0.0.0.0:9601"], more].concat().into_iter().map(str::to_owned).collect();
        layout().load(&Sources { flags, ..Sources::default() }).is_ok()
    };
    assert!(!open(&[]));
    let certificate = ["grpc.tls.certificate_file=/c.pem", "grpc.tls.key_file=/k.pem"];
    assert!(!open(&certificate), "a certificate of ours says nothing of who asks");
    assert!(open(&[&certificate[..], &["grpc.tls.client_ca_file=/ca.pem"]].concat()));
}
