//! Rows: calls over HTTP to acknowledged in Kafka, in batches and single, and single ones at half of what goes.

use std::collections::HashSet;

use anyhow::{Context, bail, ensure};
use rdkafka::message::Message;
use schemas::StorefrontEvent;

use crate::ceilings::encoded;
use crate::null_handler;
use crate::shared::calls::{Call, CallTimes, Target};
use crate::shared::event::{Event, What};
use crate::shared::installation::{Installation, Parts, WRITE_KEY, stop};
use crate::shared::options::Options;
use crate::shared::pace::Pace;
use crate::shared::sample::{Sample, Stopwatch};

/// An event that does not count: a broker that has just deleted and created hundreds of partitions takes its time, and who
/// sends is told so.
const PROBE: &str = r#"{"writeKey":"a-write-key-of-this-benchmark","type":"track","event":"Probe","userId":"probe","messageId":"probe"}"#;

/// Posts the events in batches to a door of its own, and measures until the last call is answered.
pub(crate) fn batches(parts: &Parts, events: &[Event], options: &Options, round: u32) -> anyhow::Result<Sample> {
    let call = |events: &[Event]| {
        let calls: Vec<String> = events.iter().map(|event| event.json().to_string()).collect();
        let body = format!(r#"{{"writeKey":"{WRITE_KEY}","batch":[{}]}}"#, calls.join(","));
        Call { path: "/v1/batch", body: body.into() }
    };
    let calls: Vec<Call> = events.chunks(options.batch as usize).map(call).collect();
    let target = Target { port: parts.door_port(), connections: options.connections };
    door(parts, target, &calls, events, None, &format!("door{round}"))
}

/// The same, each event in a call of its own; so many calls a second, or as many as go.
pub(crate) fn single(
    parts: &Parts,
    events: &[Event],
    options: &Options,
    per_second: Option<u32>,
    round: u32,
) -> anyhow::Result<Sample> {
    let prefix = if per_second.is_some() { "half" } else { "single" };
    let target = Target { port: parts.door_port(), connections: options.single_connections };
    door(parts, target, &single_calls(events), events, per_second, &format!("{prefix}{round}"))
}

/// The same calls to a handler that does nothing with them.
pub(crate) fn null_handler(parts: &Parts, events: &[Event], options: &Options) -> anyhow::Result<Sample> {
    let process = null_handler::start(parts.door_port())?;
    parts.wait_for_door(&process)?;
    let target = Target { port: parts.door_port(), connections: options.single_connections };
    let stopwatch = Stopwatch::start(process.pid().context("the handler has ended")?, parts.broker_pid()?)?;
    let times = target.post_all(&single_calls(events), None)?;
    let sample = Sample { calls: Some(CallTimes::of(&times)), ..stopwatch.stop(events.len() as u64)? };
    stop(&process)?;
    Ok(sample)
}

fn single_calls(events: &[Event]) -> Vec<Call> {
    let call = |event: &Event| {
        let mut body = event.json();
        body["writeKey"] = WRITE_KEY.into();
        let path = if event.what == What::Page { "/v1/page" } else { "/v1/track" };
        Call { path, body: body.to_string().into() }
    };
    events.iter().map(call).collect()
}

fn door(
    parts: &Parts,
    target: Target,
    calls: &[Call],
    events: &[Event],
    per_second: Option<u32>,
    prefix: &str,
) -> anyhow::Result<Sample> {
    let installation = parts.installation(prefix)?;
    let process = installation.run("door", &[])?;
    parts.wait_for_door(&process)?;
    target.post_until_taken(&Call { path: "/v1/track", body: PROBE.into() })?;
    let stopwatch = Stopwatch::start(process.pid().context("the door has ended")?, parts.broker_pid()?)?;
    let times = target.post_all(calls, per_second.map(Pace::from_now))?;
    let sample = Sample { calls: Some(CallTimes::of(&times)), ..stopwatch.stop(events.len() as u64)? };
    stop(&process)?;
    verify(&installation, events)?;
    installation.remove()?;
    Ok(sample)
}

/// Every event is in the log once, nothing else is, and they are as large as those of the ceiling.
fn verify(installation: &Installation<'_>, events: &[Event]) -> anyhow::Result<()> {
    let sent = events.len();
    let (mut records, mut bytes, mut ids) = (0, 0, HashSet::with_capacity(sent));
    installation.read_all("storefront.received", |message| {
        let event: StorefrontEvent = installation.schemas().decode(message.payload().unwrap_or_default())?;
        if event.message_id != "probe" {
            records += 1;
            bytes += message.payload_len();
            ids.insert(event.message_id);
        }
        Ok(())
    })?;
    if records != sent || ids.len() != sent {
        bail!("no score: {}", difference(installation, events, records, &ids)?);
    }
    let ceilings: usize = encoded(installation, events)?.iter().map(|(_, value)| value.len()).sum();
    ensure!(
        bytes.abs_diff(ceilings) <= ceilings / 20,
        "the door's records have {bytes} bytes and the ceiling's {ceilings}: they are not to be compared"
    );
    installation.has_no_dead_letters()
}

/// Of records that are not those that were sent: how many lie there, which are missing, and how many were refused.
fn difference(
    installation: &Installation<'_>,
    events: &[Event],
    records: usize,
    ids: &HashSet<String>,
) -> anyhow::Result<String> {
    let ends: i64 = installation.ends("storefront.received")?.iter().sum();
    let missing: Vec<String> = events.iter().map(Event::message_id).filter(|id| !ids.contains(id)).collect();
    let mut letters = 0_u64;
    installation.read_all("platform.deadletters", |_| {
        letters += 1;
        Ok(())
    })?;
    Ok(format!(
        "of {} events the door stored {records}, {} of them different, where {ends} records lie; {letters} went to the dead \
         letters; missing: {:?}",
        events.len(),
        ids.len(),
        &missing[..missing.len().min(20)]
    ))
}
