//! The files of a spool, as a crash, a failing disk or an enemy may leave them.
//!
//! What must hold, of whatever lies in the directory: it can be opened; all whole calls come to the log in their order, and
//! nothing else does; a call that is taken then comes behind them; nothing comes again.

mod directory;
mod model;

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use ingestion::shell::{EventLog as _, LogRecord, Spool, SpoolState, SpooledLog};
use tokio::runtime::{Builder, Runtime};

use directory::Directory;
pub(crate) use directory::{name, op};

use crate::fixture::MemoryLog;

const PLENTY: u64 = 1 << 30;
/// Nothing here takes so long; only a hang meets it.
const LIMIT: Duration = Duration::from_secs(5);
/// For so long a spool with a call that nobody knows is watched.
const A_WHILE: Duration = Duration::from_millis(2);

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
}

pub(crate) fn run(bytes: &[u8]) {
    let parent = Some(Path::new("/dev/shm")).filter(|memory| memory.is_dir());
    let parent = parent.map_or_else(std::env::temp_dir, Path::to_owned);
    let folder = tempfile::tempdir_in(parent).expect("a folder");
    let made = Directory::read(bytes);
    made.write(folder.path());
    let expected = model::of(&made);
    RUNTIME.with(|runtime| runtime.block_on(is_read(folder.path(), expected)));
}

async fn is_read(folder: &Path, expected: model::Expected) {
    let new = call(9);
    {
        let away = spooled(folder, true).1;
        away.append(vec![new.clone()]).await.expect("what comes is taken");
    }
    let (log, spooled_log) = spooled(folder, false);
    let drain = tokio::spawn({
        let spooled_log = spooled_log.clone();
        async move { spooled_log.drain().await }
    });
    let began = Instant::now();
    let limit = if expected.is_blocked { A_WHILE } else { LIMIT };
    while spooled_log.state() != SpoolState::Idle && began.elapsed() < limit {
        tokio::task::yield_now().await;
        thread::yield_now();
    }
    let idle = spooled_log.state() == SpoolState::Idle;
    drain.abort();
    let _aborted = drain.await;
    drop(spooled_log);
    let (came, mut all) = (log.take(), expected.records);
    if expected.is_blocked {
        assert!(!idle, "a call that nobody knows stays");
        assert!(came.len() <= all.len() && came == all[..came.len()], "what is before it comes, in order");
        return;
    }
    assert!(idle, "all is drained in time");
    all.push(new);
    assert_eq!(came.len(), all.len(), "each call comes once");
    assert!(came == all, "each call comes as it was, in its order");
    assert_eq!(spooled(folder, false).1.state(), SpoolState::Idle, "nothing comes again");
}

/// A log with the spool of this folder before it.
fn spooled(folder: &Path, is_away: bool) -> (MemoryLog, SpooledLog<MemoryLog>) {
    let log = MemoryLog { is_away, ..MemoryLog::default() };
    let spool = Spool::open(folder, PLENTY).expect("it can be opened");
    (log.clone(), SpooledLog::new(log, spool, LIMIT))
}

/// A record of which there are several kinds.
fn call(number: usize) -> LogRecord {
    LogRecord {
        dataset: if number.is_multiple_of(2) { ingestion::RECEIVED } else { ingestion::DEAD_LETTERS },
        key: (!number.is_multiple_of(3)).then(|| format!("customer-{number}")),
        value: format!("value {number}").into(),
        headers: [("traceparent".into(), format!("00-{number}").into())].into(),
    }
}
