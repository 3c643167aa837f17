//! A real SMTP server (aiosmtpd) that keeps what it receives, and refuses, delays or drops when told to.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Context as _, Error, Result};
use crate::parts::python;
use crate::watchdog::Scratch;
use crate::{Process, free_port, wait_until};

const SCRIPT: &str = include_str!("../parts/smtp_sink.py");
const START: Duration = Duration::from_secs(30);
const READY: &str = "the SMTP sink listens";

/// How a [`SmtpSink`] is to be set up.
#[derive(Clone, Debug, Default)]
pub struct SmtpOptions {
    /// Whether and how connections are encrypted.
    pub security: SmtpSecurity,
    /// User name and password that senders must give.
    pub login: Option<(String, String)>,
}

/// How connections to a [`SmtpSink`] are encrypted, with a certificate for `localhost` and 127.0.0.1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SmtpSecurity {
    /// Not at all.
    #[default]
    Plain,
    /// After STARTTLS, which it insists on.
    StartTls,
    /// From the first byte.
    Tls,
}

/// What the sink does with mail to certain recipients.
#[derive(Clone, Debug, Serialize)]
pub struct SmtpRule {
    recipient: String,
    #[serde(flatten)]
    behaviour: SmtpBehaviour,
    times: Option<u32>,
}

/// What can be asked of a [`SmtpSink`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "behaviour", rename_all = "snake_case")]
pub enum SmtpBehaviour {
    /// 451 to the recipient.
    RefuseTemporarily,
    /// 550 to the recipient.
    RefusePermanently,
    /// Keeps the message, and says so only after this time.
    Delay {
        /// How long.
        delay_ms: u64,
    },
    /// Takes the whole message, then closes the connection instead of answering.
    DropAfterData {
        /// Whether the message was kept: the sender can't know.
        kept: bool,
    },
}

impl SmtpRule {
    /// For recipients that match `pattern` (as a shell matches file names: `*@slow.example.com`).
    pub fn new(pattern: impl Into<String>, behaviour: SmtpBehaviour) -> Self {
        Self { recipient: pattern.into(), behaviour, times: None }
    }

    /// Only the first `times` times (for each recipient); later rules, then acceptance, come after.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }
}

/// A message that the sink has kept.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Message {
    /// The `Message-ID` header.
    pub message_id: String,
    /// The recipients of the envelope.
    pub to: Vec<String>,
    /// The sender of the envelope.
    pub from: String,
    /// The subject, decoded.
    pub subject: String,
    /// All headers in their order, decoded and unfolded.
    pub headers: Vec<(String, String)>,
    /// The plain text part, decoded; empty without one.
    pub body: String,
    /// The HTML part, decoded.
    pub html: Option<String>,
    /// When it had been received, RFC 3339 in UTC.
    pub received_at: String,
    /// Every byte of it as the character of that number; see [`Message::raw`].
    #[serde(rename = "raw")]
    latin1: String,
}

impl Message {
    /// The first header of that name (any case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The message, byte for byte, as a signature covers it.
    pub fn raw(&self) -> Vec<u8> {
        self.latin1.chars().map(|c| c as u8).collect()
    }
}

/// An SMTP server on a free port.
#[derive(Debug)]
pub struct SmtpSink {
    process: Process,
    port: u16,
    rules: Mutex<Rules>,
    scratch: Scratch,
}

#[derive(Debug, Default, Serialize)]
struct Rules {
    /// A change begins all counts of `times` anew.
    version: u64,
    rules: Vec<SmtpRule>,
}

impl SmtpSink {
    /// One that takes everything, unencrypted.
    pub fn start() -> Result<Self> {
        Self::start_with(&SmtpOptions::default())
    }

    /// One set up as `options` say.
    pub fn start_with(options: &SmtpOptions) -> Result<Self> {
        let python = python::python()?;
        let port = free_port()?;
        let scratch = Scratch::new("smtp")?;
        let script = scratch.path().join("smtp_sink.py");
        std::fs::write(&script, SCRIPT).context("smtp sink", || format!("could not write {}", script.display()))?;
        let security = match options.security {
            SmtpSecurity::Plain => "plain",
            SmtpSecurity::StartTls => "starttls",
            SmtpSecurity::Tls => "tls",
        };
        let mut spec = Process::spec("smtp sink", python)
            .arg("-u")
            .arg(&script)
            .args(["--port", &port.to_string(), "--security", security, "--directory"])
            .arg(scratch.path())
            .log(scratch.path().join("log"));
        if let Some((user, password)) = &options.login {
            spec = spec.env("SMTP_SINK_USER", user).env("SMTP_SINK_PASSWORD", password);
        }
        let process = spec.start()?;
        let sink = Self { process, port, rules: Mutex::default(), scratch };
        sink.wait_ready()?;
        Ok(sink)
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `smtp://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("smtp://127.0.0.1:{}", self.port)
    }

    /// The certificate of the authority that signed the server's, in PEM (if the sink encrypts).
    pub fn ca_certificate(&self) -> PathBuf {
        self.scratch.path().join("ca.pem")
    }

    /// The file with what it has kept: one JSON object a line.
    pub fn messages_path(&self) -> PathBuf {
        self.scratch.path().join("messages.jsonl")
    }

    /// What it has kept so far, in the order of arrival. A message is written to disk before it is acknowledged.
    pub fn messages(&self) -> Result<Vec<Message>> {
        let path = self.messages_path();
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            read => read.context("smtp sink", || format!("could not read {}", path.display()))?,
        };
        // A line without its end is still being written: it has not been acknowledged.
        let complete = text.rfind('\n').map_or("", |end| &text[..end]);
        let parse = |line| serde_json::from_str(line).context("smtp sink", || "wrote a line that is no message".into());
        complete.lines().map(parse).collect()
    }

    /// Waits until there are `count` messages (or more), and gives them all.
    pub fn wait_for_messages(&self, count: usize, limit: Duration) -> Result<Vec<Message>> {
        let mut seen = 0;
        let outcome = wait_until(limit, "enough messages in the SMTP sink", || {
            let messages = self.messages();
            seen = messages.as_ref().map_or(seen, Vec::len);
            (messages.is_err() || seen >= count).then_some(messages)
        });
        outcome
            .map_err(|error| Error::new("smtp sink", format!("{seen} of {count} messages: {error}")))
            .and_then(|messages| messages)
    }

    /// Adds a rule after those that there are; the first that matches and is not used up holds.
    pub fn add_rule(&self, rule: SmtpRule) -> Result<()> {
        self.change_rules(|rules| rules.push(rule))
    }

    /// Takes everything again.
    pub fn clear_rules(&self) -> Result<()> {
        self.change_rules(Vec::clear)
    }

    /// SIGKILL; what it had acknowledged stays.
    pub fn kill9(&self) -> Result<()> {
        self.process.kill9()
    }

    /// Starts it again on the same port, with what it has kept and its rules; kills it first if it runs.
    pub fn restart(&self) -> Result<()> {
        self.process.restart()?;
        self.wait_ready()
    }

    /// SIGSTOP: connections stay open, nothing is answered.
    pub fn pause(&self) -> Result<()> {
        self.process.pause()
    }

    /// SIGCONT after [`SmtpSink::pause`].
    pub fn resume(&self) -> Result<()> {
        self.process.resume()
    }

    /// Its process, to look at.
    pub fn process(&self) -> &Process {
        &self.process
    }

    fn wait_ready(&self) -> Result<()> {
        self.process.wait_for_log(READY, START)
    }

    fn change_rules(&self, change: impl FnOnce(&mut Vec<SmtpRule>)) -> Result<()> {
        let mut rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        rules.version += 1;
        change(&mut rules.rules);
        let path = self.scratch.path().join("rules.json");
        let doing = || format!("could not write {}", path.display());
        let text = serde_json::to_vec(&*rules).context("smtp sink", doing)?;
        // The sink sees the old rules or the new ones, never half of them.
        let mut file = tempfile::NamedTempFile::new_in(self.scratch.path()).context("smtp sink", doing)?;
        file.write_all(&text).context("smtp sink", doing)?;
        file.persist(&path).context("smtp sink", doing)?;
        Ok(())
    }
}
