//! The sections that every process has. What each key means is told in `default.toml`.
#![allow(missing_docs, reason = "each field is documented beside its default, in default.toml")]

use std::net::SocketAddr;
use std::path::PathBuf;

use certificates::{Tls, TlsFiles, TlsProblem};
use domain::{HumanDuration, LogPosition};
use serde::Deserialize;

use super::words::{HostPort, LogFilter, Partitions, Prefix, Ratio, Slot, Url};
use super::{ByteSize, ClientProperties, Config, Findings, Layout, Secret};

/// `[installation]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstallationOptions {
    pub prefix: Prefix,
    pub partitions: Partitions,
    pub mode: Mode,
    pub feature_level: u32,
    pub slot: Slot,
}

/// Whether time passes by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// It does.
    Live,
    /// The replay tool moves it.
    Replay,
}

/// `[kafka]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KafkaOptions {
    pub bootstrap_servers: Vec<HostPort>,
    pub registry_url: Url,
    pub registry_user: Option<String>,
    pub registry_password: Option<Secret>,
    pub auto_register: bool,
    pub workers: u16,
    pub commit_interval: HumanDuration,
    pub max_batch_records: u32,
    pub max_batch_bytes: ByteSize,
    pub transaction_timeout: HumanDuration,
    pub session_timeout: HumanDuration,
    pub request_timeout: HumanDuration,
    pub skip: Vec<LogPosition>,
    pub properties: ClientProperties,
}

/// `[store]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreOptions {
    pub kind: StoreKind,
    pub url: Url,
    pub user: Option<String>,
    pub password: Option<Secret>,
    pub connections: u16,
    pub request_timeout: HumanDuration,
    pub cache_bytes: ByteSize,
    pub memory_bytes: ByteSize,
}

/// Where state is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoreKind {
    /// In the process, rebuilt from the changelog at every start.
    Memory,
    /// In Redis.
    Redis,
}

/// `[admin]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdminOptions {
    pub listen: SocketAddr,
}

/// `[grpc]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrpcOptions {
    pub listen: SocketAddr,
    pub token: Option<Secret>,
    pub privacy_token: Option<Secret>,
    #[serde(default)]
    pub tls: GrpcTlsOptions,
    pub max_message_bytes: ByteSize,
    pub default_deadline: HumanDuration,
    pub max_deadline: HumanDuration,
    pub max_connections: u32,
    pub max_concurrent_calls: u32,
}

/// `[grpc.tls]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GrpcTlsOptions {
    pub certificate_file: Option<PathBuf>,
    pub key_file: Option<PathBuf>,
    pub client_ca_file: Option<PathBuf>,
    pub reload_interval: HumanDuration,
}

impl Default for GrpcTlsOptions {
    fn default() -> Self {
        let reload_interval = HumanDuration::from_millis(30_000);
        Self { certificate_file: None, key_file: None, client_ca_file: None, reload_interval }
    }
}

impl GrpcTlsOptions {
    /// Whether any file is named.
    pub fn is_given(&self) -> bool {
        self.files().is_given()
    }

    /// Reads the files; nothing where none is named.
    pub fn load(&self) -> Result<Option<Tls>, TlsProblem> {
        Tls::load(self.files(), b"h2")
    }

    fn files(&self) -> TlsFiles {
        let Self { certificate_file, key_file, client_ca_file, .. } = self.clone();
        TlsFiles { certificate_file, key_file, client_ca_file }
    }
}

/// `[telemetry]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TelemetryOptions {
    pub log_format: LogFormat,
    pub log_filter: LogFilter,
    pub otlp_endpoint: Option<Url>,
    pub sampling: Ratio,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// `[host]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostOptions {
    pub drain_deadline: HumanDuration,
    pub unready_pause: HumanDuration,
    pub stall_limit: HumanDuration,
}

/// The layout of the sections here; services add theirs to it.
pub fn layout() -> Layout {
    Layout::new()
        .defaults(include_str!("default.toml"))
        .section::<InstallationOptions>("installation")
        .section::<KafkaOptions>("kafka")
        .section::<StoreOptions>("store")
        .section::<AdminOptions>("admin")
        .section::<GrpcOptions>("grpc")
        .section::<TelemetryOptions>("telemetry")
        .section::<HostOptions>("host")
        .check(check_kafka)
        .check(check_store)
        .check(check_ports)
        .check(check_telemetry)
        .check(check_host)
}

fn check_host(config: &Config, findings: &mut Findings<'_>) {
    // What a worker may wait for the broker in one call, a few times over.
    let least =
        HumanDuration::from_millis(config.get::<KafkaOptions>().transaction_timeout.as_millis().saturating_mul(6));
    if config.get::<HostOptions>().stall_limit < least {
        findings
            .add("host.stall_limit", format!("is too short: at least six times kafka.transaction_timeout, {least}"));
    }
}

fn check_kafka(config: &Config, findings: &mut Findings<'_>) {
    let kafka: &KafkaOptions = config.get();
    if kafka.bootstrap_servers.is_empty() {
        findings.add("kafka.bootstrap_servers", "is empty: name at least one broker");
    }
    if !["http", "https"].contains(&kafka.registry_url.scheme().as_str()) {
        findings.add("kafka.registry_url", "is not reached by http or https");
    }
    // A password alone is taken by nobody: HTTP Basic has both.
    if kafka.registry_user.is_some() != kafka.registry_password.is_some() {
        findings.add("kafka.registry_user", "goes with kafka.registry_password_file: give both, or neither");
    }
    if kafka.registry_user.as_ref().is_some_and(|user| user.contains(':')) {
        findings.add("kafka.registry_user", "holds a `:`, which HTTP Basic can't tell from the password");
    }
    if !(1..=64).contains(&kafka.workers) {
        findings.add("kafka.workers", "is out of bounds: from 1 to 64");
    }
    if !(1..=100_000).contains(&kafka.max_batch_records) {
        findings.add("kafka.max_batch_records", "is out of bounds: from 1 to 100000");
    }
    if !(64 * 1024..=1 << 30).contains(&kafka.max_batch_bytes.as_u64()) {
        findings.add("kafka.max_batch_bytes", "is out of bounds: from 64KiB to 1GiB");
    }
    let within = |key: &str, value: HumanDuration, least: i64, most: i64, findings: &mut Findings<'_>| {
        if !(least..=most).contains(&value.as_millis()) {
            let [least, most] = [least, most].map(HumanDuration::from_millis);
            findings.add(key, format!("is out of bounds: from {least} to {most}"));
        }
    };
    within("kafka.commit_interval", kafka.commit_interval, 1, 10_000, findings);
    within("kafka.session_timeout", kafka.session_timeout, 1_000, 300_000, findings);
    within("kafka.transaction_timeout", kafka.transaction_timeout, 1_000, 900_000, findings);
    within("kafka.request_timeout", kafka.request_timeout, 100, 300_000, findings);
    if kafka.transaction_timeout <= kafka.commit_interval {
        findings
            .add("kafka.transaction_timeout", "must be longer than kafka.commit_interval, or every batch is aborted");
    }
}

fn check_store(config: &Config, findings: &mut Findings<'_>) {
    let store: &StoreOptions = config.get();
    if !["redis", "rediss", "unix"].contains(&store.url.scheme().as_str()) {
        findings.add("store.url", "is no Redis address: it begins with redis:// or rediss://");
    }
    if store.user.is_some() && store.password.is_none() {
        findings.add("store.user", "goes with store.password_file: Redis asks a user for a password");
    }
    if !(1..=64).contains(&store.connections) {
        findings.add("store.connections", "is out of bounds: from 1 to 64");
    }
    if store.request_timeout.as_millis() == 0 {
        findings.add("store.request_timeout", "is no time at all");
    }
}

fn check_ports(config: &Config, findings: &mut Findings<'_>) {
    let grpc: &GrpcOptions = config.get();
    let admin: &AdminOptions = config.get();
    if grpc.token.is_none() && grpc.tls.client_ca_file.is_none() && !grpc.listen.ip().is_loopback() {
        let message = "is open to the network: that needs a token or certificates of clients; set grpc.token_file or \
                       grpc.tls.client_ca_file, or listen on 127.0.0.1";
        findings.add("grpc.listen", message);
    }
    for (key, token) in [("grpc.token", &grpc.token), ("grpc.privacy_token", &grpc.privacy_token)] {
        if token.as_ref().is_some_and(|token| token.expose().len() < 16) {
            findings.add(key, "is shorter than 16 characters: make it with `openssl rand -hex 32`");
        }
    }
    if grpc.privacy_token.is_some() && grpc.privacy_token == grpc.token {
        let message = "is grpc.token too: whoever may look customers up could erase them";
        findings.add("grpc.privacy_token", message);
    }
    if grpc.listen == admin.listen && grpc.listen.port() != 0 {
        findings.add("grpc.listen", "is the address of admin.listen too: give each its own port");
    }
    if grpc.tls.reload_interval.as_millis() == 0 {
        findings.add("grpc.tls.reload_interval", "is no time at all");
    }
    if grpc.default_deadline.as_millis() == 0 || grpc.default_deadline > grpc.max_deadline {
        findings.add("grpc.default_deadline", "must be more than zero and at most grpc.max_deadline");
    }
    if !(1024..=64 << 20).contains(&grpc.max_message_bytes.as_u64()) {
        findings.add("grpc.max_message_bytes", "is out of bounds: from 1KiB to 64MiB");
    }
    for (key, limit) in
        [("grpc.max_connections", grpc.max_connections), ("grpc.max_concurrent_calls", grpc.max_concurrent_calls)]
    {
        if !(1..=100_000).contains(&limit) {
            findings.add(key, "is out of bounds: from 1 to 100000");
        }
    }
}

fn check_telemetry(config: &Config, findings: &mut Findings<'_>) {
    let telemetry: &TelemetryOptions = config.get();
    if telemetry.otlp_endpoint.as_ref().is_some_and(|endpoint| endpoint.scheme() != "http") {
        let message = "must begin with http://: traces go to a collector nearby, which can pass them on over TLS";
        findings.add("telemetry.otlp_endpoint", message);
    }
}
