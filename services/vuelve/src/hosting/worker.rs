use std::sync::Arc;
use std::time::Duration;

use domain::HumanDuration;
use ingestion::Resolver;
use journeys::Journeys;
use kafka::{NoShell, Shell, WorkerOptions, run_worker};
use messaging::Messaging;
use runtime::config::{Config, InstallationOptions, KafkaOptions, StoreKind, StoreOptions};
use runtime::host::Host;
use store::{Lookups, Memory, Redis, RedisOptions};
use stream::{Service, StateStore, TimeMode, WorkerSettings};

use super::report::Report;
use super::sections::IngestionOptions;
use super::shell::{Channel, SideEffects};
use super::{Installation, Sections};

/// How long an open transaction may hold up a takeover before its owner is looked for.
const BLOCKED_AFTER: Duration = Duration::from_millis(500);
/// `delete.retention.ms` of the changelogs.
const TOMBSTONE_RETENTION: Duration = Duration::from_hours(24);

/// Adds the resolver's worker.
pub async fn add_resolver(host: &mut Host, config: &Config, installation: &Installation) -> anyhow::Result<()> {
    let mut policy = config.get::<IngestionOptions>().resolver.clone();
    policy.partitions = installation.cluster.partitions;
    add_worker::<Resolver>(host, config, installation, policy, NoShell).await.map(drop)
}

/// Adds the worker of journeys; returns what its lookups read from.
pub async fn add_journeys(
    host: &mut Host,
    config: &Config,
    installation: &Installation,
) -> anyhow::Result<Arc<dyn Lookups>> {
    let policy = journeys::Policy::new(Sections::journeys(config, installation.replay)?);
    add_worker::<Journeys>(host, config, installation, policy, NoShell).await
}

/// Adds messaging's worker, which sends by `channel`.
pub async fn add_messaging(
    host: &mut Host,
    config: &Config,
    installation: &Installation,
    settings: messaging::Settings,
    channel: Arc<dyn Channel>,
) -> anyhow::Result<Arc<dyn Lookups>> {
    let policy = messaging::Policy::new(settings, Sections::address_secret(config)?);
    add_worker::<Messaging>(host, config, installation, policy, SideEffects::new(channel)).await
}

/// A worker on a thread of its own, with the store that the configuration names.
async fn add_worker<S: Service>(
    host: &mut Host,
    config: &Config,
    installation: &Installation,
    policy: S::Policy,
    mut shell: impl Shell<S> + 'static,
) -> anyhow::Result<Arc<dyn Lookups>> {
    let service = S::topology().service;
    let name = format!("{service} worker");
    let report = Report::new(host.readiness().condition(&name));
    let options = worker_options(config, installation);
    let schemas = installation.schemas.clone();
    let (mut store, lookups) = open_store(config, service).await?;
    host.thread(&name, move |stop| {
        run_worker::<S>(&options, &schemas, policy, store.as_mut(), &mut shell, &report, &|| stop.is_stopped())?;
        Ok(())
    });
    Ok(lookups)
}

async fn open_store(config: &Config, service: &str) -> anyhow::Result<(Box<dyn StateStore + Send>, Arc<dyn Lookups>)> {
    let options: &StoreOptions = config.get();
    match options.kind {
        StoreKind::Memory => {
            let memory = Memory::with_limit(options.memory_bytes.as_usize());
            let lookups = memory.lookups();
            Ok((Box::new(memory), Arc::new(lookups)))
        }
        StoreKind::Redis => {
            let prefix = config.get::<InstallationOptions>().prefix.as_str();
            let mut redis = RedisOptions::new(options.url.as_str(), prefix, service);
            redis.user.clone_from(&options.user);
            redis.password = options.password.as_ref().map(|password| password.expose().to_owned());
            redis.response_timeout = options.request_timeout.as_std();
            redis.lookup_connections = usize::from(options.connections);
            let mut redis = Redis::new(redis)?;
            // It waits for an answer, and not on a thread that others need.
            let redis = tokio::task::spawn_blocking(move || redis.check().map(|_| redis)).await??;
            let lookups = redis.lookups();
            Ok((Box::new(redis), Arc::new(lookups)))
        }
    }
}

fn worker_options(config: &Config, installation: &Installation) -> WorkerOptions {
    let kafka: &KafkaOptions = config.get();
    WorkerOptions {
        cluster: installation.cluster.clone(),
        slot: installation.slot.clone(),
        settings: WorkerSettings {
            time_mode: if installation.replay { TimeMode::Replay } else { TimeMode::Live },
            feature_level: config.get::<InstallationOptions>().feature_level as i32,
            commit_interval: kafka.commit_interval,
            max_batch_records: kafka.max_batch_records as usize,
            max_batch_bytes: kafka.max_batch_bytes.as_usize(),
            // A replay waits for the positions to come to the ends.
            header_refresh: HumanDuration::from_millis(if installation.replay { 250 } else { 10_000 }),
            skip: kafka.skip.clone(),
            cache_bytes: config.get::<StoreOptions>().cache_bytes.as_usize(),
            ..WorkerSettings::default()
        },
        registry: Some(installation.registry.clone()),
        drain_timeout: Duration::from_secs(10),
        blocked_after: BLOCKED_AFTER,
        tombstone_retention: TOMBSTONE_RETENTION,
    }
}
