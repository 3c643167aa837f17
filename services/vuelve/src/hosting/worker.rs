use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use domain::HumanDuration;
use ingestion::Resolver;
use journeys::Journeys;
use kafka::{NoShell, Shell, WorkerOptions, run_worker};
use messaging::Messaging;
use runtime::config::{Config, InstallationOptions, KafkaOptions, StoreKind, StoreOptions};
use runtime::host::Host;
use segmentation::Segmentation;
use store::{Lookups, Memory, Redis, RedisOptions};
use stream::{Service, State as _, StateStore, TimeMode, WorkerSettings};

use super::chore::Owners;
use super::erasing::Erasing;
use super::learning::Learning;
use super::report::Report;
use super::sections::{IngestionOptions, SegmentationOptions};
use super::shell::{Channel, SideEffects};
use super::{Installation, Sections, admitting};

/// How long an open transaction may hold up a takeover before its owner is looked for.
const BLOCKED_AFTER: Duration = Duration::from_millis(500);
/// `delete.retention.ms` of the changelogs.
const TOMBSTONE_RETENTION: Duration = Duration::from_hours(24);

/// Adds the resolver's worker.
pub async fn add_resolver(host: &mut Host, config: &Config, installation: &Installation) -> anyhow::Result<()> {
    let mut policy = config.get::<IngestionOptions>().resolver.clone();
    policy.partitions = installation.cluster.partitions;
    add_workers::<Resolver, _>(host, config, installation, || Ok((policy.clone(), NoShell))).await.map(drop)
}

/// Adds the worker of segmentation, and beside it what learns quintiles from time to time, and what sees erasures through;
/// returns what its lookups read from.
pub async fn add_segmentation(
    host: &mut Host,
    config: &Config,
    installation: &Installation,
) -> anyhow::Result<Arc<dyn Lookups>> {
    let with = || {
        let policy = segmentation::Policy::new(Sections::time_zones(config)?, Sections::address_secret(config)?);
        Ok((policy.of(installation.cluster.partitions), NoShell))
    };
    let Workers { lookups, owners } = add_workers::<Segmentation, _>(host, config, installation, with).await?;
    let SegmentationOptions { quintiles_every, erasures_every } = *config.get();
    let timeout = config.get::<KafkaOptions>().request_timeout.as_std();
    let beside = installation.clone();
    admitting::add(host, installation, owners.clone(), timeout);
    Learning { installation: beside.clone(), owners: owners.clone(), every: quintiles_every, timeout }.add(host);
    let stores = stores_outside(config).await?;
    Erasing { installation: beside, owners, stores, every: erasures_every, timeout }.add(host);
    Ok(lookups)
}

/// What all services' states are read from where they lie outside of their processes, by the services' names.
async fn stores_outside(config: &Config) -> anyhow::Result<HashMap<String, Arc<dyn Lookups>>> {
    if config.get::<StoreOptions>().kind != StoreKind::Redis {
        return Ok(HashMap::new());
    }
    let indexes = [
        (Resolver::topology().service, <Resolver as Service>::State::INDEX),
        (Segmentation::topology().service, <Segmentation as Service>::State::INDEX),
        (Journeys::topology().service, <Journeys as Service>::State::INDEX),
        (Messaging::topology().service, <Messaging as Service>::State::INDEX),
    ];
    let mut stores = HashMap::new();
    for (service, index) in indexes {
        stores.insert(service.to_owned(), Store::open(config, service, index).await?.lookups());
    }
    Ok(stores)
}

/// Adds the worker of journeys; returns what its lookups read from.
pub async fn add_journeys(
    host: &mut Host,
    config: &Config,
    installation: &Installation,
) -> anyhow::Result<Arc<dyn Lookups>> {
    let with = || Ok((journeys::Policy::new(Sections::journeys(config, installation.replay)?), NoShell));
    Ok(add_workers::<Journeys, _>(host, config, installation, with).await?.lookups)
}

/// Adds messaging's worker, which sends by `channel`.
pub async fn add_messaging(
    host: &mut Host,
    config: &Config,
    installation: &Installation,
    settings: messaging::Settings,
    channel: Arc<dyn Channel>,
) -> anyhow::Result<Arc<dyn Lookups>> {
    let workers = config.get::<KafkaOptions>().workers;
    let with = || {
        let policy = messaging::Policy::new(settings.clone(), Sections::address_secret(config)?);
        Ok((policy, SideEffects::new(Arc::clone(&channel), usize::from(workers))))
    };
    Ok(add_workers::<Messaging, _>(host, config, installation, with).await?.lookups)
}

/// A service's workers.
struct Workers {
    /// What their lookups read from.
    lookups: Arc<dyn Lookups>,
    owners: Owners,
}

/// The service's workers, each on a thread of its own and under a slot of its own, with handles of the store that the
/// configuration names; each is made `with` a policy and a shell.
async fn add_workers<S: Service, H: Shell<S> + 'static>(
    host: &mut Host,
    config: &Config,
    installation: &Installation,
    with: impl Fn() -> anyhow::Result<(S::Policy, H)>,
) -> anyhow::Result<Workers> {
    let service = S::topology().service;
    let store = Store::open(config, service, S::State::INDEX).await?;
    let mut owners = Vec::new();
    for number in 0..config.get::<KafkaOptions>().workers {
        let (name, slot) = match number {
            // The first has the process's slot: so that more of them can be asked for, and fewer again.
            0 => (format!("{service} worker"), installation.slot.clone()),
            _ => (format!("{service} worker {number}"), format!("{}.{number}", installation.slot)),
        };
        let report = Report::new(host.readiness().condition(&name));
        owners.push(report.has_first());
        let options = worker_options(config, installation, slot);
        let schemas = installation.schemas.clone();
        let (policy, mut shell) = with()?;
        let mut store = store.handle();
        host.thread(&name, move |stop| {
            run_worker::<S>(&options, &schemas, policy, store.as_mut(), &mut shell, &report, &|| stop.is_stopped())?;
            Ok(())
        });
    }
    Ok(Workers { lookups: store.lookups(), owners })
}

/// The store of a service.
enum Store {
    Memory(Memory),
    Redis(Box<Redis>),
}

impl Store {
    async fn open(config: &Config, service: &str, index: u32) -> anyhow::Result<Self> {
        let options: &StoreOptions = config.get();
        match options.kind {
            StoreKind::Memory => Ok(Self::Memory(Memory::with_limit(options.memory_bytes.as_usize()))),
            StoreKind::Redis => {
                let prefix = config.get::<InstallationOptions>().prefix.as_str();
                let mut redis = RedisOptions::new(options.url.as_str(), prefix, service);
                redis.index = index;
                redis.user.clone_from(&options.user);
                redis.password = options.password.as_ref().map(|password| password.expose().to_owned());
                redis.response_timeout = options.request_timeout.as_std();
                redis.lookup_connections = usize::from(options.connections);
                let mut redis = Redis::new(redis)?;
                // It waits for an answer, and not on a thread that others need.
                let redis = tokio::task::spawn_blocking(move || redis.check().map(|_| redis)).await??;
                Ok(Self::Redis(Box::new(redis)))
            }
        }
    }

    fn handle(&self) -> Box<dyn StateStore + Send> {
        match self {
            Self::Memory(memory) => Box::new(memory.clone()),
            Self::Redis(redis) => redis.clone(),
        }
    }

    fn lookups(&self) -> Arc<dyn Lookups> {
        match self {
            Self::Memory(memory) => Arc::new(memory.lookups()),
            Self::Redis(redis) => Arc::new(redis.lookups()),
        }
    }
}

fn worker_options(config: &Config, installation: &Installation, slot: String) -> WorkerOptions {
    let kafka: &KafkaOptions = config.get();
    WorkerOptions {
        cluster: installation.cluster.clone(),
        slot,
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
