//! What the admin port says.

use std::net::SocketAddr;

use opentelemetry::metrics::MeterProvider as _;
use runtime::admin::{Admin, bind};
use runtime::host::StopToken;
use runtime::metrics::observe_process;
use runtime::readiness::Readiness;
use runtime::telemetry::{Identity, Telemetry};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::telemetry::options;

struct Served {
    address: SocketAddr,
    readiness: Readiness,
    telemetry: Telemetry,
    stop: StopToken,
}

async fn served() -> Served {
    let identity = Identity { service: "vuelve-test".into(), instance: "0".into() };
    let telemetry = Telemetry::build(&options(&[]), &identity).unwrap();
    let (readiness, stop) = (Readiness::new(), StopToken::new());
    let listener = bind("admin.listen", "127.0.0.1:0".parse().unwrap()).await.unwrap();
    let admin = Admin::new(listener, readiness.clone(), telemetry.metrics_page());
    let address = admin.address().unwrap();
    tokio::spawn(admin.serve(stop.clone()));
    Served { address, readiness, telemetry, stop }
}

impl Served {
    async fn get(&self, path: &str) -> (String, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split_ascii_whitespace().nth(1).unwrap().to_owned(), body.to_owned())
    }
}

#[tokio::test]
async fn a_process_is_ready_when_every_condition_is_met_and_tells_which_are_not() {
    let served = served().await;
    assert_eq!(served.get("/readyz").await.0, "200");

    let broker = served.readiness.condition("broker");
    let store = served.readiness.condition("store");
    store.met();
    let (status, body) = served.get("/readyz").await;
    assert_eq!(status, "503");
    assert_eq!(body, r#"{"conditions":{"broker":"starting","store":null},"draining":null,"notes":{},"ready":false}"#);

    broker.met();
    assert_eq!(served.get("/readyz").await.0, "200");
    store.not_met("Redis at 127.0.0.1:6379 does not answer");
    let (status, body) = served.get("/readyz").await;
    assert_eq!(status, "503");
    assert!(body.contains("Redis at 127.0.0.1:6379 does not answer"), "{body}");
    assert_eq!(served.readiness.report().missing(), "store: Redis at 127.0.0.1:6379 does not answer");

    store.met_although("its replica is away");
    let (status, body) = served.get("/readyz").await;
    assert_eq!((status.as_str(), body.contains(r#""notes":{"store":"its replica is away"}"#)), ("200", true), "{body}");
    store.met();
    assert!(served.get("/readyz").await.1.contains(r#""notes":{}"#));

    store.withdraw();
    assert_eq!(served.get("/readyz").await.0, "200");
}

#[tokio::test]
async fn a_draining_process_is_not_ready_but_alive() {
    let served = served().await;
    served.readiness.drain("SIGTERM");
    served.readiness.condition("broker").met();
    let (status, body) = served.get("/readyz").await;
    assert_eq!(status, "503");
    assert!(body.contains(r#""draining":"SIGTERM""#), "{body}");
    assert_eq!(served.get("/livez").await, ("200".into(), "ok\n".into()));
    served.stop.stop();
}

#[tokio::test]
async fn metrics_show_readiness_and_what_the_process_uses() {
    let served = served().await;
    observe_process(&served.telemetry.meter_provider().meter("test"), &served.readiness);
    served.readiness.condition("broker").not_met("away");
    let (status, body) = served.get("/metrics").await;
    assert_eq!(status, "200");
    for line in [
        "vuelve_readiness_condition{",
        "vuelve_condition=\"broker\"",
        "process_cpu_time_seconds_total",
        "process_memory_usage_bytes",
        "service_name=\"vuelve-test\"",
    ] {
        assert!(body.contains(line), "{line} in {body}");
    }
    assert!(body.lines().any(|line| line.starts_with("vuelve_ready{") && line.ends_with(" 0")), "{body}");
}

#[tokio::test]
async fn a_port_that_is_taken_is_told_with_its_key() {
    let served = served().await;
    let error = bind("admin.listen", served.address).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("admin.listen = {}: the port can't be opened; is another process using it?", served.address)
    );
}
