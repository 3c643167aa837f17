//! Sends calls to the door as an SDK does: in batches, again with the same message ids until they are acknowledged.

use std::time::{Duration, Instant};

use anyhow::bail;
use domain::Timestamp;
use indicatif::ProgressBar;

use super::source::{Call, Source};

/// As SDKs send: far below the door's 500 KB and 2,500 events.
const BATCH_EVENTS: usize = 500;
const BATCH_BYTES: usize = 400_000;
/// How long one batch is tried again before the replay gives up.
const PATIENCE: Duration = Duration::from_mins(5);

/// What was sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    /// How many calls.
    pub(super) events: u64,
    /// The latest time among them.
    pub(super) last_at: Timestamp,
}

/// Sends all calls of a source, in order.
pub(super) fn send(source: &mut Source, door: &str, write_key: &str, bar: &ProgressBar) -> anyhow::Result<Sent> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(Duration::from_secs(30)))
        .http_status_as_error(false)
        .build()
        .into();
    let url = format!("{}/v1/batch", door.trim_end_matches('/'));
    let mut sent = Sent { events: 0, last_at: Timestamp::MIN };
    let mut batch: Vec<Call> = Vec::new();
    let mut bytes = 0;
    loop {
        let call = source.next()?;
        let full = batch.len() >= BATCH_EVENTS || bytes >= BATCH_BYTES;
        if !batch.is_empty() && (call.is_none() || full) {
            post(&agent, &url, write_key, &batch)?;
            sent.events += batch.len() as u64;
            bar.inc(batch.len() as u64);
            batch.clear();
            bytes = 0;
        }
        let Some(call) = call else { return Ok(sent) };
        sent.last_at = sent.last_at.max(call.at);
        bytes += call.json.len();
        batch.push(call);
    }
}

fn post(agent: &ureq::Agent, url: &str, write_key: &str, batch: &[Call]) -> anyhow::Result<()> {
    let calls: Vec<&str> = batch.iter().map(|call| call.json.as_str()).collect();
    let body = format!(r#"{{"writeKey":"{write_key}","batch":[{}]}}"#, calls.join(","));
    let deadline = Instant::now() + PATIENCE;
    let mut pause = Duration::from_millis(50);
    loop {
        let answer = agent.post(url).content_type("application/json").send(&body);
        let problem = match answer {
            Ok(response) if response.status().as_u16() == 200 => return Ok(()),
            Ok(mut response) => {
                let status = response.status().as_u16();
                let text = response.body_mut().read_to_string().unwrap_or_default();
                if status != 429 && status < 500 {
                    bail!("the door refuses a batch ({status}): {text}");
                }
                format!("{status}: {text}")
            }
            Err(error) => error.to_string(),
        };
        if Instant::now() > deadline {
            bail!("the door at {url} took no batch for {PATIENCE:?}: {problem}");
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_secs(2));
    }
}
