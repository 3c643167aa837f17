//! The process that is measured: one worker of a service of this benchmark, with the drivers and the settings that `vuelve run`
//! has. It says on its output what happens to it, a line of JSON each.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use kafka::{NoShell, Registry, WorkerOptions, WorkerReport, run_worker};
use schemas::{AvroSchema, Schemas};
use serde_json::{Value, json};
use store::{Memory, Redis, RedisOptions};
use stream::{Counts, HaltReason, Partition, Service, StateStore, WorkerSettings};
use tokio::signal::unix::{SignalKind, signal};

use crate::options::{Measured, Worker};
use crate::profile::{self, Profile};
use crate::reminders::{self, Reminders};
use crate::settings::Settings;
use crate::timers::WAIT_MS;

/// Schemas of this benchmark have ids that no registry comes to.
const FIRST_SCHEMA_ID: u32 = 1 << 30;
/// As `vuelve run` has them.
const BLOCKED_AFTER: Duration = Duration::from_millis(500);
const TOMBSTONE_RETENTION: Duration = Duration::from_hours(24);
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) fn run(arguments: &Worker) -> anyhow::Result<()> {
    let settings = Settings::load(&arguments.config, &arguments.set)?;
    match arguments.service {
        Measured::Profile => work::<Profile>(&settings, &()),
        Measured::Reminders => work::<Reminders>(&settings, &WAIT_MS),
    }
}

/// Makes the schemas of this benchmark known, which no registry has.
pub(crate) fn bind(schemas: &Schemas) -> anyhow::Result<()> {
    for ((dataset, schema), id) in own_schemas().into_iter().zip(FIRST_SCHEMA_ID..) {
        schemas.learn(id, schema.text())?;
        schemas.bind(dataset, id);
    }
    Ok(())
}

fn own_schemas() -> Vec<(&'static str, &'static AvroSchema)> {
    profile::schemas().into_iter().chain(reminders::schemas()).collect()
}

fn work<S: Service>(settings: &Settings, policy: &S::Policy) -> anyhow::Result<()>
where
    S::Policy: Clone + Send,
{
    let registry = Registry::new(settings.text("kafka", "registry_url")?, settings.timeout("request_timeout")?);
    let schemas = Schemas::new();
    registry.bind(settings.text("installation", "prefix")?, &schemas, false)?;
    bind(&schemas)?;
    let stop = stop_at_sigterm()?;
    let slot = settings.number("installation", "slot")?;
    std::thread::scope(|scope| {
        // As `vuelve run` names the slots of a process with several workers.
        let work_under = |number: i64| {
            let slot = if number == 0 { slot.to_string() } else { format!("{slot}.{number}") };
            let options = worker_options(settings, registry.clone(), slot)?;
            let mut store = open_store(settings, S::topology().service)?;
            let (schemas, policy, stop) = (&schemas, policy.clone(), &stop);
            let told = Told { worker: number, is_ready: AtomicBool::default() };
            anyhow::Ok(scope.spawn(move || {
                let stopped = || stop.load(Ordering::Relaxed);
                run_worker::<S>(&options, schemas, policy, store.as_mut(), &mut NoShell, &told, &stopped)
            }))
        };
        let workers: Vec<_> = (0..settings.number("kafka", "workers")?).map(work_under).collect::<Result<_, _>>()?;
        for worker in workers {
            worker.join().map_err(|_| anyhow::anyhow!("a worker panicked"))??;
        }
        Ok(())
    })
}

fn stop_at_sigterm() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&stop);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(async {
            if let Ok(mut terminated) = signal(SignalKind::terminate()) {
                terminated.recv().await;
            }
        });
        told.store(true, Ordering::Relaxed);
    })?;
    Ok(stop)
}

fn open_store(settings: &Settings, service: &str) -> anyhow::Result<Box<dyn StateStore + Send>> {
    if settings.text("store", "kind")? == "memory" {
        return Ok(Box::new(Memory::with_limit(settings.bytes("store", "memory_bytes")?)));
    }
    let prefix = settings.text("installation", "prefix")?;
    let mut redis = RedisOptions::new(settings.text("store", "url")?, prefix, service);
    redis.response_timeout = settings.duration("store", "request_timeout")?.as_std();
    let mut redis = Redis::new(redis)?;
    redis.check().context("Redis")?;
    Ok(Box::new(redis))
}

fn worker_options(settings: &Settings, registry: Registry, slot: String) -> anyhow::Result<WorkerOptions> {
    Ok(WorkerOptions {
        cluster: settings.cluster()?,
        slot,
        settings: WorkerSettings {
            commit_interval: settings.duration("kafka", "commit_interval")?,
            max_batch_records: usize::try_from(settings.number("kafka", "max_batch_records")?)?,
            max_batch_bytes: settings.bytes("kafka", "max_batch_bytes")?,
            cache_bytes: settings.bytes("store", "cache_bytes")?,
            ..WorkerSettings::default()
        },
        registry: Some(registry),
        drain_timeout: DRAIN_TIMEOUT,
        blocked_after: BLOCKED_AFTER,
        tombstone_retention: TOMBSTONE_RETENTION,
    })
}

/// Milliseconds since 1970, with their fractions.
pub(crate) fn now_ms() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64() * 1e3
}

/// Says what happens.
#[derive(Debug)]
struct Told {
    /// Which of the process.
    worker: i64,
    is_ready: AtomicBool,
}

fn say(what: &str, more: Value) {
    let mut line = json!({ "at_ms": now_ms(), "what": what });
    if let (Value::Object(line), Value::Object(more)) = (&mut line, more) {
        line.extend(more);
    }
    let mut output = std::io::stdout().lock();
    // Whoever reads it is gone where this fails.
    let _gone = writeln!(output, "{line}");
    let _gone = output.flush();
}

impl WorkerReport for Told {
    fn ready(&self, ready: bool, why: &str) {
        if self.is_ready.swap(ready, Ordering::Relaxed) != ready {
            say(if ready { "ready" } else { "not_ready" }, json!({ "why": why }));
        }
    }

    fn committed(&self, _service: &'static str, _counts: &Counts, _outputs: usize, _took: Duration) {}

    fn untold(&self, _service: &'static str, _partition: Partition, _untold: u64) {}

    fn aborted(&self, _service: &'static str, why: &str) {
        say("aborted", json!({ "why": why }));
    }

    fn taken_over(&self, _service: &'static str, partition: Partition, records: u64, took: Duration) {
        let took_ms = took.as_secs_f64() * 1e3;
        say(
            "taken_over",
            json!({ "worker": self.worker, "partition": partition, "records": records, "took_ms": took_ms }),
        );
    }

    fn given_up(&self, _service: &'static str, partition: Partition) {
        say("given_up", json!({ "worker": self.worker, "partition": partition }));
    }

    fn halted(&self, _service: &'static str, partition: Partition, reason: &HaltReason) {
        say("halted", json!({ "partition": partition, "why": reason.to_string() }));
    }
}
