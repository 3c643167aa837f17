use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc;

use super::stop::StopToken;

/// When a part is asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Door,
    Main,
    Worker,
    Observer,
}

impl Stage {
    pub(super) const IN_ORDER: [Self; 4] = [Self::Door, Self::Main, Self::Worker, Self::Observer];
}

type Task = Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>>;
type Thread = Box<dyn FnOnce() -> anyhow::Result<()> + Send>;

enum Work {
    Task(Task),
    Thread(Thread),
}

/// A part that was not started yet.
pub(super) struct Part {
    name: String,
    stage: Stage,
    stop: StopToken,
    work: Work,
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part").field("name", &self.name).field("stage", &self.stage).finish_non_exhaustive()
    }
}

/// A part that was started and has not ended.
pub(super) struct Running {
    pub(super) id: usize,
    pub(super) name: String,
    pub(super) stage: Stage,
    pub(super) stop: StopToken,
    /// It works on a thread, and asks again and again whether it is to end.
    pub(super) asks: bool,
}

/// A part has ended.
pub(super) struct Ended {
    pub(super) id: usize,
    pub(super) result: Result<(), String>,
}

static NEXT_ID: AtomicUsize = AtomicUsize::new(0);

impl Part {
    pub(super) fn task<F>(name: &str, stage: Stage, run: impl FnOnce(StopToken) -> F) -> Self
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let stop = StopToken::new();
        let work = Work::Task(Box::pin(run(stop.clone())));
        Self { name: name.to_owned(), stage, stop, work }
    }

    pub(super) fn thread(
        name: &str,
        stage: Stage,
        run: impl FnOnce(StopToken) -> anyhow::Result<()> + Send + 'static,
    ) -> Self {
        let stop = StopToken::new();
        let for_thread = stop.clone();
        Self { name: name.to_owned(), stage, stop, work: Work::Thread(Box::new(move || run(for_thread))) }
    }

    pub(super) fn start(self, reports: &mpsc::Sender<Ended>) -> Running {
        let Self { name, stage, stop, work } = self;
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        let reports = reports.clone();
        tracing::info!(part = name, "started");
        let asks = matches!(work, Work::Thread(_));
        match work {
            Work::Task(task) => {
                tokio::spawn(async move {
                    let result = match tokio::spawn(task).await {
                        Ok(result) => told(result),
                        Err(error) => Err(match error.try_into_panic() {
                            Ok(payload) => panicked(&*payload),
                            Err(error) => error.to_string(),
                        }),
                    };
                    // There is room for one report of each part.
                    let _ = reports.try_send(Ended { id, result });
                });
            }
            Work::Thread(thread) => {
                let for_thread = reports.clone();
                let run = move || {
                    let result =
                        catch_unwind(AssertUnwindSafe(thread)).map_or_else(|payload| Err(panicked(&*payload)), told);
                    let _ = for_thread.try_send(Ended { id, result });
                };
                if let Err(error) = std::thread::Builder::new().name(name.clone()).spawn(run) {
                    let _ = reports.try_send(Ended { id, result: Err(format!("could not be started: {error}")) });
                }
            }
        }
        Running { id, name, stage, stop, asks }
    }
}

/// A result with its whole chain of causes.
fn told(result: anyhow::Result<()>) -> Result<(), String> {
    result.map_err(|error| format!("{error:#}"))
}

fn panicked(payload: &(dyn Any + Send)) -> String {
    let message =
        payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    format!("panicked: {}", message.unwrap_or("(no message)"))
}
