use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use domain::Timestamp;
use ingestion::shell::{Door, DoorSecrets, EventLog, Host as DoorHost, LogError, LogRecord, WriteKeys, router, serve};
use kafka::{Appender, Header, KafkaFailure, NewRecord};
use runtime::config::Config;
use runtime::host::Host;
use tokio::net::TcpListener;

use super::sections::IngestionOptions;
use super::{Installation, Sections};

/// The door's log: an idempotent producer.
struct KafkaLog {
    appender: Appender,
    installation: Installation,
}

impl EventLog for KafkaLog {
    async fn append(&self, records: Vec<LogRecord>) -> Result<(), LogError> {
        let records: Vec<NewRecord> = records
            .into_iter()
            .map(|record| NewRecord {
                topic: self.installation.cluster.topic(record.dataset),
                partition: None,
                key: record.key.map(String::into_bytes),
                value: Some(record.value.to_vec()),
                headers: record
                    .headers
                    .into_iter()
                    .map(|(name, value)| Header { name: name.to_owned(), value: value.to_vec() })
                    .collect(),
            })
            .collect();
        match self.appender.append(&records).await {
            Ok(_) => Ok(()),
            Err(failure @ KafkaFailure::Unavailable { .. }) => {
                tracing::warn!(error = %failure, "records were not acknowledged");
                Err(LogError::Unavailable)
            }
            Err(failure) => Err(LogError::Refused(failure.to_string())),
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

/// Adds the door; returns the address at which it listens.
pub async fn add_door(
    host: &mut Host,
    config: &Config,
    installation: &Installation,
) -> anyhow::Result<std::net::SocketAddr> {
    let options = config.get::<IngestionOptions>().door.clone();
    let write_keys = WriteKeys::load(&options.write_keys, |name| std::env::var(name).ok()).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(|problem| format!("ingestion.door.{problem}")).collect();
        anyhow::anyhow!(lines.join("\n"))
    })?;
    let secrets =
        DoorSecrets { write_keys, addresses: Sections::address_secret(config)?, links: Sections::keys(config)? };
    let listener = TcpListener::bind(&options.listen)
        .await
        .with_context(|| format!("ingestion.door.listen: {} can't be opened", options.listen))?;
    let address = listener.local_addr()?;
    let appender = Appender::new(&installation.cluster, "vuelve-door", options.append_deadline.as_std())?;
    let log = KafkaLog { appender, installation: installation.clone() };
    let schemas = installation.schemas.clone();
    let door = Arc::new(Door::new(&options, secrets, schemas, log, Box::new(SystemHost { began: Instant::now() })));
    host.door("the door", move |stop| async move {
        tracing::info!(%address, "the door is open");
        if !serve(listener, router(door), &options.server, async move { stop.stopped().await }).await {
            tracing::warn!("some calls did not end in time");
        }
        Ok(())
    });
    Ok(address)
}
