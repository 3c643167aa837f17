//! A real Redis: emptied, killed, paused, set back to an older copy of itself, or followed by a replica.

use std::io::{BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use crate::error::{Context as _, Result};
use crate::parts::debian;
use crate::watchdog::Scratch;
use crate::{Process, free_port, wait_until};

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

impl RedisSnapshot {
    /// The file as it is. Values in it are packed, unless `rdbcompression` was `no`.
    pub fn bytes(&self) -> Result<Vec<u8>> {
        std::fs::read(&self.0).context("redis", || "could not read its dump".into())
    }
}

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

    /// Makes it a replica of the one that is reached at a port of this machine, and waits until it follows that one.
    pub fn replicate(&self, master: u16) -> Result<()> {
        self.command(&["REPLICAOF", "127.0.0.1", &master.to_string()])?;
        let synchronised = || {
            let role = self.answer(&["ROLE"]).ok()?;
            // slave, host, port, state, offset
            let Answer::Elements(role) = role else { return None };
            matches!(role.get(3), Some(Answer::Text(state)) if state == b"connected").then_some(())
        };
        wait_until(START, "the replica to follow its master", synchronised)
    }

    /// Ends a [`Redis::replicate`]: it holds what it had of its master by then.
    pub fn promote(&self) -> Result<()> {
        self.command(&["REPLICAOF", "NO", "ONE"]).map(drop)
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
        match self.answer(words)? {
            Answer::Text(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Answer::Nil => Ok(None),
            Answer::Elements(_) => Err(self.process.error(format!("{words:?} has several elements"))),
        }
    }

    /// Sends one command whose answer has several elements (`HGETALL`, `HMGET`, `ZRANGE`), and gives them as they are;
    /// `None` for nil.
    pub fn elements(&self, words: &[&str]) -> Result<Vec<Option<Vec<u8>>>> {
        let Answer::Elements(elements) = self.answer(words)? else {
            return Err(self.process.error(format!("{words:?} has one element")));
        };
        let each = elements.into_iter().map(|element| match element {
            Answer::Text(bytes) => Ok(Some(bytes)),
            Answer::Nil => Ok(None),
            Answer::Elements(_) => Err(self.process.error(format!("{words:?} has elements within elements"))),
        });
        each.collect()
    }

    fn dump(&self) -> PathBuf {
        self.scratch.path().join("dump.rdb")
    }

    fn wait_ready(&self) -> Result<()> {
        let pong = || matches!(self.ask(&["PING"]), Ok(Ok(Answer::Text(answer))) if answer == b"PONG");
        self.process.wait_ready(START, "answer PING", pong)
    }

    fn answer(&self, words: &[&str]) -> Result<Answer> {
        let answer = self.ask(words).context("redis", || format!("{words:?} failed"))?;
        answer.map_err(|refusal| self.process.error(format!("{words:?} was refused: {refusal}")))
    }

    /// The outer error is the connection's, the inner one Redis's own.
    fn ask(&self, words: &[&str]) -> std::io::Result<std::result::Result<Answer, String>> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let mut stream = TcpStream::connect_timeout(&address, ANSWER)?;
        stream.set_read_timeout(Some(ANSWER))?;
        let mut request = Vec::new();
        write!(request, "*{}\r\n", words.len())?;
        for word in words {
            write!(request, "${}\r\n{word}\r\n", word.len())?;
        }
        stream.write_all(&request)?;
        read_answer(&mut BufReader::new(stream))
    }
}

/// What a command gives.
enum Answer {
    Text(Vec<u8>),
    Nil,
    Elements(Vec<Answer>),
}

fn read_answer(reader: &mut impl std::io::BufRead) -> std::io::Result<std::result::Result<Answer, String>> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let line = line.trim_end();
    let unreadable = || std::io::Error::other(format!("an answer that is not understood: {line:?}"));
    let (kind, rest) = line.split_at_checked(1).ok_or_else(unreadable)?;
    let length = || rest.parse::<usize>().map_err(|_| unreadable());
    Ok(Ok(match kind {
        "+" | ":" => Answer::Text(rest.into()),
        "-" => return Ok(Err(rest.to_owned())),
        "$" | "*" if rest == "-1" => Answer::Nil,
        "$" => {
            let mut bytes = vec![0; length()? + 2];
            reader.read_exact(&mut bytes)?;
            bytes.truncate(bytes.len() - 2);
            Answer::Text(bytes)
        }
        "*" => {
            let mut elements = Vec::new();
            for _ in 0..length()? {
                match read_answer(reader)? {
                    Ok(element) => elements.push(element),
                    Err(refusal) => return Ok(Err(refusal)),
                }
            }
            Answer::Elements(elements)
        }
        _ => return Err(unreadable()),
    }))
}
