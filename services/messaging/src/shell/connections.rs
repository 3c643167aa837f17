//! Connections to the mail server: opened, encrypted, logged in, kept for a while.

use std::fmt;
use std::time::Duration;

use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use parking_lot::Mutex;
use tokio::time::{Instant, timeout};

use super::conversation::Failure;
use super::options::{OptionProblem, Security, SmtpOptions};
use crate::action::Reason;

/// Where and how to connect, and the connections that wait for a message.
pub(super) struct Connections {
    host: String,
    port: u16,
    security: Security,
    tls: Option<TlsParameters>,
    login: Option<Credentials>,
    hello_name: ClientId,
    connect_timeout: Duration,
    idle_timeout: Duration,
    messages_per_connection: u32,
    idle: Mutex<Vec<Connection>>,
    max_idle: usize,
}

/// A connection that is ready for a message.
pub(super) struct Connection {
    pub(super) smtp: AsyncSmtpConnection,
    /// How many messages it has carried.
    carried: u32,
    idle_since: Instant,
}

impl Connection {
    /// Whether it was used before: such a connection may have been closed by the server meanwhile.
    pub(super) fn is_used(&self) -> bool {
        self.carried > 0
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, security, .. } = self;
        f.debug_struct("Connections")
            .field("host", host)
            .field("port", port)
            .field("security", security)
            .finish_non_exhaustive()
    }
}

impl Connections {
    pub(super) fn new(options: &SmtpOptions, problems: &mut Vec<OptionProblem>) -> Self {
        let login = options.login(problems).map(|(username, password)| Credentials::new(username, password));
        let tls = (options.security != Security::None).then(|| tls(options, problems)).flatten();
        Self {
            host: options.host.trim().to_owned(),
            port: options.port(),
            security: options.security,
            tls,
            login,
            hello_name: options.hello_name.clone().map_or_else(ClientId::default, ClientId::Domain),
            connect_timeout: options.connect_timeout.as_std(),
            idle_timeout: options.idle_timeout.as_std(),
            messages_per_connection: options.messages_per_connection,
            idle: Mutex::new(Vec::new()),
            max_idle: usize::from(options.max_concurrent),
        }
    }

    /// A connection that is ready for a message: an idle one, else a new one.
    pub(super) async fn get(&self) -> Result<Connection, Reason> {
        let idle = {
            let mut idle = self.idle.lock();
            idle.retain(|connection| connection.idle_since.elapsed() < self.idle_timeout);
            idle.pop()
        };
        match idle {
            Some(connection) => Ok(connection),
            None => self.open().await,
        }
    }

    /// A new connection. Whatever goes wrong, nothing was done to any message.
    pub(super) async fn open(&self) -> Result<Connection, Reason> {
        let smtp = match timeout(self.connect_timeout, self.connect()).await {
            Ok(connected) => connected?,
            Err(_) => return Err("connect_timed_out".to_owned()),
        };
        Ok(Connection { smtp, carried: 0, idle_since: Instant::now() })
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, Reason> {
        let server = (self.host.trim_matches(['[', ']']), self.port);
        let from_start = self.tls.clone().filter(|_| self.security == Security::Tls);
        let mut smtp = AsyncSmtpConnection::connect_tokio1(server, None, &self.hello_name, from_start, None)
            .await
            .map_err(|error| failed("connect", &error))?;
        if self.security == Security::Starttls {
            if !smtp.can_starttls() {
                smtp.abort().await;
                return Err("starttls_not_offered".to_owned());
            }
            if let Some(tls) = self.tls.clone() {
                smtp.starttls(tls, &self.hello_name).await.map_err(|error| failed("starttls", &error))?;
            }
        }
        if let Some(login) = &self.login
            && let Err(error) = smtp.auth(DEFAULT_MECHANISMS, login).await
        {
            smtp.abort().await;
            return Err(failed("login", &error));
        }
        Ok(smtp)
    }

    /// Keeps a connection for the next message, unless it has carried enough.
    pub(super) async fn give_back(&self, mut connection: Connection) {
        connection.carried += 1;
        connection.idle_since = Instant::now();
        if connection.carried < self.messages_per_connection {
            let mut idle = self.idle.lock();
            if idle.len() < self.max_idle {
                idle.push(connection);
                return;
            }
        }
        close(connection).await;
    }

    /// Says good-bye on all idle connections.
    pub(super) async fn close_all(&self) {
        let idle = std::mem::take(&mut *self.idle.lock());
        for connection in idle {
            close(connection).await;
        }
    }
}

async fn close(mut connection: Connection) {
    // A server that does not answer to good-bye is left all the same.
    let _ = timeout(Duration::from_secs(1), connection.smtp.quit()).await;
}

/// `connect: 554`, `login: 535 5.7.8`, `starttls: tls`: no text of the server.
fn failed(what: &str, error: &Error) -> Reason {
    let reason = if is_tls(error) { "tls".to_owned() } else { Failure::of(error).reason() };
    tracing::warn!(what, reason, "no connection to the mail server");
    format!("{what}: {reason}")
}

/// A certificate that is not trusted, or no encryption at all on the other side: the latter is told as invalid data.
fn is_tls(error: &Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if cause.downcast_ref::<std::io::Error>().is_some_and(|io| io.kind() == std::io::ErrorKind::InvalidData) {
            return true;
        }
        source = cause.source();
    }
    error.is_tls()
}

fn tls(options: &SmtpOptions, problems: &mut Vec<OptionProblem>) -> Option<TlsParameters> {
    let mut builder = TlsParameters::builder(options.host.trim().trim_matches(['[', ']']).to_owned());
    if let Some(path) = &options.ca_file {
        let certificate = std::fs::read(path)
            .map_err(|error| error.to_string())
            .and_then(|pem| Certificate::from_pem(&pem).map_err(|error| error.to_string()));
        match certificate {
            Ok(certificate) => builder = builder.add_root_certificate(certificate),
            Err(error) => {
                problems.push(OptionProblem::new("messaging.smtp.ca_file", format!("{}: {error}", path.display())));
                return None;
            }
        }
    }
    builder
        .build()
        .map_err(|error| problems.push(OptionProblem::new("messaging.smtp.security", error.to_string())))
        .ok()
}
