//! Where Redis is and how long to wait for it. A value of these types that exists is valid.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ::redis::{Client, ConnectionInfo, IntoConnectionInfo, ProtocolVersion};

/// Where Redis is, whose keys these are, and how long to wait. Its `Debug` form hides passwords.
#[derive(Clone)]
pub struct RedisOptions {
    /// `redis://[user[:password]@]host[:port][/database]`, `rediss://…` for TLS, `unix:///path` for a socket.
    pub url: String,
    /// Who logs in, where the URL does not say it.
    pub user: Option<String>,
    /// The password, where it is neither in the URL nor in a file. Never shown.
    pub password: Option<String>,
    /// A file that holds the password (instead of one in the URL); read at each connection, so that it may be rotated.
    pub password_file: Option<PathBuf>,
    /// A file with the authority's certificates (PEM) by which a `rediss://` server is checked; by default the system's.
    pub ca_file: Option<PathBuf>,
    /// The installation's prefix: leads all keys.
    pub prefix: String,
    /// The service whose state this is.
    pub service: String,
    /// By which rules its states are found under labels ([`stream::State::INDEX`]): a view whose index was made by others is
    /// rebuilt.
    pub index: u32,
    /// How long one attempt to connect may take.
    pub connect_timeout: Duration,
    /// How long one answer may take before the connection is given up.
    pub response_timeout: Duration,
    /// How long a call tries in all, over lost connections, before it says that Redis can't be reached.
    pub deadline: Duration,
    /// The first pause between two attempts; each is twice the one before.
    pub first_pause: Duration,
    /// The longest pause between two attempts.
    pub longest_pause: Duration,
    /// How many connections all lookups share.
    pub lookup_connections: usize,
}

/// What is wrong with the options.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum OptionsError {
    /// The URL can't be used. (It is not repeated here, as it may hold a password.)
    #[error(
        "the Redis URL is not valid: {0}; write redis://[user[:password]@]host[:port][/database], or rediss://… for TLS"
    )]
    Url(String),
    /// The authority's certificates can't be used.
    #[error("the Redis CA file {file} can't be used: {why}")]
    Authority {
        /// Where it was looked for.
        file: String,
        /// What is wrong with it.
        why: String,
    },
    /// A name can't be part of a key.
    #[error("the {what} {name:?} can't lead Redis keys: write 1 to 100 letters, digits, - . or _")]
    Name {
        /// Which name.
        what: &'static str,
        /// As it was given.
        name: String,
    },
    /// A number that must not be zero.
    #[error("{0} must be more than zero")]
    Zero(&'static str),
}

impl RedisOptions {
    /// The defaults: an attempt to connect takes at most 2 s, an answer 5 s, a call 10 s; 8 connections for lookups.
    pub fn new(url: impl Into<String>, prefix: impl Into<String>, service: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            user: None,
            password: None,
            password_file: None,
            ca_file: None,
            prefix: prefix.into(),
            service: service.into(),
            index: 0,
            connect_timeout: Duration::from_secs(2),
            response_timeout: Duration::from_secs(5),
            deadline: Duration::from_secs(10),
            first_pause: Duration::from_millis(10),
            longest_pause: Duration::from_secs(1),
            lookup_connections: 8,
        }
    }

    /// Checks all; the client connects to nothing yet.
    pub(super) fn client(&self) -> Result<Client, OptionsError> {
        check_name("prefix", &self.prefix)?;
        check_name("service", &self.service)?;
        for (what, duration) in [("connect_timeout", self.connect_timeout), ("response_timeout", self.response_timeout)]
        {
            if duration < Duration::from_millis(1) {
                return Err(OptionsError::Zero(what));
            }
        }
        if self.lookup_connections == 0 {
            return Err(OptionsError::Zero("lookup_connections"));
        }
        let info = self.connection_info()?;
        match &self.ca_file {
            Some(file) => trusting(info, file),
            // An error of the client library may repeat the URL: it is not passed on.
            None => Client::open(info).map_err(|_| OptionsError::Url("no client can be made of it".into())),
        }
    }

    fn connection_info(&self) -> Result<ConnectionInfo, OptionsError> {
        let scheme = self.url.split_once("://").map_or("", |(scheme, _)| scheme);
        if !["redis", "rediss", "unix"].contains(&scheme) {
            return Err(OptionsError::Url("it begins with neither redis://, rediss:// nor unix://".into()));
        }
        if scheme == "rediss" && !cfg!(feature = "tls") {
            return Err(OptionsError::Url(
                "it asks for TLS (rediss://), and this build has none (feature `tls`)".into(),
            ));
        }
        let info = self.url.as_str().into_connection_info().map_err(|error| {
            OptionsError::Url(match error.kind() {
                ::redis::ErrorKind::InvalidClientConfig => "it is malformed, or its database is not a number".into(),
                _ => "it is malformed".to_owned(),
            })
        })?;
        let tcp = info.tcp_settings().clone().set_nodelay(true);
        let mut redis = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP2);
        if let Some(user) = &self.user {
            redis = redis.set_username(user);
        }
        if let Some(password) = &self.password {
            redis = redis.set_password(password);
        }
        Ok(info.set_tcp_settings(tcp).set_redis_settings(redis))
    }
}

/// A client that trusts the authority in the file, and no other.
#[cfg(feature = "tls")]
fn trusting(info: ConnectionInfo, file: &Path) -> Result<Client, OptionsError> {
    let refused = |why: String| OptionsError::Authority { file: file.display().to_string(), why };
    let root_cert = std::fs::read(file).map_err(|error| refused(error.to_string()))?;
    // The client library takes a file without any for one that trusts nobody.
    if !String::from_utf8_lossy(&root_cert).contains("-----BEGIN CERTIFICATE-----") {
        return Err(refused("it holds no certificate in PEM form".into()));
    }
    let certificates = ::redis::TlsCertificates { client_tls: None, root_cert: Some(root_cert) };
    Client::build_with_tls(info, certificates)
        .map_err(|_| refused("its certificates can't be read, or the URL is not rediss://".into()))
}

#[cfg(not(feature = "tls"))]
fn trusting(_: ConnectionInfo, file: &Path) -> Result<Client, OptionsError> {
    let why = "this build has no TLS (feature `tls`)".into();
    Err(OptionsError::Authority { file: file.display().to_string(), why })
}

fn check_name(what: &'static str, name: &str) -> Result<(), OptionsError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if name.is_empty() || name.len() > 100 || !name.bytes().all(plain) {
        return Err(OptionsError::Name { what, name: name.to_owned() });
    }
    Ok(())
}

/// The URL without user, password and query.
pub(super) fn without_secrets(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return "…".into() };
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    match rest.rsplit_once('@') {
        Some((_, place)) => format!("{scheme}://…@{place}"),
        None => format!("{scheme}://{rest}"),
    }
}

impl fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisOptions")
            .field("url", &without_secrets(&self.url))
            .field("password_file", &self.password_file)
            .field("prefix", &self.prefix)
            .field("service", &self.service)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}
