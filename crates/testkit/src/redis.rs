//! A real Redis: emptied, killed, paused, or set back to an older copy of itself.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use crate::error::{Context as _, Result};
use crate::parts::debian;
use crate::watchdog::Scratch;
use crate::{Process, free_port};

const START: Duration = Duration::from_secs(30);
const ANSWER: Duration = Duration::from_secs(10);

/// How a [`Redis`] is to be set up.
#[derive(Clone, Debug)]
pub struct RedisOptions {
    /// `maxmemory-policy`; `noeviction` by default, as the store requires.
    pub maxmemory_policy: String,
    /// `maxmemory` in MiB; 0 is no limit.
    pub maxmemory_mb: u32,
    /// Further settings, each a name and a value, as in `redis.conf`.
    pub settings: Vec<(String, String)>,
}

impl Default for RedisOptions {
    fn default() -> Self {
        Self { maxmemory_policy: "noeviction".into(), maxmemory_mb: 0, settings: Vec::new() }
    }
}

/// A Redis on a free port, which saves only when told to.
#[derive(Debug)]
pub struct Redis {
    process: Process,
    port: u16,
    scratch: Scratch,
}

/// A copy of what a [`Redis`] held at one moment; see [`Redis::restore`].
#[derive(Clone, Debug)]
pub struct RedisSnapshot(PathBuf);

impl Redis {
    /// An empty one with the defaults.
    pub fn start() -> Result<Self> {
        Self::start_with(&RedisOptions::default())
    }

    /// An empty one set up as `options` say.
    pub fn start_with(options: &RedisOptions) -> Result<Self> {
        let program = debian::program("redis-server")?;
        let port = free_port()?;
        let scratch = Scratch::new("redis")?;
        let mut spec = Process::spec("redis", program)
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--daemonize", "no"])
            .args(["--appendonly", "no", "--save", "", "--dir"])
            .arg(scratch.path())
            .args(["--maxmemory", &format!("{}mb", options.maxmemory_mb)])
            .args(["--maxmemory-policy", &options.maxmemory_policy])
            .log(scratch.path().join("log"));
        for (name, value) in &options.settings {
            spec = spec.arg(format!("--{name}")).arg(value);
        }
        let redis = Self { process: spec.start()?, port, scratch };
        redis.wait_ready()?;
        Ok(redis)
    }

    /// `redis://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process, to pause, resume and look at.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// SIGKILL: what was not saved by [`Redis::snapshot`] is lost.
    pub fn kill9(&self) -> Result<()> {
        self.process.kill9()
    }

    /// Starts it again on the same port, with what was last saved; kills it first if it runs.
    pub fn restart(&self) -> Result<()> {
        self.process.restart()?;
        self.wait_ready()
    }

    /// Empties it.
    pub fn flush(&self) -> Result<()> {
        self.command(&["FLUSHALL"]).map(drop)
    }

    /// Saves what it holds now and keeps a copy.
    pub fn snapshot(&self) -> Result<RedisSnapshot> {
        self.command(&["SAVE"])?;
        let mut number = 0;
        let copy = loop {
            let copy = self.scratch.path().join(format!("snapshot-{number}.rdb"));
            if !copy.exists() {
                break copy;
            }
            number += 1;
        };
        std::fs::copy(self.dump(), &copy).context("redis", || "could not copy its dump".into())?;
        Ok(RedisSnapshot(copy))
    }

    /// Kills it and starts it again with what it held when the snapshot was taken.
    pub fn restore(&self, snapshot: &RedisSnapshot) -> Result<()> {
        self.kill9()?;
        std::fs::copy(&snapshot.0, self.dump()).context("redis", || "could not put its old dump back".into())?;
        self.restart()
    }

    /// Sends one command and gives its answer: a status or integer as text, a string, `None` for nil.
    ///
    /// For a look at single keys; an answer with several elements is an error.
    pub fn command(&self, words: &[&str]) -> Result<Option<String>> {
        let answer = self.ask(words).context("redis", || format!("{words:?} failed"))?;
        answer.map_err(|refusal| self.process.error(format!("{words:?} was refused: {refusal}")))
    }

    fn dump(&self) -> PathBuf {
        self.scratch.path().join("dump.rdb")
    }

    fn wait_ready(&self) -> Result<()> {
        let pong = || matches!(self.ask(&["PING"]), Ok(Ok(Some(answer))) if answer == "PONG");
        self.process.wait_ready(START, "answer PING", pong)
    }

    /// The outer error is the connection's, the inner one Redis's own.
    fn ask(&self, words: &[&str]) -> std::io::Result<std::result::Result<Option<String>, String>> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let mut stream = TcpStream::connect_timeout(&address, ANSWER)?;
        stream.set_read_timeout(Some(ANSWER))?;
        let mut request = Vec::new();
        write!(request, "*{}\r\n", words.len())?;
        for word in words {
            write!(request, "${}\r\n{word}\r\n", word.len())?;
        }
        stream.write_all(&request)?;
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim_end();
        let unreadable = || std::io::Error::other(format!("an answer that is not understood: {line:?}"));
        let Some((kind, rest)) = line.split_at_checked(1) else { return Err(unreadable()) };
        match kind {
            "+" | ":" => Ok(Ok(Some(rest.to_owned()))),
            "-" => Ok(Err(rest.to_owned())),
            "$" if rest == "-1" => Ok(Ok(None)),
            "$" => {
                let length: usize = rest.parse().map_err(|_| unreadable())?;
                let mut bytes = vec![0; length];
                std::io::Read::read_exact(&mut reader, &mut bytes)?;
                Ok(Ok(Some(String::from_utf8_lossy(&bytes).into_owned())))
            }
            _ => Err(unreadable()),
        }
    }
}
