//! Nothing outlives a test.
//!
//! Wanted properties:
//! - A test that ends in any way (returns, panics, aborts, is killed with SIGKILL) leaves no process and no scratch
//!   directory behind, also those that a `static` held and that were therefore never dropped.
//! - There is no moment at which a part runs and the watchdog does not know of it.
//!
//! One `sh` per test process listens on a pipe whose other end only this process holds. When that end closes, for
//! whatever reason, it kills the process groups and removes the directories that it was told about. It runs in a
//! process group of its own, so that Ctrl-C ends the test and not the watchdog.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;

use tempfile::TempDir;

use crate::error::{Context as _, Error, Result};

/// Kept in the shell's own words so that nothing has to be compiled or installed for it.
///
/// After the kill it waits (bounded) for the processes to be gone: one that is still dying may write into its
/// directory once more.
const SCRIPT: &str = r#"
groups=
while read -r verb rest; do
  case $verb in
    watch) groups="$groups $rest" ;;
    forget) kept=; for g in $groups; do [ "$g" = "$rest" ] || kept="$kept $g"; done; groups=$kept ;;
    scratch) set -- "$@" "$rest" ;;
  esac
done
for g in $groups; do kill -s KILL -- "-$g" 2>/dev/null; done
for g in $groups; do
  tries=100
  while [ $tries -gt 0 ] && kill -s 0 -- "-$g" 2>/dev/null; do tries=$((tries - 1)); sleep 0.02; done
done
[ $# -eq 0 ] || rm -rf -- "$@"
"#;

static WATCHDOG: Mutex<Option<Watchdog>> = Mutex::new(None);

struct Watchdog {
    orders: ChildStdin,
    // Kept so that its identity is not reaped and given to another; it ends after us.
    _shell: Child,
}

/// Has the process group killed when this process is gone.
pub(crate) fn watch(group: u32) -> Result<()> {
    order(&format!("watch {group}"))
}

/// The group has ended; its number may soon be another's.
pub(crate) fn forget(group: u32) -> Result<()> {
    order(&format!("forget {group}"))
}

fn order(line: &str) -> Result<()> {
    let part = "the watchdog of the test's processes";
    let mut watchdog = WATCHDOG.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if watchdog.is_none() {
        *watchdog = Some(start().context(part, || "could not start `sh`".into())?);
    }
    let Some(Watchdog { orders, .. }) = watchdog.as_mut() else {
        return Err(Error::new(part, "is not running"));
    };
    orders.write_all(format!("{line}\n").as_bytes()).context(part, || format!("did not take `{line}`"))
}

fn start() -> std::io::Result<Watchdog> {
    let mut shell = Command::new("sh")
        .args(["-c", SCRIPT, "test-watchdog"])
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let orders = shell.stdin.take().ok_or_else(|| std::io::Error::other("its standard input is missing"))?;
    Ok(Watchdog { orders, _shell: shell })
}

/// A directory for one part's files, removed when dropped or when the test's process is gone.
///
/// With `VUELVE_TEST_KEEP` set it stays, to be looked at.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
    _owner: Option<TempDir>,
}

impl Scratch {
    pub(crate) fn new(part: &str) -> Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix(&format!("vuelve-test-{part}-"))
            .tempdir()
            .context(part, || "could not make a directory for its files".into())?;
        if std::env::var_os("VUELVE_TEST_KEEP").is_some() {
            return Ok(Self { path: directory.keep(), _owner: None });
        }
        let path = directory.path().to_owned();
        order(&format!("scratch {}", path.display()))?;
        Ok(Self { path, _owner: Some(directory) })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}
