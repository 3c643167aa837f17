//! Starting and stopping.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::core::{Core, CoreConfig};
use crate::registry;
use crate::wire::{self, Shared};

/// What a broker is started with.
#[derive(Clone, Debug)]
pub struct DevBrokerConfig {
    /// Where Kafka clients connect; port 0 takes a free one.
    pub listen: SocketAddr,
    /// What clients are told to connect to, where it isn't the listening address itself.
    pub advertised_host: Option<String>,
    /// Where the schema registry listens, if wanted; port 0 takes a free one.
    pub registry_listen: Option<SocketAddr>,
    /// The logs may cost so much. Above, producers wait and are then refused.
    pub memory_limit_bytes: usize,
    /// A larger request ends its connection.
    pub max_request_bytes: usize,
    /// A fetch gives at most so much.
    pub max_fetch_bytes: usize,
    /// More connections are refused.
    pub max_connections: usize,
    /// All else; its `memory_limit_bytes` is set from the one above.
    pub core: CoreConfig,
}

impl Default for DevBrokerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
            advertised_host: None,
            registry_listen: None,
            memory_limit_bytes: 1 << 30,
            max_request_bytes: 100 << 20,
            max_fetch_bytes: 64 << 20,
            max_connections: 1_000,
            core: CoreConfig::default(),
        }
    }
}

/// A running broker. Dropping it stops it, too, without waiting.
#[derive(Debug)]
pub struct DevBroker {
    bootstrap: String,
    registry_url: Option<String>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl DevBroker {
    /// Binds the ports and starts to serve on the present tokio runtime.
    ///
    /// # Errors
    /// If an address can't be bound.
    pub async fn start(config: DevBrokerConfig) -> io::Result<Self> {
        let listener = bind(config.listen).await?;
        let registry = match config.registry_listen {
            Some(address) => Some(bind(address).await?),
            None => None,
        };
        let address = listener.local_addr()?;
        let host = config.advertised_host.clone().unwrap_or_else(|| reachable(address.ip()).to_string());
        let core = Core::new(CoreConfig { memory_limit_bytes: config.memory_limit_bytes, ..config.core.clone() });
        let limits = wire::WireLimits {
            request_bytes: config.max_request_bytes,
            fetch_bytes: config.max_fetch_bytes,
            connections: config.max_connections,
        };
        let cluster_id = format!("devbroker-{:016x}", config.core.seed);
        let shared = Arc::new(Shared::new(core, limits, host.clone(), address.port(), cluster_id));
        let (stop, stopped) = watch::channel(false);
        let mut tasks = vec![
            tokio::spawn(wire::keep_time(Arc::clone(&shared), stopped.clone())),
            tokio::spawn(wire::serve(shared, listener, stopped.clone())),
        ];
        let mut registry_url = None;
        if let Some(registry) = registry {
            let port = registry.local_addr()?.port();
            registry_url = Some(format!("http://{}", SocketAddrText(&host, port)));
            tasks.push(tokio::spawn(registry::http::serve(registry, stopped)));
        }
        Ok(Self { bootstrap: SocketAddrText(&host, address.port()).to_string(), registry_url, stop, tasks })
    }

    /// `host:port` for `bootstrap.servers`.
    pub fn bootstrap_servers(&self) -> String {
        self.bootstrap.clone()
    }

    /// The schema registry's base URL, if it was asked for.
    pub fn registry_url(&self) -> Option<String> {
        self.registry_url.clone()
    }

    /// Closes all connections and forgets everything.
    pub async fn shutdown(self) {
        self.stop.send_replace(true);
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::warn!(%error, "a broker task did not end well");
            }
        }
    }
}

/// A line for whoever starts it: what this is, and what it is not.
pub fn banner(broker: &DevBroker) -> String {
    let registry = broker.registry_url().map(|url| format!(", schema registry on {url}")).unwrap_or_default();
    format!(
        "Embedded Kafka broker on {}{registry}. For trying and testing only: one node, in memory, no TLS, no \
         passwords; all records are gone when it stops.",
        broker.bootstrap_servers()
    )
}

async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .map_err(|error| io::Error::new(error.kind(), format!("can't listen on {address}: {error}")))
}

/// An address that a client on this machine can connect to.
fn reachable(ip: IpAddr) -> IpAddr {
    if ip.is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { ip }
}

/// Host and port, with brackets around an IPv6 address.
struct SocketAddrText<'a>(&'a str, u16);

impl std::fmt::Display for SocketAddrText<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.contains(':') { write!(f, "[{}]:{}", self.0, self.1) } else { write!(f, "{}:{}", self.0, self.1) }
    }
}
