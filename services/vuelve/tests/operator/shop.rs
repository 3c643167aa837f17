//! A shop in this process: broker, door, resolver, journeys and messaging, with a channel that takes every message.

use std::net::SocketAddr;
use std::pin::Pin;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::{BootTime, Timestamp};
use kafka::{Appender, Header, NewRecord};
use messaging::{Attempt, Completion, Email};
use runtime::config::HostOptions;
use runtime::host::{Exit, Host, Signal, Signals};
use runtime::readiness::Readiness;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use vuelve::embedded::Embedded;
use vuelve::hosting::{self, Channel, Installation, Views};
use vuelve::{definition_topic, folders};

/// What whoever may erase over gRPC sends.
pub(crate) const PRIVACY_TOKEN: &str = "may-erase-and-nothing-else";
pub(crate) const PARTITIONS: u32 = 2;
const SOON: Duration = Duration::from_secs(30);

pub(crate) struct Shop {
    pub(crate) installation: Installation,
    pub(crate) embedded: Embedded,
    pub(crate) door: String,
    pub(crate) grpc: SocketAddr,
    pub(crate) door_grpc: SocketAddr,
    signals: mpsc::Sender<Signal>,
    running: JoinHandle<Exit>,
    _secrets: tempfile::TempDir,
}

struct TakesAll;

impl Channel for TakesAll {
    fn capacity(&self) -> usize {
        4
    }

    fn send(&self, email: Email, _claimed_at: BootTime) -> Pin<Box<dyn Future<Output = Completion> + Send + '_>> {
        Box::pin(async move { Completion::new(email.due_at, Attempt::Sent) })
    }
}

impl Shop {
    /// Opens a shop with one journey.
    pub(crate) async fn open(journey: &str) -> Self {
        Self::open_with(journey, Arc::new(TakesAll)).await
    }

    /// Opens a shop with one journey, whose messages leave by `channel`.
    pub(crate) async fn open_with(journey: &str, channel: Arc<dyn Channel>) -> Self {
        let secrets = tempfile::tempdir().unwrap();
        let token = secrets.path().join("privacy-token");
        std::fs::write(&token, PRIVACY_TOKEN).unwrap();
        let settings = vec![
            "ingestion.door.grpc_listen=127.0.0.1:0".to_owned(),
            "segmentation.erasures_every=200ms".to_owned(),
            format!("grpc.privacy_token_file={}", token.display()),
        ];
        let embedded = Embedded::start(256 << 20, PARTITIONS, settings).await.unwrap();
        let config = &embedded.config;
        let installation = Installation::of(config, "0");
        installation.create(1, Duration::from_secs(10)).await.unwrap();
        let mut host = Host::new(config.get::<HostOptions>(), Readiness::new());
        let door = hosting::add_door(&mut host, config, &installation).await.unwrap();
        hosting::add_resolver(&mut host, config, &installation).await.unwrap();
        let views = Views {
            segmentation: Some(hosting::add_segmentation(&mut host, config, &installation).await.unwrap()),
            journeys: Some(hosting::add_journeys(&mut host, config, &installation).await.unwrap()),
        };
        let grpc = hosting::add_lookups(&mut host, config, &installation, views).await.unwrap().unwrap();
        let settings = messaging::Settings::default();
        hosting::add_messaging(&mut host, config, &installation, settings, channel).await.unwrap();
        let (signals, hand) = Signals::by_hand();
        let running = tokio::spawn(host.run(hand));

        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("preset.yaml"), "preset: mine\nextends: basic\n").unwrap();
        std::fs::write(folder.path().join("journey.yaml"), journey).unwrap();
        let records = definition_topic::records(&folders::load(folder.path()).unwrap(), 0);
        let offset = definition_topic::write(&installation, &records, SOON).await.unwrap();
        let place = installation.clone();
        let services = definition_topic::followers(&records);
        let in_force = move || definition_topic::wait_until_in_force(&place, &services, offset, SOON);
        tokio::task::spawn_blocking(in_force).await.unwrap().unwrap();
        let (door, door_grpc) = (format!("http://{}", door.http), door.grpc.unwrap());
        Self { installation, embedded, door, grpc, door_grpc, signals, running, _secrets: secrets }
    }

    /// Posts a call to the door.
    pub(crate) async fn post(&self, path: &str, body: String) {
        let url = format!("{}{path}?writeKey={}", self.door, self.embedded.write_key);
        let post = move || ureq::post(&url).content_type("application/json").send(body).unwrap().status().as_u16();
        assert_eq!(tokio::task::spawn_blocking(post).await.unwrap(), 200);
    }

    pub(crate) async fn append(&self, dataset: &str, key: &str, value: &[u8], headers: &[(&str, &str)]) {
        let appender = Appender::new(&self.installation.cluster, "test", SOON).unwrap();
        let header = |(name, value): &(&str, &str)| Header {
            name: (*name).to_owned().into(),
            value: value.as_bytes().to_vec().into(),
        };
        let record = NewRecord {
            topic: self.installation.cluster.topic(dataset).into(),
            partition: None,
            key: Some(key.as_bytes().to_vec()),
            value: Some(value.to_vec().into()),
            headers: headers.iter().map(header).collect(),
        };
        appender.append(&[record]).await.unwrap();
    }

    /// Runs the binary on this shop.
    pub(crate) async fn vuelve(&self, arguments: &[&str]) -> Told {
        let mut command = self.command(arguments);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        output.into()
    }

    /// The binary on this shop.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vuelve"));
        command.args(arguments).env_remove("VUELVE_CONFIG");
        let set = [
            format!("kafka.bootstrap_servers=[\"{}\"]", self.embedded.broker.bootstrap_servers()),
            format!("kafka.registry_url={}", self.embedded.broker.registry_url().unwrap()),
            format!("installation.partitions={PARTITIONS}"),
        ];
        for key in set {
            command.args(["--set", &key]);
        }
        command
    }

    /// Asks again until the answer is there.
    pub(crate) async fn until<T>(&self, what: &str, mut ask: impl AsyncFnMut(&Self) -> Option<T>) -> T {
        let deadline = Instant::now() + SOON;
        loop {
            if let Some(answer) = ask(self).await {
                return answer;
            }
            assert!(Instant::now() < deadline, "{what} did not come");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Every record of a topic, decoded.
    pub(crate) async fn all<T: schemas::Contract + Send>(&self, dataset: &'static str) -> Vec<T> {
        let installation = self.installation.clone();
        let read = move || {
            let mut all = Vec::new();
            let topic = installation.cluster.topic(dataset);
            kafka::read_topic(&installation.cluster, &topic, SOON, |record| {
                all.extend(record.value.and_then(|value| installation.decode(&value).unwrap()));
                true
            })
            .unwrap();
            all
        };
        tokio::task::spawn_blocking(read).await.unwrap()
    }

    pub(crate) async fn close(self) {
        self.signals.send(Signal::Terminate).await.unwrap();
        assert_eq!(self.running.await.unwrap(), Exit::Drained(Some(Signal::Terminate)));
        self.embedded.broker.shutdown().await;
    }
}

/// What a command said.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Told {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// A `track` call of a customer, now.
pub(crate) fn track(customer: &str, event: &str) -> String {
    let at = jiff::Timestamp::now();
    serde_json::json!({
        "event": event,
        "userId": customer,
        "messageId": format!("{customer}-{event}-{at}"),
        "timestamp": at.to_string(),
        "properties": { "cart_id": "cart-1", "product_id": "p-1" },
        "context": { "traits": { "email": format!("{customer}@example.com"), "firstName": "Ana" } },
    })
    .to_string()
}

pub(crate) fn now() -> Timestamp {
    Timestamp::from_millis(jiff::Timestamp::now().as_millisecond())
}
