//! A child process: started with a log file, killed, paused and ended by its id, never outliving the test.
//!
//! Every method takes `&self`, so that a part can live in a `static` that several tests share.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal};

use crate::error::{Context as _, Error, Result};
use crate::wait::{seconds, try_until};
use crate::watchdog::{self, Scratch};

/// The child waits for a word before it becomes the program: so the watchdog knows it before it does anything, and
/// a test that is killed in between closes the pipe, which ends it. The id stays the same through `exec`.
const GATE: &str = r#"read -r word || exit 1; exec "$@" </dev/null"#;

/// How a process is to be started; [`Process::start`] begins one, [`ProcessSpec::start`] ends it.
#[derive(Clone, Debug)]
pub struct ProcessSpec {
    name: String,
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, Option<OsString>)>,
    directory: Option<PathBuf>,
    log: Option<PathBuf>,
}

impl ProcessSpec {
    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Sets an environment variable; the others are inherited.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.as_ref().to_owned(), Some(value.as_ref().to_owned())));
        self
    }

    /// Takes an inherited environment variable away.
    #[must_use]
    pub fn without_env(mut self, name: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.as_ref().to_owned(), None));
        self
    }

    /// Sets the working directory; by default the test's own.
    #[must_use]
    pub fn dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// Appends both output streams to this file instead of one in a directory of the process's own.
    #[must_use]
    pub fn log(mut self, path: impl Into<PathBuf>) -> Self {
        self.log = Some(path.into());
        self
    }

    /// The name of a log file for it.
    pub(crate) fn log_name(&self) -> String {
        format!("{}.log", self.name.replace(['/', ' '], "-"))
    }

    /// Starts it.
    pub fn start(self) -> Result<Process> {
        let (scratch, log) = if let Some(path) = &self.log {
            (None, path.clone())
        } else {
            let scratch = Scratch::new(&self.name.replace(['/', ' '], "-"))?;
            let log = scratch.path().join("log");
            (Some(scratch), log)
        };
        let process = Process { spec: self, log, state: Mutex::default(), _scratch: scratch };
        process.launch(&mut process.state())?;
        Ok(process)
    }
}

/// A process that this test started.
#[derive(Debug)]
pub struct Process {
    spec: ProcessSpec,
    log: PathBuf,
    state: Mutex<State>,
    // Last, so that the directory goes after the process.
    _scratch: Option<Scratch>,
}

#[derive(Debug, Default)]
struct State {
    child: Option<Child>,
    /// How the latest run ended.
    ended: Option<ExitStatus>,
    /// Where the present run's output begins in the log file.
    log_start: u64,
}

impl Process {
    /// The program at `program`, a path or a name on `PATH`, called `name` in errors.
    pub fn spec(name: impl Into<String>, program: impl Into<PathBuf>) -> ProcessSpec {
        ProcessSpec {
            name: name.into(),
            program: program.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            directory: None,
            log: None,
        }
    }

    /// Its name, as errors show it.
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// Its process id, while it runs or has not been waited for.
    pub fn pid(&self) -> Option<u32> {
        self.state().child.as_ref().map(Child::id)
    }

    /// Whether it runs (a paused process does).
    pub fn is_running(&self) -> bool {
        self.poll(&mut self.state()).is_ok_and(|ended| ended.is_none())
    }

    /// How its latest run ended; none while it runs.
    pub fn ended(&self) -> Result<Option<ExitStatus>> {
        self.poll(&mut self.state())
    }

    /// SIGKILL to it and to what it started; returns when it is gone. Nothing happens if it has ended.
    pub fn kill9(&self) -> Result<()> {
        self.kill(&mut self.state())
    }

    /// SIGTERM, then waits for its end; after `limit` it is an error, and the process is killed.
    pub fn term(&self, limit: Duration) -> Result<ExitStatus> {
        self.signal(Signal::TERM, false)?;
        self.wait(limit)
    }

    /// Waits for it to end by itself; after `limit` it is an error, and the process is killed.
    pub fn wait(&self, limit: Duration) -> Result<ExitStatus> {
        let ended = try_until(limit, || self.poll(&mut self.state()))?;
        if let Some(status) = ended {
            return Ok(status);
        }
        let error = self.error(format!("did not end within {}; it was killed", seconds(limit)));
        self.kill9()?;
        Err(error)
    }

    /// As [`Process::wait`], and anything but exit code 0 is an error.
    pub fn wait_for_success(&self, limit: Duration) -> Result<()> {
        let status = self.wait(limit)?;
        if status.success() { Ok(()) } else { Err(self.error(format!("ended with {status}"))) }
    }

    /// SIGSTOP to it and to what it started: alive, its connections open, but silent.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP, true)
    }

    /// SIGCONT after [`Process::pause`].
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT, true)
    }

    /// From now on no file that it writes grows beyond so many bytes: as on a full disk, a write that would is cut short and
    /// the next fails; none: they may grow again. Its next run has no such limit.
    pub fn limit_files(&self, bytes: Option<u64>) -> Result<()> {
        let state = self.state();
        let Some(child) = state.child.as_ref() else { return Err(self.error("is not running")) };
        let limit = rustix::process::Rlimit { current: bytes, maximum: None };
        rustix::process::prlimit(Some(as_pid(child.id())), rustix::process::Resource::Fsize, limit)
            .map(drop)
            .context(&self.spec.name, || "could not be limited in its files' size".into())
    }

    /// Kills it if it still runs, and starts it again as it was first started; its log goes on in the same file.
    pub fn restart(&self) -> Result<()> {
        let mut state = self.state();
        self.kill(&mut state)?;
        self.launch(&mut state)
    }

    /// The file with its output, of all runs.
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// The output of the present (or latest) run.
    pub fn log(&self) -> String {
        let start = self.state().log_start;
        let read = || -> std::io::Result<Vec<u8>> {
            let mut file = File::open(&self.log)?;
            file.seek(SeekFrom::Start(start))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
    }

    /// Waits until its present run has written `text`.
    pub fn wait_for_log(&self, text: &str, limit: Duration) -> Result<()> {
        self.wait_ready(limit, &format!("write {text:?}"), || self.log().contains(text))
    }

    /// Waits until `ready`; an error at once if it ends before, or if `limit` passes. `to` completes "did not".
    pub fn wait_ready(&self, limit: Duration, to: &str, mut ready: impl FnMut() -> bool) -> Result<()> {
        let outcome = try_until(limit, || {
            if ready() {
                return Ok(Some(()));
            }
            match self.poll(&mut self.state())? {
                Some(status) => Err(self.error(format!("did not {to}, but ended with {status}"))),
                None => Ok(None),
            }
        })?;
        outcome.ok_or_else(|| self.error(format!("did not {to} within {}", seconds(limit))))
    }

    /// An error about this process, with the end of its log.
    pub fn error(&self, problem: impl Into<String>) -> Error {
        Error::new(&self.spec.name, problem).with_log(&self.log)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn launch(&self, state: &mut State) -> Result<()> {
        let ProcessSpec { name, program, arguments, environment, directory, .. } = &self.spec;
        if program.components().count() > 1 && !program.is_file() {
            return Err(Error::new(name, format!("there is no program at {}; was it built?", program.display())));
        }
        let log = open_log(&self.log).context(name, || format!("could not open its log {}", self.log.display()))?;
        state.log_start = log.metadata().context(name, || "could not ask for the length of its log".into())?.len();
        let errors = log.try_clone().context(name, || "could not share its log".into())?;

        let mut command = Command::new("sh");
        command.args(["-c", GATE, "test-gate"]).arg(program).args(arguments);
        for (variable, value) in environment {
            match value {
                Some(value) => command.env(variable, value),
                None => command.env_remove(variable),
            };
        }
        if let Some(directory) = directory {
            command.current_dir(directory);
        }
        command.process_group(0).stdin(Stdio::piped()).stdout(log).stderr(errors);
        let mut child = command.spawn().context(name, || format!("could not start {}", program.display()))?;
        let gate = child.stdin.take();
        let opened = watchdog::watch(child.id()).and_then(|()| {
            let mut gate = gate.ok_or_else(|| Error::new(name, "its standard input is missing"))?;
            gate.write_all(b"go\n").context(name, || "ended before it began".into())
        });
        state.child = Some(child);
        state.ended = None;
        opened
    }

    fn kill(&self, state: &mut State) -> Result<()> {
        let Some(child) = state.child.as_mut() else { return Ok(()) };
        let group = child.id();
        // The child is not reaped yet, so the number is still its own; an error means that the group is gone.
        let _gone = rustix::process::kill_process_group(as_pid(group), Signal::KILL);
        let status = child.wait().context(&self.spec.name, || "could not be waited for after SIGKILL".into())?;
        state.ended = Some(status);
        state.child = None;
        watchdog::forget(group)
    }

    /// The exit status if it has ended, reaping it.
    fn poll(&self, state: &mut State) -> Result<Option<ExitStatus>> {
        let Some(child) = state.child.as_mut() else { return Ok(state.ended) };
        let group = child.id();
        let ended = child.try_wait().context(&self.spec.name, || "could not be asked for its state".into())?;
        if ended.is_some() {
            // What it may have started and left goes too, before the number is free.
            let _gone = rustix::process::kill_process_group(as_pid(group), Signal::KILL);
            state.ended = ended;
            state.child = None;
            watchdog::forget(group)?;
        }
        Ok(ended)
    }

    fn signal(&self, signal: Signal, group: bool) -> Result<()> {
        let state = self.state();
        let Some(child) = state.child.as_ref() else { return Err(self.error("is not running")) };
        let pid = as_pid(child.id());
        let sent = if group {
            rustix::process::kill_process_group(pid, signal)
        } else {
            rustix::process::kill_process(pid, signal)
        };
        sent.context(&self.spec.name, || format!("could not be sent {signal:?}"))
    }
}

/// A test that fails shows which of its processes had ended by themselves, and how.
impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Ok(Some(status)) = self.poll(&mut self.state())
        {
            eprintln!("{} had ended: {status}", self.spec.name);
        }
        // Nothing to be done about a failure here: the watchdog still knows it.
        let _ended = self.kill9();
    }
}

fn open_log(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

fn as_pid(id: u32) -> Pid {
    Pid::from_raw(id.cast_signed()).expect("a child's id is positive")
}
