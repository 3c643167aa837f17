//! Row: batches over HTTP to acknowledged in Kafka.

use std::collections::HashSet;

use anyhow::{Context, ensure};
use rdkafka::message::Message;
use schemas::StorefrontEvent;

use crate::ceilings::encoded;
use crate::shared::calls::post_all;
use crate::shared::installation::{Installation, Parts, WRITE_KEY, stop};
use crate::shared::options::Options;
use crate::shared::sample::{Sample, Stopwatch};
use crate::shared::workload::Workload;

/// Posts the workload to a door of its own, and measures until the last call is answered.
pub(crate) fn door(parts: &Parts, workload: &Workload, options: &Options, round: u32) -> anyhow::Result<Sample> {
    let installation = parts.installation(&format!("door{round}"))?;
    let bodies = bodies(workload, options.batch as usize);
    let process = installation.run("door", &[])?;
    parts.wait_for_door(&process)?;
    let url = format!("{}/v1/batch", parts.door_url());
    let stopwatch = Stopwatch::start(process.pid().context("the door has ended")?, parts.broker_pid()?)?;
    let calls = post_all(&url, &bodies, options.connections as usize)?;
    let sample = Sample { calls: Some(calls), ..stopwatch.stop(workload.for_the_door().len() as u64)? };
    stop(&process)?;
    verify(&installation, workload)?;
    installation.remove()?;
    Ok(sample)
}

/// What SDKs send, made before it is measured.
fn bodies(workload: &Workload, batch: usize) -> Vec<String> {
    let body = |events: &[crate::shared::event::Event]| {
        let calls: Vec<String> = events.iter().map(|event| event.json().to_string()).collect();
        format!(r#"{{"writeKey":"{WRITE_KEY}","batch":[{}]}}"#, calls.join(","))
    };
    workload.for_the_door().chunks(batch).map(body).collect()
}

/// Every event is in the log once, nothing else is, and they are as large as those of the ceiling.
fn verify(installation: &Installation<'_>, workload: &Workload) -> anyhow::Result<()> {
    let sent = workload.for_the_door().len();
    let (mut records, mut bytes, mut ids) = (0, 0, HashSet::with_capacity(sent));
    installation.read_all("storefront.received", |message| {
        records += 1;
        bytes += message.payload_len();
        let event: StorefrontEvent = installation.schemas().decode(message.payload().unwrap_or_default())?;
        ids.insert(event.message_id);
        Ok(())
    })?;
    ensure!(
        records == sent && ids.len() == sent,
        "no score: of {sent} events the door stored {records}, {} of them different",
        ids.len()
    );
    let ceilings: usize = encoded(installation, workload)?.iter().map(|(_, value)| value.len()).sum();
    ensure!(
        bytes.abs_diff(ceilings) <= ceilings / 20,
        "the door's records have {bytes} bytes and the ceiling's {ceilings}: they are not to be compared"
    );
    installation.has_no_dead_letters()
}
