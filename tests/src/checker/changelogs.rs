//! The changelogs as committed, folded by key up to the last header.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;
use testkit::clients::TopicRecord;

use super::{HEADER, SERVICES};
use crate::installation::{Installation, PARTITIONS};

/// The folds of all partitions of all services.
#[derive(Debug)]
pub(super) struct Changelogs(pub(super) Vec<Fold>);

/// What a partition of a changelog comes to.
#[derive(Debug)]
pub(super) struct Fold {
    pub(super) service: &'static str,
    pub(super) partition: i32,
    /// Where its last header lies.
    pub(super) header_offset: i64,
    /// The last header.
    pub(super) header: Value,
    /// The last state of each key that has one: as it is, and as JSON.
    pub(super) states: BTreeMap<String, (Vec<u8>, Value)>,
}

impl Changelogs {
    pub(super) fn read(installation: &Installation) -> anyhow::Result<Self> {
        let mut folds = Vec::new();
        for service in SERVICES {
            let records = installation.latest_with_bytes(&format!("{service}.changelog"))?;
            for partition in 0..PARTITIONS {
                folds.push(fold(service, partition, &records).with_context(|| format!("{service}[{partition}]"))?);
            }
        }
        Ok(Self(folds))
    }
}

fn fold(service: &'static str, partition: i32, records: &[TopicRecord]) -> anyhow::Result<Fold> {
    let mut fold = Fold { service, partition, header_offset: -1, header: Value::Null, states: BTreeMap::new() };
    for record in records.iter().filter(|record| record.partition == partition) {
        let key = record.key.clone().context("a record without a key")?;
        // The last of a transaction: nothing comes after the last of them.
        ensure!(fold.header_offset < 0, "{key} at {} lies behind the last header", record.offset);
        if key == HEADER {
            (fold.header_offset, fold.header) = (record.offset, record.value["header"].clone());
        } else if let Some(bytes) = &record.bytes {
            let _before = fold.states.insert(key, (BASE64_STANDARD.decode(bytes)?, record.value.clone()));
        }
    }
    ensure!(fold.header_offset >= 0, "there is no header");
    Ok(fold)
}
