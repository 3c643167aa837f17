//! The sections of the configuration that the services have, beside those of every process.

use std::collections::BTreeMap;
use std::path::PathBuf;

use definitions::ShopTimeZones;
use domain::{Currency, HumanDuration};
use ingestion::ResolverPolicy;
use ingestion::shell::DoorOptions;
use links::{KeyRing, Secret};
use messaging::shell::MessagingOptions;
use runtime::config::{Config, Findings, KafkaOptions, Layout, MAX_SECRET_SIZE, StoreKind, StoreOptions, read_bytes};
use serde::Deserialize;

/// `[links]`: what signs links and hashes addresses. Door and messaging have the same; segmentation has the secret of hashes, too.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkOptions {
    /// Where the door is reached from outside.
    pub base_url: String,
    /// The file with the signing keys, one `id:secret` a line, the newest first.
    pub keys_file: Option<PathBuf>,
    /// The file with the secret of address hashes. It never changes: hashes outlive erasure.
    pub address_secret_file: Option<PathBuf>,
}

/// `[journeys]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JourneysOptions {
    /// A trigger that reached the broker longer than this after it happened opens no run.
    pub late_limit: HumanDuration,
    /// The shops' time zone.
    pub time_zone: String,
    /// The time zones of shops that have another.
    #[serde(default)]
    pub shop_time_zones: BTreeMap<String, String>,
    /// Changes who is held out. Fixed when the installation is created.
    #[serde(default)]
    pub holdout_seed: String,
}

/// `[segmentation]`
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SegmentationOptions {
    /// How often the boundaries of quintiles are learnt anew; nought for never.
    pub(super) quintiles_every: HumanDuration,
    /// How often it is looked whether somebody is to be erased, or is by now; nought for never.
    pub(super) erasures_every: HumanDuration,
}

/// `[ingestion]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IngestionOptions {
    /// The door.
    #[serde(default)]
    pub door: DoorOptions,
    /// The resolver.
    #[serde(default)]
    pub resolver: ResolverPolicy,
}

/// What links and hashes are made with.
#[derive(Clone, Debug)]
pub struct Sections;

/// The layout of a process that may run any service.
pub fn layout() -> Layout {
    runtime::config::layout()
        .defaults(include_str!("default.toml"))
        .section::<IngestionOptions>("ingestion")
        .section::<JourneysOptions>("journeys")
        .section::<SegmentationOptions>("segmentation")
        .section::<LinkOptions>("links")
        .section::<MessagingOptions>("messaging")
        .check(check_time_zones)
        .check(check_claim_deadline)
        .check(check_tls)
}

fn check_time_zones(config: &Config, findings: &mut Findings<'_>) {
    let options: &JourneysOptions = config.get();
    let of_shops =
        options.shop_time_zones.iter().map(|(shop, name)| (format!("journeys.shop_time_zones.{shop}"), name));
    for (key, name) in std::iter::once(("journeys.time_zone".to_owned(), &options.time_zone)).chain(of_shops) {
        if let Err(fault) = time_zone(key, name) {
            findings.add(&fault.key, fault.problem);
        }
    }
}

fn check_claim_deadline(config: &Config, findings: &mut Findings<'_>) {
    let messaging: &MessagingOptions = config.get();
    // Who sends no mail claims nothing.
    let sends = !messaging.smtp.from.is_empty();
    if sends && messaging.claim_deadline >= config.get::<KafkaOptions>().session_timeout {
        let problem = "must be less than kafka.session_timeout, after which another worker may take over";
        findings.add("messaging.claim_deadline", problem);
    }
}

/// What a build without TLS can't do is told here, and not by a library at the first connection.
fn check_tls(config: &Config, findings: &mut Findings<'_>) {
    const BUILD: &str = "this build has no TLS: build it with `cargo build --release -p vuelve --features tls`";
    if cfg!(feature = "tls") {
        return;
    }
    let kafka: &KafkaOptions = config.get();
    if kafka.registry_url.scheme() == "https" {
        findings.add("kafka.registry_url", format!("begins with https://, and {BUILD}"));
    }
    let property = |name: &str| kafka.properties.get(name).unwrap_or_default().to_ascii_uppercase();
    let protocol = property("security.protocol");
    if protocol.contains("SSL") {
        findings.add("kafka.properties", format!("`security.protocol` is {protocol}, and {BUILD}"));
    }
    for name in ["sasl.mechanism", "sasl.mechanisms"] {
        let mechanism = property(name);
        if mechanism.starts_with("SCRAM") || mechanism == "OAUTHBEARER" {
            findings.add("kafka.properties", format!("`{name}` is {mechanism}, which comes with TLS, and {BUILD}"));
        }
    }
    let store: &StoreOptions = config.get();
    if store.kind == StoreKind::Redis && store.url.scheme() == "rediss" {
        findings.add("store.url", format!("begins with rediss://, and {BUILD}"));
    }
}

/// What is wrong with a key that names something outside of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct Fault {
    /// The key, `section.key`.
    pub key: String,
    /// What is wrong, and what to do.
    pub problem: String,
}

fn fault(key: &str, problem: impl Into<String>) -> Fault {
    Fault { key: key.to_owned(), problem: problem.into() }
}

fn time_zone(key: String, name: &str) -> Result<jiff::tz::TimeZone, Fault> {
    let problem = || format!("`{name}` is not a time zone (IANA, such as Europe/Madrid)");
    definitions::time_zone(name).ok_or_else(|| Fault { key, problem: problem() })
}

/// The file that a key names.
fn file<'a>(key: &str, path: Option<&'a PathBuf>, holds: &str) -> Result<(&'a PathBuf, Vec<u8>), Fault> {
    let path = path.ok_or_else(|| fault(key, format!("is not set: it names the file with {holds}")))?;
    let bytes = read_bytes(path, MAX_SECRET_SIZE);
    bytes.map(|bytes| (path, bytes)).map_err(|problem| fault(key, format!("{} {problem}", path.display())))
}

impl Sections {
    /// The signing keys.
    pub fn keys(config: &Config) -> Result<KeyRing, Fault> {
        const KEY: &str = "links.keys_file";
        let path = config.get::<LinkOptions>().keys_file.as_ref();
        let (path, bytes) = file(KEY, path, "the keys that sign links")?;
        let text = String::from_utf8(bytes).map_err(|_| fault(KEY, format!("{} is no text", path.display())))?;
        KeyRing::parse(&text).map_err(|error| fault(KEY, format!("{}: {error}", path.display())))
    }

    /// The secret of address hashes.
    pub fn address_secret(config: &Config) -> Result<Secret, Fault> {
        const KEY: &str = "links.address_secret_file";
        let path = config.get::<LinkOptions>().address_secret_file.as_ref();
        let (path, bytes) = file(KEY, path, "the secret of address hashes")?;
        Secret::new(bytes.trim_ascii()).map_err(|error| fault(KEY, format!("{}: {error}", path.display())))
    }

    /// The shops that write keys stand for, each with the currency of amounts that name none.
    pub fn shops(config: &Config) -> Vec<(String, Currency)> {
        let keys = &config.get::<IngestionOptions>().door.write_keys;
        keys.iter().map(|key| (key.shop.clone(), key.currency)).collect()
    }

    /// The shops' time zones.
    pub fn time_zones(config: &Config) -> Result<ShopTimeZones, Fault> {
        let options: &JourneysOptions = config.get();
        let by_shop = options.shop_time_zones.iter().map(|(shop, name)| {
            let zone = time_zone(format!("journeys.shop_time_zones.{shop}"), name)?;
            Ok((shop.clone(), zone))
        });
        Ok(ShopTimeZones {
            default: time_zone("journeys.time_zone".to_owned(), &options.time_zone)?,
            by_shop: by_shop.collect::<Result<_, Fault>>()?,
        })
    }

    /// What journeys are walked with.
    pub fn journeys(config: &Config, replay: bool) -> Result<journeys::Settings, Fault> {
        let options: &JourneysOptions = config.get();
        Ok(journeys::Settings {
            replay,
            late_limit: options.late_limit,
            open_from_history: replay,
            time_zones: Self::time_zones(config)?,
            holdout_seed: options.holdout_seed.clone(),
        })
    }
}
