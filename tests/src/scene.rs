//! Two processes of each service on real parts, a clickstream that is replayed on them while something fails all along, and
//! what has to hold in the end.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use testkit::{Process, SmtpSink, TcpProxy};

use crate::checker;
use crate::clickstream::Stream;
use crate::installation::{Installation, State, smtp_sections};
use crate::result::CartRows;

/// The services that work in groups.
pub const WORKERS: [&str; 4] = ["journeys", "messaging", "resolver", "segmentation"];
/// How long a process that is asked to end may take.
pub const DRAIN: Duration = Duration::from_secs(40);

const START: Duration = Duration::from_mins(1);
/// How often it is looked whether all processes run.
const LOOK: Duration = Duration::from_millis(200);
const SIGKILL: i32 = 9;
/// What counts processes that ended by themselves.
pub const BY_ITSELF: &str = "ended by itself:";
const STARTED: &str = "started part=";

/// How often each fault went on, by its name.
pub type Counts = BTreeMap<String, usize>;

/// An installation, its processes, and whether the replay still goes on.
#[derive(Debug)]
pub struct Scene {
    /// The parts. The second process of each worker reaches Kafka through its proxy.
    pub installation: Installation,
    /// The mail server.
    pub sink: SmtpSink,
    /// Two of each worker, then the door.
    pub processes: Vec<Process>,
    /// Between the second process of each worker and Redis.
    pub redis_network: TcpProxy,
    over: AtomicBool,
}

/// What a run came to.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Events sent.
    pub events: usize,
    /// Messages asked for.
    pub requests: usize,
    /// Messages whose sending was cut off midway: nobody knows, so they are not sent again.
    pub unknown: usize,
    /// Decisions made.
    pub decisions: usize,
    /// States in Redis and in the folds.
    pub states: usize,
    /// The faults.
    pub faults: Counts,
    /// How long the replay took.
    pub seconds: f64,
}

impl Scene {
    /// Starts all, and waits until events are taken.
    pub fn set() -> anyhow::Result<Self> {
        let sink = SmtpSink::start()?;
        let sections = smtp_sections(&sink) + "[messaging]\nreplay_sends = true\nclaim_deadline = \"2s\"\n";
        let installation = Installation::start_with("replay", State::Redis, &sections)?;
        let redis = installation.redis.as_ref().context("there is no Redis")?;
        let redis_network = TcpProxy::start(redis.port())?;
        let mut processes = installation.run_each(&WORKERS, 0..1)?;
        let far = [
            format!("kafka.bootstrap_servers=[\"{}\"]", installation.kafka.proxied_bootstrap_servers()),
            format!("store.url=redis://{}", redis_network.address()),
        ];
        for service in WORKERS {
            processes.push(installation.run_with(&[service], 1, &far)?);
        }
        // A process that is refused its configuration would be missed by nobody.
        for process in &processes {
            process.wait_for_log(STARTED, START)?;
        }
        let door = installation.run(&["door"], 0)?;
        installation.wait_for_door(&door)?;
        processes.push(door);
        Ok(Self { installation, sink, processes, redis_network, over: AtomicBool::new(false) })
    }

    /// The replay has come to its end.
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    /// The processes that work in groups.
    pub fn workers(&self) -> &[Process] {
        &self.processes[..self.processes.len() - 1]
    }

    /// Replays while `faults` go on, and checks what came of it.
    pub fn is_exact_under(
        &self,
        name: &str,
        stream: &Stream,
        faults: impl FnOnce(&Self) -> anyhow::Result<Counts> + Send,
    ) -> anyhow::Result<Outcome> {
        let began = Instant::now();
        let (out, faults) = std::thread::scope(|scope| {
            let going_on = scope.spawn(|| faults(self));
            let supervising = scope.spawn(|| self.supervise());
            let out = self.installation.replay_as(stream.format, &stream.file, name);
            self.over.store(true, Ordering::SeqCst);
            (out, going_on.join().and_then(|faults| Ok((faults, supervising.join()?))))
        });
        let (faults, ended) = faults.map_err(|_| anyhow::anyhow!("the faults panicked"))?;
        let mut faults = faults.context("a fault could not be made")?;
        faults.extend(ended?);
        println!("{name}: {faults:?}");
        let exact = out.and_then(|out| CartRows::read(&out)?.compare(&stream.expected));
        if exact.is_err() {
            for process in &self.processes {
                println!("{} until the end: {}", process.name(), process.log());
            }
        }
        let seconds = began.elapsed().as_secs_f64();
        exact?;
        let outcome = Outcome { events: stream.events, faults, seconds, ..self.check(stream)? };
        println!("{name}: {outcome:?}");
        Ok(outcome)
    }

    /// Starts a process again that ended by itself, as its host would, and counts it.
    fn supervise(&self) -> anyhow::Result<Counts> {
        let mut counts = Counts::new();
        while !self.is_over() {
            for process in &self.processes {
                // Who is killed is started again by who killed it.
                let status = process.ended()?.filter(|status| !status.success() && status.signal() != Some(SIGKILL));
                if let Some(status) = status {
                    println!("{} ended by itself with {status}: {}", process.name(), process.log());
                    *counts.entry(format!("{BY_ITSELF} {}", process.name())).or_default() += 1;
                    process.restart()?;
                }
            }
            std::thread::sleep(LOOK);
        }
        Ok(counts)
    }

    fn check(&self, stream: &Stream) -> anyhow::Result<Outcome> {
        let installation = &self.installation;
        let states = checker::all_is_done_and_redis_equals_the_fold(installation, || self.take_over())?;
        checker::nothing_was_dead_lettered(installation)?;
        checker::events_are_in_order(installation, &stream.sent)?;
        checker::requests_are_in_order(installation)?;
        let decisions = checker::decisions_are_in_order(installation)?;
        let changes = checker::segment_changes_are_in_order(installation)?;
        ensure!(changes > 0, "nobody entered a segment");
        let outcomes = checker::every_request_ended_once(installation, &self.sink)?;
        let unknown = outcomes.get("unknown").copied().unwrap_or_default();
        Ok(Outcome { requests: outcomes.values().sum(), unknown, decisions, states, ..Outcome::default() })
    }

    /// Every worker ends in order and starts again.
    fn take_over(&self) -> anyhow::Result<()> {
        for process in self.workers() {
            process.term(DRAIN)?;
            process.restart()?;
        }
        Ok(())
    }
}
