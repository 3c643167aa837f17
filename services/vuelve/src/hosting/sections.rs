//! The sections of the configuration that the services have, beside those of every process.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context;
use domain::HumanDuration;
use ingestion::ResolverPolicy;
use ingestion::shell::DoorOptions;
use links::{KeyRing, Secret};
use messaging::shell::MessagingOptions;
use runtime::config::{Config, Layout};
use serde::Deserialize;

/// `[links]`: what signs links and hashes addresses. Door and messaging have the same.
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
        .section::<LinkOptions>("links")
        .section::<MessagingOptions>("messaging")
}

impl Sections {
    /// The signing keys.
    pub fn keys(config: &Config) -> anyhow::Result<KeyRing> {
        let path = config.get::<LinkOptions>().keys_file.as_ref();
        let path = path.context("links.keys_file is not set: it names the file with the keys that sign links")?;
        let text = std::fs::read_to_string(path).with_context(|| format!("links.keys_file: {}", path.display()))?;
        KeyRing::parse(&text).with_context(|| format!("links.keys_file: {}", path.display()))
    }

    /// The secret of address hashes.
    pub fn address_secret(config: &Config) -> anyhow::Result<Secret> {
        let path = config.get::<LinkOptions>().address_secret_file.as_ref();
        let path =
            path.context("links.address_secret_file is not set: it names the file with the secret of address hashes")?;
        let bytes = std::fs::read(path).with_context(|| format!("links.address_secret_file: {}", path.display()))?;
        let text = bytes.trim_ascii().to_vec();
        Secret::new(text).with_context(|| format!("links.address_secret_file: {}", path.display()))
    }

    /// What journeys are walked with.
    pub fn journeys(config: &Config, replay: bool) -> anyhow::Result<journeys::Settings> {
        let options: &JourneysOptions = config.get();
        let zone = |key: &str, name: &str| {
            definitions::time_zone(name)
                .with_context(|| format!("{key}: `{name}` is not a time zone (IANA, such as Europe/Madrid)"))
        };
        let mut shop_time_zones = BTreeMap::new();
        for (shop, name) in &options.shop_time_zones {
            shop_time_zones.insert(shop.clone(), zone(&format!("journeys.shop_time_zones.{shop}"), name)?);
        }
        Ok(journeys::Settings {
            replay,
            late_limit: options.late_limit,
            open_from_history: replay,
            time_zone: zone("journeys.time_zone", &options.time_zone)?,
            shop_time_zones,
            holdout_seed: options.holdout_seed.clone(),
        })
    }
}
