//! Where the parts come from: fetched once, kept in a cache, never fetched a second time.
//!
//! Wanted properties:
//! - Several test processes that need the same part at once fetch it once: the others wait for a lock on a file.
//! - A fetch that was broken off leaves nothing that looks complete: the mark is written last.
//! - A changed pin (version, lock file) is noticed: the mark holds the text that the part was made from.

pub(crate) mod debian;
pub(crate) mod maven;
pub(crate) mod node;
pub(crate) mod python;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use crate::error::{Context as _, Error, Result};
use crate::process::ProcessSpec;
use crate::wait::seconds;

/// A tool that fetches is given this long; its own network time-outs come first.
const FETCH: Duration = Duration::from_mins(15);
/// How often a tool is tried: a network may fail once.
const ATTEMPTS: u32 = 2;
/// The file that says that a part is complete.
const MARK: &str = ".complete";

static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The directory with all that was fetched: `$VUELVE_TEST_CACHE`, or `target/test-parts` below the workspace root.
pub fn cache_dir() -> PathBuf {
    match std::env::var_os("VUELVE_TEST_CACHE") {
        Some(path) if !path.is_empty() => std::path::absolute(&path).unwrap_or_else(|_| path.into()),
        _ => {
            Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap_or(Path::new(".")).join("target/test-parts")
        }
    }
}

/// The interpreter of the fetched Python environment.
pub fn python() -> Result<PathBuf> {
    python::python()
}

/// The fetched directory that holds `node_modules`.
pub fn node_dir() -> Result<PathBuf> {
    node::directory()
}

/// Fetches whatever is missing, several parts at a time, and says how far it is on standard error.
///
/// Debian packages are installed if this is root; otherwise the error lists those that are missing.
pub fn fetch_all() -> Result<()> {
    debian::install_missing()?;
    std::thread::scope(|scope| {
        let jobs = [
            // Both through Maven's own cache, which is not made for two at once.
            scope.spawn(|| maven::kafka().and_then(|_| maven::registry()).map(drop)),
            scope.spawn(|| python::environment().map(drop)),
            scope.spawn(|| node::directory().map(drop)),
        ];
        let mut outcome = Ok(());
        for job in jobs {
            let done = job.join().unwrap_or_else(|_| Err(Error::new("fetching the test parts", "panicked")));
            if let Err(error) = done {
                progress("failed", error.part());
                outcome = outcome.and(Err(error));
            }
        }
        outcome
    })
}

/// The directory of part `name`, made by `build` if what is there was not made from `pins`.
pub(crate) fn ensure(name: &str, pins: &str, build: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    ensure_in(&cache_dir(), name, pins, build)
}

fn ensure_in(cache: &Path, name: &str, pins: &str, build: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let directory = cache.join(name);
    let mark = directory.join(MARK);
    let complete = || std::fs::read_to_string(&mark).is_ok_and(|text| text == pins);
    if complete() {
        return Ok(directory);
    }
    let doing = |what: &str| format!("could not {what} {}", directory.display());
    std::fs::create_dir_all(cache).context(name, || doing("make the directory above"))?;
    let _lock = lock(cache, name)?;
    if complete() {
        return Ok(directory);
    }
    progress(name, "fetching …");
    let began = Instant::now();
    if directory.exists() {
        std::fs::remove_dir_all(&directory).context(name, || doing("remove the outdated"))?;
    }
    std::fs::create_dir_all(&directory).context(name, || doing("make"))?;
    build(&directory)?;
    std::fs::write(&mark, pins).context(name, || doing("mark as complete"))?;
    progress(name, &format!("ready after {}", seconds(began.elapsed())));
    Ok(directory)
}

/// An exclusive lock, held until dropped (or the process ends).
fn lock(cache: &Path, name: &str) -> Result<File> {
    let path = cache.join(format!("{name}.lock"));
    let doing = || format!("could not lock {}", path.display());
    let file = File::options().create(true).truncate(false).write(true).open(&path).context(name, doing)?;
    if file.try_lock().is_err() {
        progress(name, "waiting for another process that fetches it …");
        file.lock().context(name, doing)?;
    }
    Ok(file)
}

/// Runs a tool that fetches, with its output in the cache's `logs`, a second time if the first fails.
pub(crate) fn run_tool(spec: &ProcessSpec) -> Result<()> {
    let mut attempt = 1;
    loop {
        match run(spec.clone()) {
            Err(error) if attempt < ATTEMPTS => {
                progress(error.part(), "failed, trying once more …");
                attempt += 1;
            }
            outcome => return outcome,
        }
    }
}

fn run(spec: ProcessSpec) -> Result<()> {
    let logs = cache_dir().join("logs");
    std::fs::create_dir_all(&logs).context("test parts", || format!("could not make {}", logs.display()))?;
    let log = logs.join(spec.log_name());
    spec.log(log).start()?.wait_for_success(FETCH)
}

/// A version of Java, Node or Python: the first number in what `program --version` prints.
pub(crate) fn major_version(program: &str, argument: &str) -> Option<u32> {
    let output = std::process::Command::new(program).arg(argument).output().ok()?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let digits = text.split(|c: char| !c.is_ascii_digit()).find(|digits| !digits.is_empty())?;
    digits.parse().ok()
}

/// The program's place on `PATH`, or in the directories where Debian keeps those of the administrator.
pub(crate) fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/bin", "/usr/sbin", "/usr/local/bin"].map(PathBuf::from))
        .map(|directory| directory.join(program))
        .find(|candidate| candidate.is_file())
}

/// Says on standard error what is being done, and when.
pub(crate) fn progress(part: &str, what: &str) {
    eprintln!("[test parts {:>6.1} s] {part}: {what}", BEGAN.elapsed().as_secs_f64());
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn many_that_need_a_part_at_once_fetch_it_once() {
        let cache = tempfile::tempdir().unwrap();
        let fetched = AtomicUsize::new(0);
        let fetch = |directory: &Path| {
            fetched.fetch_add(1, Ordering::SeqCst);
            std::fs::write(directory.join("jar"), "jar").context("part", String::new)
        };
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let directory = ensure_in(cache.path(), "part", "1.0", fetch).unwrap();
                    assert!(directory.join("jar").exists(), "nobody gets a part that is not complete");
                });
            }
        });
        assert_eq!(fetched.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_fetch_that_failed_is_done_again_from_nothing() {
        let cache = tempfile::tempdir().unwrap();
        let fail = |directory: &Path| {
            std::fs::write(directory.join("half"), "").unwrap();
            Err(Error::new("part", "the network is away"))
        };
        let error = ensure_in(cache.path(), "part", "1.0", fail).unwrap_err();
        assert_eq!(error.to_string(), "part: the network is away");
        let directory = ensure_in(cache.path(), "part", "1.0", |_| Ok(())).unwrap();
        assert!(!directory.join("half").exists());
    }

    #[test]
    fn a_changed_pin_fetches_anew_and_the_same_one_does_not() {
        let cache = tempfile::tempdir().unwrap();
        let fetched = AtomicUsize::new(0);
        for (pins, times) in [("1.0", 1), ("1.0", 1), ("1.1", 2), ("1.0", 3)] {
            let fetch = |_: &Path| {
                fetched.fetch_add(1, Ordering::SeqCst);
                Ok(())
            };
            ensure_in(cache.path(), "part", pins, fetch).unwrap();
            assert_eq!(fetched.load(Ordering::SeqCst), times, "after {pins}");
        }
    }
}
