//! What has to hold when an installation in replay has become quiet, whatever failed before. All is computed from the logs,
//! in another language's reading of them: nothing here shares code with the services.

mod changelogs;
mod ends;
mod order;
mod outcomes;
mod view;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;
use testkit::clients::TopicRecord;
use testkit::wait_until;

use crate::installation::Installation;
use changelogs::Changelogs;

pub use ends::nothing_was_dead_lettered;
pub use order::{decisions_are_in_order, events_are_in_order, requests_are_in_order, segment_changes_are_in_order};
pub use outcomes::{Outcomes, every_request_ended_once};

/// The services that keep state.
const SERVICES: [&str; 4] = ["ingestion", "journeys", "messaging", "segmentation"];
/// The key of a changelog's header.
const HEADER: &str = "\0";
/// How long headers and views may take to be where they should be.
const LIMIT: Duration = Duration::from_mins(1);

/// Waits until every service stands at the ends of all its inputs, so that every input has an outcome; then Redis has to
/// equal the fold of every changelog, byte for byte. Returns how many states there are.
///
/// A view that Redis lost after the last batch is healed by who next looks at it: `take_over` has all partitions change
/// hands, and is called once, if a view is not there or not of the last header.
pub fn all_is_done_and_redis_equals_the_fold(
    installation: &Installation,
    take_over: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<usize> {
    let redis = installation.redis.as_ref().context("there is no Redis")?;
    let mut take_over = Some(take_over);
    let mut problem = anyhow::anyhow!("nothing was read");
    let mut look = || -> anyhow::Result<Option<usize>> {
        let changelogs = match read_to_the_end(installation) {
            Ok(changelogs) => changelogs,
            Err(error) => {
                problem = error;
                return Ok(None);
            }
        };
        let mut states = 0;
        for fold in &changelogs.0 {
            let place = format!("{}[{}]", fold.service, fold.partition);
            let standing = view::standing(redis, fold)?;
            let Some(standing) = standing.filter(|standing| standing.is_current) else {
                problem = anyhow::anyhow!("the view of {place} is not that of the last header");
                if let Some(take_over) = take_over.take() {
                    println!("{problem:#}: all partitions change hands");
                    take_over()?;
                }
                return Ok(None);
            };
            states += view::equals(redis, fold, &standing).with_context(|| place.clone())?;
        }
        Ok(Some(states))
    };
    let found = wait_until(LIMIT, "all to be done and Redis to follow", || look().transpose());
    found.map_err(|error| anyhow::anyhow!("{error}: {problem:#}"))?
}

/// The changelogs, if their last headers name the ends of all inputs. A broker that has just come back may not answer yet.
fn read_to_the_end(installation: &Installation) -> anyhow::Result<Changelogs> {
    let changelogs = Changelogs::read(installation)?;
    let behind = ends::behind(installation, &changelogs)?;
    anyhow::ensure!(behind.is_empty(), "not at the end of every input: {}", behind.join(", "));
    Ok(changelogs)
}

/// A field that is a text; empty where there is none.
fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_default()
}

/// A field that is a time, in milliseconds since 1970.
fn millis(value: &Value, name: &str) -> Option<i64> {
    value[name].as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok()).map(jiff::Timestamp::as_millisecond)
}

/// Records by key, each key's in the order of its partition.
fn by_key(records: &[TopicRecord]) -> BTreeMap<&str, Vec<&TopicRecord>> {
    let mut keys: BTreeMap<&str, Vec<&TopicRecord>> = BTreeMap::new();
    for record in records {
        keys.entry(record.key.as_deref().unwrap_or_default()).or_default().push(record);
    }
    keys
}
