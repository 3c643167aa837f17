//! The settings of a worker: the defaults that every process has, the file that all processes of a run are given, and what is
//! set for one. The defaults are read from where they are written, so that they are the same.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use domain::HumanDuration;
use kafka::Cluster;
use toml::{Table, Value};

const DEFAULTS: &str = include_str!("../../../crates/runtime/src/config/default.toml");

/// The configuration, by `section.key`.
pub(crate) struct Settings {
    sections: Table,
}

impl Settings {
    /// With `section.key=value` over the file.
    pub(crate) fn load(file: &Path, set: &[String]) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
        let mut sections: Table = DEFAULTS.parse().context("the defaults")?;
        let over: Table = text.parse().with_context(|| file.display().to_string())?;
        for (section, values) in over {
            if let (Some(Value::Table(known)), Value::Table(values)) = (sections.get_mut(&section), values) {
                known.extend(values);
            }
        }
        let mut settings = Self { sections };
        for one in set {
            settings.set(one)?;
        }
        Ok(settings)
    }

    fn set(&mut self, one: &str) -> anyhow::Result<()> {
        let (path, value) = one.split_once('=').context("write section.key=value")?;
        let (section, key) = path.split_once('.').context("write section.key=value")?;
        let known = self.sections.get_mut(section).and_then(Value::as_table_mut).context("there is no such section")?;
        ensure!(known.contains_key(key), "there is no {path}");
        let value = value.parse::<i64>().map_or_else(|_| Value::String(value.to_owned()), Value::Integer);
        known.insert(key.to_owned(), value);
        Ok(())
    }

    fn get(&self, section: &str, key: &str) -> anyhow::Result<&Value> {
        let value = self.sections.get(section).and_then(|section| section.get(key));
        value.with_context(|| format!("there is no {section}.{key}"))
    }

    pub(crate) fn text(&self, section: &str, key: &str) -> anyhow::Result<&str> {
        self.get(section, key)?.as_str().with_context(|| format!("{section}.{key} is no text"))
    }

    pub(crate) fn number(&self, section: &str, key: &str) -> anyhow::Result<i64> {
        self.get(section, key)?.as_integer().with_context(|| format!("{section}.{key} is no number"))
    }

    pub(crate) fn duration(&self, section: &str, key: &str) -> anyhow::Result<HumanDuration> {
        let text = self.text(section, key)?;
        text.parse().ok().with_context(|| format!("{section}.{key}: {text} is no duration"))
    }

    /// Such as `16MiB`.
    pub(crate) fn bytes(&self, section: &str, key: &str) -> anyhow::Result<usize> {
        let text = self.text(section, key)?;
        let digits = text.trim_end_matches(|character: char| !character.is_ascii_digit());
        let unit = match &text[digits.len()..] {
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            other => anyhow::bail!("{section}.{key}: {other} is no unit"),
        };
        Ok(digits.parse::<usize>()? * unit)
    }

    pub(crate) fn cluster(&self) -> anyhow::Result<Cluster> {
        let servers =
            self.get("kafka", "bootstrap_servers")?.as_array().context("kafka.bootstrap_servers is no list")?;
        let servers: Vec<&str> = servers.iter().filter_map(Value::as_str).collect();
        Ok(Cluster {
            bootstrap_servers: servers.join(","),
            prefix: self.text("installation", "prefix")?.to_owned(),
            partitions: i32::try_from(self.number("installation", "partitions")?)?,
            security: [].into(),
            transaction_timeout: self.timeout("transaction_timeout")?,
            session_timeout: self.timeout("session_timeout")?,
        })
    }

    /// A time-out of `[kafka]`.
    pub(crate) fn timeout(&self, key: &str) -> anyhow::Result<Duration> {
        Ok(self.duration("kafka", key)?.as_std())
    }
}
