//! The spool: where calls are kept on disk while the log is away.
//!
//! One thread owns the files and does what it is asked in order; appends that wait together are synced together.

mod files;
mod frame;
mod spooled;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use files::{Files, Place};
pub use spooled::{SpoolState, SpooledLog};

use super::log::LogRecord;

/// So much is synced at once, and read at once.
const PORTION_BYTES: usize = 1 << 20;

/// Why something can't be kept in the spool.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// A file can't be read or written.
    #[error("{path}: {error}")]
    Failed {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// There is no room for more.
    #[error("the spool holds the most that it may, {max_bytes} bytes")]
    Full {
        /// So much.
        max_bytes: u64,
    },
    /// The directory is another's.
    #[error("another process uses the spool {0}; give each door a directory of its own")]
    InUse(PathBuf),
    /// A segment of another format, which would be lost if this version went on.
    #[error(
        "{0} is a segment of a format that this version can't read; start the version that wrote it, and let it drain"
    )]
    Format(PathBuf),
    /// A call whose bytes are whole, and mean nothing here.
    #[error("the spool holds a call that this version can't read; start the version that wrote it, and let it drain")]
    Unknown,
    /// The thread that owns the files has ended.
    #[error("the spool is closed")]
    Closed,
}

impl SpoolError {
    fn failed(path: &Path, error: io::Error) -> Self {
        Self::Failed { path: path.to_owned(), error }
    }
}

/// The calls of a drained portion, and how far it goes.
#[derive(Debug)]
struct Portion {
    records: Vec<LogRecord>,
    until: Option<Place>,
}

enum Ask {
    /// A frame, and whom to tell whether it is on the disk.
    Append(Vec<u8>, oneshot::Sender<bool>),
    Next(oneshot::Sender<Result<Portion, SpoolError>>),
    Drained(Place),
    Ended,
}

/// An open spool. Once it is dropped its directory is free for another.
#[derive(Debug)]
pub struct Spool {
    /// With the thread that is asked, until it is dropped.
    open: Option<(mpsc::Sender<Ask>, JoinHandle<()>)>,
    bytes: Arc<AtomicU64>,
}

impl Drop for Spool {
    fn drop(&mut self) {
        let Some((asks, thread)) = self.open.take() else { return };
        // It ends where nobody can ask it any more.
        drop(asks);
        if thread.join().is_err() {
            tracing::error!("the spool's thread panicked");
        }
    }
}

impl Spool {
    /// Opens a directory, and begins to serve it. What it may hold is at most so many bytes.
    pub fn open(directory: &Path, max_bytes: u64) -> Result<Self, SpoolError> {
        let mut files = Files::open(directory, max_bytes)?;
        let bytes = Arc::new(AtomicU64::new(files.bytes()));
        let (asks, asked) = mpsc::channel();
        let told = Arc::clone(&bytes);
        let serve = move || {
            let mut waiting = None;
            while let Some(ask) = waiting.take().or_else(|| asked.recv().ok()) {
                waiting = serve(&mut files, ask, &asked);
                told.store(files.bytes(), Ordering::Release);
            }
        };
        let thread = std::thread::Builder::new().name("spool".to_owned());
        let thread = thread.spawn(serve).map_err(|error| SpoolError::failed(directory, error))?;
        Ok(Self { open: Some((asks, thread)), bytes })
    }

    /// How many bytes wait.
    fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Acquire)
    }

    /// Keeps the records of a call; returns whether they are on the disk. Where they are not, the log says why.
    async fn append(&self, records: &[LogRecord]) -> bool {
        let Some(frame) = frame::write(records) else { return false };
        self.ask(|answer| Ask::Append(frame, answer)).await.unwrap_or(false)
    }

    /// What was kept first; without a place where nothing is left.
    async fn next(&self) -> Result<Portion, SpoolError> {
        self.ask(Ask::Next).await.unwrap_or(Err(SpoolError::Closed))
    }

    /// All up to this place is stored elsewhere.
    fn drained(&self, until: Place) -> Result<(), SpoolError> {
        self.send(Ask::Drained(until))
    }

    /// Calls go to the log again.
    fn ended(&self) -> Result<(), SpoolError> {
        self.send(Ask::Ended)
    }

    async fn ask<T>(&self, ask: impl FnOnce(oneshot::Sender<T>) -> Ask) -> Result<T, SpoolError> {
        let (answer, answered) = oneshot::channel();
        self.send(ask(answer))?;
        answered.await.map_err(|_| SpoolError::Closed)
    }

    fn send(&self, ask: Ask) -> Result<(), SpoolError> {
        let sent = self.open.as_ref().and_then(|(asks, _)| asks.send(ask).ok());
        sent.ok_or(SpoolError::Closed)
    }
}

/// Does what was asked, and what else can be done with it at once. Returns what comes next.
fn serve(files: &mut Files, ask: Ask, asked: &mpsc::Receiver<Ask>) -> Option<Ask> {
    match ask {
        Ask::Append(mut frames, answer) => {
            let mut answers = vec![answer];
            let mut next = None;
            while frames.len() < PORTION_BYTES && next.is_none() {
                match asked.try_recv() {
                    Ok(Ask::Append(more, answer)) => {
                        frames.extend_from_slice(&more);
                        answers.push(answer);
                    }
                    Ok(other) => next = Some(other),
                    Err(_) => break,
                }
            }
            let result = files.append(&mut frames);
            if let Err(error) = &result {
                tracing::warn!(%error, calls = answers.len(), "calls could not be spooled");
            }
            for answer in answers {
                // Whoever has gone away sends again.
                let _ = answer.send(result.is_ok());
            }
            next
        }
        Ask::Next(answer) => {
            let _ = answer.send(files.next(PORTION_BYTES).and_then(read));
            None
        }
        Ask::Drained(until) => {
            files.drained(until);
            None
        }
        Ask::Ended => {
            files.ended();
            None
        }
    }
}

fn read(portion: files::Portion) -> Result<Portion, SpoolError> {
    let files::Portion { payloads, until } = portion;
    let mut records = Vec::new();
    for payload in payloads {
        records.extend(frame::read(&payload).ok_or(SpoolError::Unknown)?);
    }
    Ok(Portion { records, until })
}
