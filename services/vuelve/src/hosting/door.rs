use std::borrow::Cow;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use domain::{HumanDuration, Timestamp};
use ingestion::mapping::MAX_CALL_BYTES;
use ingestion::shell::{
    Door, DoorSecrets, EventLog, Host as DoorHost, LogError, LogRecord, RecordHeaders, Recorder, Spool, SpoolState,
    SpooledLog, Tls, Webhooks, WriteKeys, load_tls, router, serve,
};
use kafka::{Appender, Header, KafkaFailure, NewRecord};
use runtime::config::{ByteSize, Config, GrpcOptions};
use runtime::grpc::GrpcServer;
use runtime::host::Host;
use runtime::readiness::Condition;
use stream::Dataset;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::sections::IngestionOptions;
use super::{Installation, Sections};

/// How long a call waits for room in the producer before it is told to come again: long enough for a burst.
const ROOM_TIMEOUT: Duration = Duration::from_millis(250);
/// Linux's number for it, on x86-64 and ARM.
const SIGXFSZ: i32 = 25;
/// How often the broker is asked whether it answers.
const ASK_EVERY: Duration = Duration::from_secs(2);

/// The door's log: an idempotent producer.
#[derive(Clone)]
struct KafkaLog {
    appender: Appender,
    installation: Installation,
}

impl EventLog for KafkaLog {
    async fn append(&self, records: Vec<LogRecord>) -> Result<(), LogError> {
        let (mut topic, mut headers) = (Last(None), Last(None));
        let topic_of = |dataset: &Dataset| Arc::from(self.installation.cluster.topic(dataset));
        let records: Vec<NewRecord> = records
            .into_iter()
            .map(|record| NewRecord {
                topic: topic.of(record.dataset, PartialEq::eq, topic_of),
                partition: None,
                key: record.key.map(String::into_bytes),
                value: Some(record.value),
                headers: headers.of(record.headers, Arc::ptr_eq, kafka_headers),
            })
            .collect();
        match self.appender.append(&records).await {
            Ok(_) => Ok(()),
            Err(KafkaFailure::Overloaded { .. }) => Err(LogError::Overloaded),
            Err(failure @ KafkaFailure::Unavailable { .. }) => {
                tracing::warn!(error = %failure, "records were not acknowledged");
                Err(LogError::Unavailable)
            }
            Err(failure) => Err(LogError::Refused(failure.to_string())),
        }
    }
}

/// What was made last, and of what: most of a call's records go to one topic, with the same headers.
struct Last<K, V>(Option<(K, V)>);

impl<K, V: Clone> Last<K, V> {
    /// What was made of the same last time, else what `make` makes of it now.
    fn of(&mut self, from: K, is_same: impl Fn(&K, &K) -> bool, make: impl FnOnce(&K) -> V) -> V {
        match &self.0 {
            Some((last, made)) if is_same(last, &from) => made.clone(),
            _ => {
                let made = make(&from);
                self.0 = Some((from, made.clone()));
                made
            }
        }
    }
}

/// A record's headers as the client takes them.
fn kafka_headers(headers: &RecordHeaders) -> Arc<[Header]> {
    let header = |(name, value): &(Cow<'static, str>, Bytes)| Header { name: name.clone(), value: value.clone() };
    headers.iter().map(header).collect()
}

/// The log itself, or with a spool before it.
enum DoorLog {
    Direct(Box<KafkaLog>),
    Spooled(SpooledLog<KafkaLog>),
}

impl EventLog for DoorLog {
    async fn append(&self, records: Vec<LogRecord>) -> Result<(), LogError> {
        match self {
            Self::Direct(log) => log.append(records).await,
            Self::Spooled(log) => log.append(records).await,
        }
    }
}

/// Time and chance for the door.
#[derive(Debug)]
struct SystemHost {
    began: Instant,
}

impl DoorHost for SystemHost {
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    fn random(&self) -> u128 {
        uuid::Uuid::new_v4().as_u128()
    }
}

/// Where a door listens.
#[derive(Clone, Copy, Debug)]
pub struct DoorAddresses {
    /// Over HTTP.
    pub http: SocketAddr,
    /// Over gRPC, if it does.
    pub grpc: Option<SocketAddr>,
}

/// Adds the door; returns the addresses at which it listens.
pub async fn add_door(host: &mut Host, config: &Config, installation: &Installation) -> anyhow::Result<DoorAddresses> {
    let options = config.get::<IngestionOptions>().door.clone();
    let variable = |name: &str| std::env::var(name).ok();
    let write_keys = WriteKeys::load(&options.write_keys, variable).map_err(all)?;
    let webhooks = Webhooks::load(&options.webhooks, variable).map_err(all)?;
    let tls = load_tls(&options.tls).map_err(|problem| all(vec![problem]))?.map(Arc::new);
    let (addresses, links) = (Sections::address_secret(config)?, Sections::keys(config)?);
    let secrets = DoorSecrets { write_keys, webhooks, addresses, links };
    let listener = TcpListener::bind(&options.listen)
        .await
        .with_context(|| format!("ingestion.door.listen: {} can't be opened", options.listen))?;
    let address = listener.local_addr()?;
    let grpc_listener = match options.grpc_listen {
        Some(listen) => Some(runtime::admin::bind("ingestion.door.grpc_listen", listen).await?),
        None => None,
    };
    let grpc = grpc_listener.as_ref().map(TcpListener::local_addr).transpose()?;
    let patience = options.append_deadline.as_std();
    let appender = Appender::new(&installation.cluster, "vuelve-door", patience)?.waiting_for_room(ROOM_TIMEOUT);
    let (asking, topic) = (appender.clone(), installation.cluster.topic(ingestion::RECEIVED));
    let ask = move || asking.check(&topic, patience);
    let condition = host.readiness().condition("the door");
    let log = KafkaLog { appender, installation: installation.clone() };
    let spool = &options.spool;
    let open = |directory: &PathBuf| Spool::open(directory, spool.max_bytes).context("ingestion.door.spool");
    let files = spool.directory.as_ref().map(open).transpose()?;
    // A file that may not grow is an error of that file, as on a full disk, and not the end of the process.
    let too_large = files.as_ref().map(|_| signal(SignalKind::from_raw(SIGXFSZ))).transpose()?;
    let spooled = files.map(|files| SpooledLog::new(log.clone(), files, spool.after.as_std()));
    let schemas = installation.schemas.clone();
    let keys_reload_interval = options.keys_reload_interval.as_std().max(Duration::from_millis(100));
    let watched = spooled.clone();
    let log = spooled.clone().map_or_else(|| DoorLog::Direct(Box::new(log)), DoorLog::Spooled);
    let door = Arc::new(Door::new(&options, secrets, schemas, log, Box::new(SystemHost { began: Instant::now() })));
    if let Some(listener) = grpc_listener {
        let mut grpc = config.get::<GrpcOptions>().clone();
        // A deadline that nobody asked for does not pass before the log has said why it does not answer.
        let answered = HumanDuration::from_millis(options.append_deadline.as_millis().saturating_add(1_000));
        grpc.default_deadline = grpc.default_deadline.max(answered);
        grpc.max_deadline = grpc.max_deadline.max(answered);
        grpc.max_message_bytes = grpc.max_message_bytes.min(ByteSize::from_bytes(MAX_CALL_BYTES as u64));
        let (known, door) = (Arc::clone(&door), Arc::clone(&door));
        let server = GrpcServer::new(&grpc, host.readiness().clone()).admitting(move |metadata| known.admits(metadata));
        let streams = grpc.max_concurrent_calls as usize;
        host.door("the door over gRPC", move |stop| {
            let stopping = stop.clone();
            let draining = move || {
                let stopping = stopping.clone();
                async move { stopping.stopped().await }
            };
            let recorder = Recorder::new(door, draining);
            server.service(|limit| proto::ingestion_server(recorder, streams, limit)).serve(listener, stop)
        });
    }
    host.door("the door", move |stop| async move {
        tracing::info!(%address, "the door is open");
        let _ignored = too_large;
        let mut failed = None;
        let shutdown = async {
            tokio::select! {
                () = stop.stopped() => {}
                () = reload(&door, tls.as_ref(), keys_reload_interval) => {}
                () = drain(spooled.as_ref()) => {}
                failure = watch(ask, || tell(watched.as_ref()), &condition, ASK_EVERY) => failed = Some(failure),
            }
        };
        if !serve(listener, router(Arc::clone(&door)), tls.as_deref(), &options.server, shutdown).await {
            tracing::warn!("some calls did not end in time");
        }
        failed.map_or(Ok(()), |failure| Err(failure.into()))
    });
    Ok(DoorAddresses { http: address, grpc })
}

/// Everything that is wrong with the door's keys, a line each.
fn all<P: std::fmt::Display>(problems: Vec<P>) -> anyhow::Error {
    let lines: Vec<String> = problems.into_iter().map(|problem| format!("ingestion.door.{problem}")).collect();
    anyhow::anyhow!(lines.join("\n"))
}

/// Brings what was spooled to the log; waits for ever where there is no spool.
async fn drain(spooled: Option<&SpooledLog<KafkaLog>>) {
    match spooled {
        Some(spooled) => spooled.drain().await,
        None => std::future::pending().await,
    }
}

/// What there is to say of the spool: whether calls are taken without the broker, and what waits.
fn tell(spooled: Option<&SpooledLog<KafkaLog>>) -> (bool, Option<String>) {
    match spooled.map(SpooledLog::state) {
        None => (false, None),
        Some(SpoolState::Idle) => (true, None),
        Some(SpoolState::Keeps { bytes }) => (true, Some(format!("{bytes} bytes wait in the spool"))),
        Some(SpoolState::Refuses) => (false, Some("the spool is full or can't be written".to_owned())),
    }
}

/// Looks at the files of the write keys, of the webhooks and of the certificate again and again: they are replaced
/// without a restart.
async fn reload<L: EventLog>(door: &Arc<Door<L>>, tls: Option<&Arc<Tls>>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        let (door, tls) = (Arc::clone(door), tls.cloned());
        let read = tokio::task::spawn_blocking(move || {
            let variable = |name: &str| std::env::var(name).ok();
            told("write keys", door.write_keys().reload(variable));
            told("webhooks' secrets and mappings", door.webhooks().reload(variable));
            if let Some(tls) = tls {
                told("certificate and its key", tls.reload().map_err(|problem| vec![problem]));
            }
        });
        // An error is a runtime that ends.
        let _ = read.await;
    }
}

/// Tells what came of looking at keys.
fn told<P: std::fmt::Display>(what: &str, read: Result<bool, Vec<P>>) {
    match read {
        Ok(false) => {}
        Ok(true) => tracing::info!("the {what} have changed"),
        Err(problems) => {
            for problem in problems {
                tracing::warn!(%problem, "the {what} stay as they were");
            }
        }
    }
}

/// Asks again and again whether the log can be written to, and keeps the condition by the answers. Returns with the failure
/// after which it never can by this producer.
async fn watch(
    ask: impl Fn() -> Result<(), KafkaFailure> + Send + Sync + 'static,
    tell: impl Fn() -> (bool, Option<String>),
    condition: &Condition,
    every: Duration,
) -> KafkaFailure {
    let ask = Arc::new(ask);
    loop {
        let asking = Arc::clone(&ask);
        match tokio::task::spawn_blocking(move || asking()).await {
            Ok(Ok(())) => match tell() {
                (_, None) => condition.met(),
                (_, Some(note)) => condition.met_although(note),
            },
            Ok(Err(failure @ KafkaFailure::ProducerFailed(_))) => {
                condition.not_met(failure.to_string());
                return failure;
            }
            Ok(Err(failure)) => match tell() {
                (true, note) => condition.met_although(format!("{failure}; {}", note.unwrap_or_default())),
                (false, None) => condition.not_met(failure.to_string()),
                (false, Some(note)) => condition.not_met(format!("{failure}; {note}")),
            },
            // It panicked, or the runtime ends.
            Err(error) => condition.not_met(error.to_string()),
        }
        tokio::time::sleep(every).await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by it")]

    use runtime::config::Sources;
    use runtime::readiness::Readiness;

    use super::*;

    #[test]
    fn what_is_made_of_the_same_as_just_before_is_not_made_again() {
        let (mut last, mut made) = (Last(None), Vec::new());
        let tens = [1, 1, 2, 1].map(|from| {
            last.of(from, PartialEq::eq, |from| {
                made.push(*from);
                from * 10
            })
        });
        assert_eq!((tens, &made[..]), ([10, 10, 20, 10], &[1, 2, 1][..]));
    }

    #[tokio::test]
    async fn more_than_the_producer_holds_is_told_as_too_much_and_not_as_a_broker_that_is_away() {
        let flags = vec!["kafka.bootstrap_servers=[\"127.0.0.1:1\"]".to_owned()];
        let sources = Sources { file: None, environment: Vec::new(), flags };
        let config = super::super::layout().load(&sources).unwrap();
        let installation = Installation::of(&config, "0");
        let appender = Appender::new(&installation.cluster, "test", Duration::from_secs(30)).unwrap();
        let log = KafkaLog { appender: appender.waiting_for_room(Duration::ZERO), installation };
        // 72 MB into a buffer of 64 MiB.
        let value = vec![0; 900_000].into();
        let record = LogRecord { dataset: ingestion::RECEIVED, key: None, value, headers: [].into() };
        assert_eq!(log.append(vec![record; 80]).await, Err(LogError::Overloaded));
    }

    #[tokio::test]
    async fn the_door_is_ready_while_its_broker_answers_and_ends_when_its_producer_has_failed_for_good() {
        let readiness = Readiness::new();
        let condition = readiness.condition("the door");
        // What readiness says at each question, which tells what came of the answer before.
        let said = Arc::new(parking_lot::Mutex::new(Vec::new()));
        let (seen, saying) = (readiness.clone(), Arc::clone(&said));
        let ask = move || {
            let mut said = saying.lock();
            said.push(seen.report().missing());
            match said.len() {
                1 | 3 => Ok(()),
                2 => Err(KafkaFailure::Overloaded { what: "asking".to_owned() }),
                _ => Err(KafkaFailure::ProducerFailed("fenced".to_owned())),
            }
        };
        let failure = watch(ask, || (false, None), &condition, Duration::from_millis(1)).await;
        assert!(failure.to_string().contains("nothing more: fenced"), "{failure}");
        assert_eq!(*said.lock(), ["the door: starting", "", "the door: asking: too much waits for the broker", ""]);
        assert!(!readiness.report().is_ready());
    }
}
