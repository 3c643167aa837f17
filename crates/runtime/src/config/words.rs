//! Types of values that several sections have: each refuses what makes no sense.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};

/// A type that is written as text and refuses bad texts with a sentence.
macro_rules! deserialize_from_text {
    ($($name:ty)*) => {$(
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

deserialize_from_text! { Prefix HostPort Url LogFilter }

/// What leads the names of topics, groups, transactions and store keys: two installations share a cluster by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix(String);

impl Prefix {
    /// The prefix.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Prefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_word = text.len() <= 40
            && text.starts_with(|first: char| first.is_ascii_lowercase())
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        let refused =
            "is no prefix: up to 40 of a-z, 0-9 and `-`, a letter first (`.` and `_` would mix with topic names)";
        if is_word { Ok(Self(text.to_owned())) } else { Err(refused.to_owned()) }
    }
}

/// The number of partitions of every customer topic, fixed when an installation is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
pub struct Partitions(i32);

impl Partitions {
    /// The number.
    pub const fn get(self) -> i32 {
        self.0
    }
}

impl TryFrom<i64> for Partitions {
    type Error = String;

    fn try_from(number: i64) -> Result<Self, String> {
        match i32::try_from(number) {
            Ok(number @ 1..=1024) => Ok(Self(number)),
            _ => Err(format!("{number} is no number of partitions: from 1 to 1024")),
        }
    }
}

/// A share, from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(try_from = "f64")]
pub struct Ratio(f64);

impl Ratio {
    /// The share.
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Ratio {
    type Error = String;

    fn try_from(share: f64) -> Result<Self, String> {
        let fits = (0.0..=1.0).contains(&share);
        if fits { Ok(Self(share)) } else { Err(format!("{share} is no share: from 0.0 to 1.0")) }
    }
}

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort(String);

impl HostPort {
    /// `host:port`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for HostPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_pair = text.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty() && !host.contains(['/', ' ', '@', ',']) && port.parse::<u16>().is_ok_and(|port| port > 0)
        });
        let shown: String = text.chars().take(60).collect();
        if is_pair {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!("`{shown}` is not host:port, like 127.0.0.1:9092"))
        }
    }
}

/// An address with a scheme. A password in it is refused, so that it can be logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url(String);

impl Url {
    /// The address, without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its scheme, in small letters.
    pub fn scheme(&self) -> String {
        self.0.split("://").next().unwrap_or_default().to_ascii_lowercase()
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Url {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // The text is not shown: it may hold a password.
        let Some((scheme, rest)) = text.trim().split_once("://") else {
            return Err("is no address with a scheme, like http://127.0.0.1:8081".to_owned());
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.contains('@') {
            return Err("holds a user or a password: they have keys of their own beside this one".to_owned());
        }
        let is_scheme =
            !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        if !is_scheme || authority.is_empty() || text.contains(char::is_whitespace) {
            return Err("is no address with a scheme and a host, like http://127.0.0.1:8081".to_owned());
        }
        Ok(Self(text.trim().trim_end_matches('/').to_owned()))
    }
}

/// Which log lines are wanted: `info`, or `info,kafka=debug`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFilter(String);

impl LogFilter {
    /// The directives.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for LogFilter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match tracing_subscriber::EnvFilter::try_new(text) {
            Ok(_) if !text.trim().is_empty() => Ok(Self(text.to_owned())),
            _ => Err("is no log filter; write it like `info` or `info,kafka=debug`".to_owned()),
        }
    }
}

/// Which of a service's instances this is: leads to its stable ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// A number, from 0.
    Number(u16),
    /// The number at the end of the host's name, as a Kubernetes `StatefulSet` gives it.
    OfHostName,
}

impl Slot {
    /// The number, given the host's name; `Err` says why there is none.
    pub fn resolve(self, host_name: &str) -> Result<u16, String> {
        match self {
            Self::Number(number) => Ok(number),
            Self::OfHostName => host_name.rsplit('-').next().and_then(|number| number.parse().ok()).ok_or_else(|| {
                format!("installation.slot is `hostname`, but `{host_name}` does not end with `-` and a number: set the slot")
            }),
        }
    }
}

impl FromStr for Slot {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "hostname" => Ok(Self::OfHostName),
            number => number
                .parse()
                .map(Self::Number)
                .map_err(|_| "is no slot: a number from 0 to 65535, or \"hostname\"".to_owned()),
        }
    }
}

impl<'de> Deserialize<'de> for Slot {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl serde::de::Visitor<'_> for Visitor {
            type Value = Slot;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number or \"hostname\"")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Slot, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Slot, E> {
                self.visit_str(&number.to_string())
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}
