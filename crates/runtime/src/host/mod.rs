//! Runs the parts of a process, and ends them in order.
//!
//! Wanted properties:
//! - nothing is restarted in silence: a part that fails, panics or ends by itself ends the process, with its name;
//! - nothing stands still in silence: nor does a thread that is stuck in a call, as a client library's that never returns;
//! - the order of the end: readiness off, a pause for load balancers, doors, workers, observers (the admin port is the
//!   last to go, so that the drain can be watched);
//! - the end has a deadline, and a second signal ends the process at once.

mod exit;
mod part;
mod signals;
mod stalls;
mod stop;

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout_at};

pub use exit::Exit;
pub use signals::{Signal, Signals, ignores_hang_up};
pub use stop::StopToken;

use crate::config::HostOptions;
use crate::readiness::Readiness;
use part::{Ended, Part, Running, Stage};
use stalls::Stalls;

/// A process's parts. Add them, then [`Host::run`].
#[derive(Debug)]
pub struct Host {
    readiness: Readiness,
    drain_deadline: Duration,
    unready_pause: Duration,
    stall_limit: Duration,
    parts: Vec<Part>,
}

impl Host {
    /// A host without parts.
    pub fn new(options: &HostOptions, readiness: Readiness) -> Self {
        Self {
            readiness,
            drain_deadline: options.drain_deadline.as_std(),
            unready_pause: options.unready_pause.as_std(),
            stall_limit: options.stall_limit.as_std(),
            parts: Vec::new(),
        }
    }

    /// The readiness of the process: parts announce their conditions on it.
    pub const fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// Adds a part that accepts work from outside: it is asked to end first.
    pub fn door<F>(&mut self, name: &str, run: impl FnOnce(StopToken) -> F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        self.parts.push(Part::task(name, Stage::Door, run));
    }

    /// Adds a part that works on a task: it is asked to end once the doors are closed.
    pub fn task<F>(&mut self, name: &str, run: impl FnOnce(StopToken) -> F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        self.parts.push(Part::task(name, Stage::Worker, run));
    }

    /// Adds a part that works on a thread of its own, where it may block: a Kafka worker's loop. It asks its token whether
    /// it is to end at least as often as `host.stall_limit` says; one that does not is stuck, which ends the process.
    pub fn thread(&mut self, name: &str, run: impl FnOnce(StopToken) -> anyhow::Result<()> + Send + 'static) {
        self.parts.push(Part::thread(name, Stage::Worker, run));
    }

    /// Adds the part that the process is there for: when it ends well, everything else is drained and the exit is clean.
    pub fn main<F>(&mut self, name: &str, run: impl FnOnce(StopToken) -> F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        self.parts.push(Part::task(name, Stage::Main, run));
    }

    /// Adds a part that watches the others: it is asked to end last.
    pub fn observer<F>(&mut self, name: &str, run: impl FnOnce(StopToken) -> F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        self.parts.push(Part::task(name, Stage::Observer, run));
    }

    /// Runs all parts until a signal comes, a part ends, or all have ended.
    pub async fn run(self, mut signals: Signals) -> Exit {
        let Self { readiness, drain_deadline, unready_pause, stall_limit, parts } = self;
        let (report, reports) = mpsc::channel(parts.len().max(1));
        let running: Vec<Running> = parts.into_iter().map(|part| part.start(&report)).collect();
        let mut drain = Drain { running, reports, failures: Vec::new(), signal: None, began: false };
        drop(report);
        let stalls = Stalls::of(&drain.running, stall_limit);

        let (reason, pause) = tokio::select! {
            signal = signals.next() => {
                drain.signal = Some(signal);
                (signal.name(), unready_pause)
            }
            reason = drain.until_one_ends() => (reason, Duration::ZERO),
            stalled = stalls.until_one_stalls() => (drain.stalled(stalled), Duration::ZERO),
        };
        readiness.drain(reason);
        tracing::info!(reason, deadline_seconds = drain_deadline.as_secs_f64(), "draining");
        let began = Instant::now();
        let exit = tokio::select! {
            signal = signals.next() => Exit::Forced(signal),
            exit = drain.run(began + pause, began + pause + drain_deadline) => exit,
        };
        if matches!(exit, Exit::Drained(_)) {
            tracing::info!(seconds = began.elapsed().as_secs_f64(), "{exit}");
        } else {
            tracing::error!(code = exit.code(), "{exit}");
        }
        exit
    }
}

/// Ends the parts, stage by stage.
struct Drain {
    running: Vec<Running>,
    reports: mpsc::Receiver<Ended>,
    failures: Vec<(String, String)>,
    /// By what it was asked to end.
    signal: Option<Signal>,
    began: bool,
}

impl Drain {
    /// Waits for the first part that ends, and says why the process then ends.
    async fn until_one_ends(&mut self) -> &'static str {
        match self.reports.recv().await {
            None => "nothing to run",
            Some(ended) => {
                self.note(ended);
                if self.failures.is_empty() { "the work is done" } else { "a part has failed" }
            }
        }
    }

    /// A part is stuck. It is asked to end like all others, and most likely does not hear it.
    fn stalled(&mut self, (part, reason): (String, String)) -> &'static str {
        tracing::error!(part, reason, "failed");
        self.failures.push((part, reason));
        "a part stands still"
    }

    async fn run(&mut self, begin: Instant, deadline: Instant) -> Exit {
        self.began = true;
        sleep_until(begin).await;
        for stage in Stage::IN_ORDER {
            self.running.iter().filter(|part| part.stage == stage).for_each(|part| part.stop.stop());
            while self.running.iter().any(|part| part.stage == stage) {
                match timeout_at(deadline, self.reports.recv()).await {
                    Ok(Some(ended)) => self.note(ended),
                    Ok(None) => break,
                    Err(_) => return self.timed_out(),
                }
            }
        }
        if self.failures.is_empty() {
            Exit::Drained(self.signal)
        } else {
            Exit::Failed(std::mem::take(&mut self.failures))
        }
    }

    /// A failure is worth more than a time-out: it is the cause that somebody looks for.
    fn timed_out(&mut self) -> Exit {
        let names: Vec<String> = self.running.iter().map(|part| part.name.clone()).collect();
        if self.failures.is_empty() {
            return Exit::TimedOut(names);
        }
        tracing::error!(parts = names.join(", "), "still running at the drain deadline");
        Exit::Failed(std::mem::take(&mut self.failures))
    }

    /// Takes a part off the list; what was not well is kept as a failure.
    fn note(&mut self, ended: Ended) {
        let Some(at) = self.running.iter().position(|part| part.id == ended.id) else { return };
        let part = self.running.swap_remove(at);
        let may_end = self.began || part.stage == Stage::Main;
        let failure = match ended.result {
            Ok(()) if may_end => None,
            Ok(()) => Some("ended although nobody asked it to".to_owned()),
            Err(reason) => Some(reason),
        };
        match failure {
            None => tracing::info!(part = part.name, "ended"),
            Some(reason) => {
                tracing::error!(part = part.name, reason, "failed");
                self.failures.push((part.name, reason));
            }
        }
    }
}
