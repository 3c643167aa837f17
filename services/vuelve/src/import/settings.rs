//! What is said of a file, looked through before it is read.

use std::collections::BTreeSet;

use anyhow::{Context, bail, ensure};
use definitions::{MAX_MAPPING_BYTES, RowMapping, digest, parse_row_mapping, time_zone};
use domain::Currency;
use ingestion::ids::MAX_ID_BYTES;
use ingestion::mapping::past::{Kind, Terms};
use jiff::tz::TimeZone;
use links::Secret;
use runtime::config::{ByteSize, Config, read_text};
use schemas::LINKS;

use super::Import;
use super::rows::Format;
use crate::folders::LoadError;
use crate::hosting::{Installation, Sections};

/// Everything that rows are read with.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) format: Format,
    pub(super) mapping: Option<RowMapping>,
    /// Names the mapping by what it says.
    mapping_digest: String,
    pub(super) time_zone: Option<TimeZone>,
    pub(super) shop: String,
    pub(super) currency: Currency,
    pub(super) secret: Secret,
}

impl Import {
    /// Reads what the settings name; an error names the one that is wrong.
    pub(super) fn read(&self, config: &Config) -> anyhow::Result<Read> {
        let format = self.format.or_else(|| Format::of(&self.file));
        let format = format.with_context(|| {
            format!(
                "{}: its name does not say how it is written; say --format csv, jsonl or parquet",
                self.file.display()
            )
        })?;
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        ensure!(
            (1..=64).contains(&self.source.len()) && self.source.bytes().all(fits) && self.source != LINKS,
            "--source: `{}` is no name for a source: 1 to 64 letters, digits, - _ and . are, but for {LINKS}",
            self.source
        );
        let zone =
            match &self.time_zone {
                Some(name) => Some(time_zone(name).with_context(|| {
                    format!("--time-zone: `{name}` is not a time zone (IANA, such as Europe/Madrid)")
                })?),
                None => None,
            };
        let (mapping, mapping_digest) = self.mapping()?;
        let (shop, currency) = self.shop(config)?;
        let secret = match Sections::address_secret(config) {
            // Where nothing is sent, ids that are addresses may be hashed with another key.
            Err(_) if self.dry_run => {
                Secret::new(*b"the key of nobody, for tests alone").context("the key of tests")?
            }
            secret => secret?,
        };
        Ok(Read { format, mapping, mapping_digest, time_zone: zone, shop, currency, secret })
    }

    pub(super) fn terms<'a>(&self, read: &'a Read) -> Terms<'a> {
        Terms {
            kind: self.kind,
            calls: self.kind == Kind::Events && read.format == Format::Jsonl && read.mapping.is_none(),
            mapping: read.mapping.as_ref(),
            time_zone: read.time_zone.as_ref(),
            decimal_comma: self.decimal_comma,
            historical: !self.open_journeys,
        }
    }

    /// What an import is gone on with only if it is the same: how rows are read, and where they go.
    pub(super) fn settings(&self, read: &Read, installation: &Installation) -> Vec<(String, String)> {
        let zone = self.time_zone.clone().unwrap_or_default();
        let settings = [
            ("rows", self.kind.word().to_owned()),
            ("--format", format!("{:?}", read.format).to_lowercase()),
            ("--mapping", read.mapping_digest.clone()),
            ("--delimiter", char::from(self.delimiter).to_string()),
            ("--time-zone", zone),
            ("--decimal-comma", self.decimal_comma.to_string()),
            ("--shop", read.shop.clone()),
            ("--currency", read.currency.code().to_owned()),
            ("--source", self.source.clone()),
            ("--open-journeys", self.open_journeys.to_string()),
            ("the topic", installation.cluster.topic(ingestion::RECEIVED)),
            ("kafka.bootstrap_servers", installation.cluster.bootstrap_servers.clone()),
        ];
        settings.map(|(name, value)| (name.to_owned(), value)).into()
    }

    fn mapping(&self) -> anyhow::Result<(Option<RowMapping>, String)> {
        let Some(path) = &self.mapping else { return Ok((None, String::new())) };
        let name = path.display().to_string();
        let text = read_text(path, ByteSize::from_bytes(MAX_MAPPING_BYTES as u64));
        let text = text.map_err(|problem| anyhow::anyhow!("--mapping: {name} {problem}"))?;
        let mapping = parse_row_mapping(&name, &text, self.kind.names()).map_err(LoadError::Wrong)?;
        Ok((Some(mapping), digest(&text)))
    }

    /// The shop and its currency: as said, else as the write keys of the configuration agree.
    fn shop(&self, config: &Config) -> anyhow::Result<(String, Currency)> {
        let known = Sections::shops(config);
        let names: BTreeSet<&str> = known.iter().map(|(shop, _)| shop.as_str()).collect();
        let shop = match (&self.shop, names.len()) {
            (Some(shop), _) => shop.clone(),
            (None, 1) => known[0].0.clone(),
            (None, 0) => bail!("--shop: say whose these are; the configuration has no write key that could"),
            (None, _) => bail!(
                "--shop: say whose these are; the configuration has several shops: {}",
                Vec::from_iter(names).join(", ")
            ),
        };
        ensure!((1..=MAX_ID_BYTES).contains(&shop.len()), "--shop: a shop's name has 1 to {MAX_ID_BYTES} bytes");
        let of_shop: BTreeSet<Currency> =
            known.iter().filter(|(name, _)| *name == shop).map(|(_, code)| *code).collect();
        let only = if of_shop.len() == 1 { of_shop.first().copied() } else { None };
        let currency = self.currency.or(only).with_context(|| {
            format!("--currency: say in which currency amounts are that name none; no write key of the shop `{shop}` does, or they differ")
        })?;
        Ok((shop, currency))
    }
}
