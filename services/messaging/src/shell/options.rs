//! The settings of messaging, with their defaults, and what may be wrong with them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use domain::HumanDuration;
use serde::Deserialize;

use crate::options::{MAX_WAITING_BYTES, Settings};

/// `[messaging]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MessagingOptions {
    /// How messages are decided on.
    pub decisions: Settings,
    /// In a replay, whether messages really leave (to a mail server that keeps them), each at its request (default: no).
    pub replay_sends: bool,
    /// The mail server.
    pub smtp: SmtpOptions,
    /// The shops, by the id that their events carry.
    pub shops: BTreeMap<String, ShopOptions>,
    /// What is told of those who read messages.
    pub tracking: TrackingOptions,
    /// A claim that is older is not acted on (default `5s`): it must be less than the session time-out of the consumer
    /// group, after which another worker may have declared its outcome unknown.
    pub claim_deadline: HumanDuration,
}

/// `[messaging.tracking]`: what is told of those who read messages. A template can only take from it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrackingOptions {
    /// Whether links lead through the door, which tells that they were followed (default: yes).
    pub clicks: bool,
    /// The hosts to which links may lead through the door, beside that of the shop's own `url`. Messages show addresses that
    /// events brought, and a key that is in web pages lets anybody send those: nobody's host but these is vouched for.
    pub hosts: Vec<String>,
    /// Whether a picture of the door tells that a message was opened (default: no. Nobody does anything to be told of, mail
    /// programs load it by themselves, and in many countries it needs consent).
    pub opens: bool,
}

impl Default for TrackingOptions {
    fn default() -> Self {
        Self { clicks: true, hosts: Vec::new(), opens: false }
    }
}

/// `[messaging.shops.<id>]`: how a shop appears in messages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ShopOptions {
    /// Its name (default: its id). Also who messages come from, where neither template nor definitions say so.
    pub name: Option<String>,
    /// Its address on the web.
    pub url: Option<String>,
    /// The address that its messages come from (default: `smtp.from`).
    pub from: Option<String>,
    /// Where answers go (default: to the sender).
    pub reply_to: Option<String>,
}

/// `[messaging.smtp]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SmtpOptions {
    /// The server's name (default `127.0.0.1`).
    pub host: String,
    /// Its port (default: 587 with `starttls`, 465 with `tls`, 25 with `none`).
    pub port: Option<u16>,
    /// How the connection is encrypted (default `starttls`).
    pub security: Security,
    /// A file with certificates (PEM) that are trusted beside the system's.
    pub ca_file: Option<PathBuf>,
    /// Who logs in; nobody without it.
    pub username: Option<String>,
    /// A file that holds the password and nothing else. Give exactly one of `password_file` and `password_env` where there
    /// is a user name: other people read the configuration.
    pub password_file: Option<PathBuf>,
    /// An environment variable that holds the password.
    pub password_env: Option<String>,
    /// The address that messages come from.
    pub from: String,
    /// What this host calls itself to the server (default: its host name).
    pub hello_name: Option<String>,
    /// The domain of Message-IDs (default: that of `from`).
    pub message_id_domain: Option<String>,
    /// So many messages are being sent at once, at most (default 8).
    pub max_concurrent: u16,
    /// So many leave in a second, at most (default 50).
    pub rate_per_second: u32,
    /// How long connecting may take, with encryption and log-in (default `10s`).
    pub connect_timeout: HumanDuration,
    /// How long the server may take to answer a command (default `30s`).
    pub command_timeout: HumanDuration,
    /// How long the server may take to say that it has the message (default `2m`). After that nobody knows.
    pub accept_timeout: HumanDuration,
    /// For how long a connection that is not used is kept (default `30s`).
    pub idle_timeout: HumanDuration,
    /// After so many messages a connection is closed (default 100).
    pub messages_per_connection: u32,
}

/// How a connection is encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Security {
    /// By STARTTLS; a server that does not offer it gets nothing.
    #[default]
    Starttls,
    /// From the first byte.
    Tls,
    /// Not at all: only to this very machine.
    None,
}

impl Default for MessagingOptions {
    fn default() -> Self {
        Self {
            decisions: Settings::default(),
            replay_sends: false,
            smtp: SmtpOptions::default(),
            shops: BTreeMap::new(),
            tracking: TrackingOptions::default(),
            claim_deadline: HumanDuration::from_millis(5_000),
        }
    }
}

impl Default for SmtpOptions {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: None,
            security: Security::default(),
            ca_file: None,
            username: None,
            password_file: None,
            password_env: None,
            from: String::new(),
            hello_name: None,
            message_id_domain: None,
            max_concurrent: 8,
            rate_per_second: 50,
            connect_timeout: HumanDuration::from_millis(10_000),
            command_timeout: HumanDuration::from_millis(30_000),
            accept_timeout: HumanDuration::from_millis(120_000),
            idle_timeout: HumanDuration::from_millis(30_000),
            messages_per_connection: 100,
        }
    }
}

/// A setting that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct OptionProblem {
    /// The setting, such as `messaging.smtp.from`.
    pub key: String,
    /// What is wrong, and what to do.
    pub problem: String,
}

impl OptionProblem {
    pub(super) fn new(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { key: key.into(), problem: problem.into() }
    }
}

impl MessagingOptions {
    /// What is wrong with how messages are decided on.
    pub(super) fn check_decisions(&self, problems: &mut Vec<OptionProblem>) {
        if self.decisions.waiting_bytes_per_customer > MAX_WAITING_BYTES {
            let problem = format!("at most {MAX_WAITING_BYTES}: what waits of a customer has to fit a record");
            problems.push(OptionProblem::new("messaging.decisions.waiting_bytes_per_customer", problem));
        }
    }
}

impl SmtpOptions {
    pub(super) fn port(&self) -> u16 {
        self.port.unwrap_or(match self.security {
            Security::Starttls => 587,
            Security::Tls => 465,
            Security::None => 25,
        })
    }

    /// The user name and password; none if nobody logs in.
    pub(super) fn login(&self, problems: &mut Vec<OptionProblem>) -> Option<(String, String)> {
        let given = [self.password_file.is_some(), self.password_env.is_some()];
        let username = match (&self.username, given.iter().filter(|given| **given).count()) {
            (None, 0) => return None,
            (Some(username), 1) => username.clone(),
            (None, _) => {
                problems.push(OptionProblem::new("messaging.smtp.username", "there is a password, but no user name"));
                return None;
            }
            (Some(_), _) => {
                let problem = "give exactly one of `password_file` and `password_env`";
                problems.push(OptionProblem::new("messaging.smtp.password_file", problem));
                return None;
            }
        };
        self.password(problems).map(|password| (username, password))
    }

    fn password(&self, problems: &mut Vec<OptionProblem>) -> Option<String> {
        let (key, read) = match (&self.password_file, self.password_env.as_deref()) {
            (Some(path), _) => {
                let read = std::fs::read_to_string(path);
                ("messaging.smtp.password_file", read.map_err(|error| format!("{}: {error}", path.display())))
            }
            (None, name) => {
                let name = name.unwrap_or_default();
                let read = std::env::var(name);
                ("messaging.smtp.password_env", read.map_err(|_| format!("the variable {name} is not set")))
            }
        };
        match read.map(|password| password.trim_end_matches(['\r', '\n']).to_owned()) {
            Ok(password) if !password.is_empty() => Some(password),
            Ok(_) => {
                problems.push(OptionProblem::new(key, "the password is empty"));
                None
            }
            Err(problem) => {
                problems.push(OptionProblem::new(key, problem));
                None
            }
        }
    }

    /// What is wrong with the numbers, and with sending in the clear.
    pub(super) fn check(&self, problems: &mut Vec<OptionProblem>) {
        let mut needs = |key: &str, holds: bool, problem: &str| {
            if !holds {
                problems.push(OptionProblem::new(format!("messaging.smtp.{key}"), problem));
            }
        };
        needs("host", !self.host.trim().is_empty(), "the name of the mail server is missing");
        needs("port", self.port != Some(0), "0 is no port");
        needs("max_concurrent", self.max_concurrent > 0, "at least 1: with 0 nothing would ever leave");
        needs("rate_per_second", self.rate_per_second > 0, "at least 1: with 0 nothing would ever leave");
        needs("messages_per_connection", self.messages_per_connection > 0, "at least 1");
        for (key, duration) in [
            ("connect_timeout", self.connect_timeout),
            ("command_timeout", self.command_timeout),
            ("accept_timeout", self.accept_timeout),
        ] {
            needs(key, duration > HumanDuration::ZERO, "longer than nothing: a time-out of 0 refuses every message");
        }
        let in_the_clear = self.security == Security::None && !is_loopback(&self.host);
        let advice =
            "`none` sends messages and password in the clear: use `starttls` or `tls`, or a server on this machine";
        needs("security", !in_the_clear, advice);
    }
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim().trim_matches(['[', ']']);
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}
