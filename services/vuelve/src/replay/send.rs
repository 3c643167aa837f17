//! Sends calls to the door as an SDK does: in batches, again with the same message ids until they are acknowledged.

use std::time::{Duration, Instant};

use anyhow::bail;
use domain::Timestamp;
use indicatif::ProgressBar;

use super::source::{Call, Extent, Source};

/// As SDKs send: far below the door's 500 KB and 2,500 events.
const BATCH_EVENTS: usize = 500;
const BATCH_BYTES: usize = 400_000;
/// How long one batch is tried again before the replay gives up.
const PATIENCE: Duration = Duration::from_mins(5);

/// Sends the calls of a source, in order, those from before `end` or else all, and adds them to what was sent.
pub(super) fn send(
    source: &mut Source,
    end: Option<Timestamp>,
    sender: &Sender,
    bar: &ProgressBar,
    sent: &mut Extent,
) -> anyhow::Result<()> {
    let mut batch = Batch::default();
    while let Some(call) = source.next_of(end)? {
        if batch.is_full() {
            batch.send(sender, bar)?;
        }
        sent.add(call.at);
        batch.add(call);
    }
    batch.send(sender, bar)
}

/// Calls that go in one request.
#[derive(Default)]
struct Batch {
    calls: Vec<Call>,
    bytes: usize,
}

impl Batch {
    fn is_full(&self) -> bool {
        self.calls.len() >= BATCH_EVENTS || self.bytes >= BATCH_BYTES
    }

    fn add(&mut self, call: Call) {
        self.bytes += call.json.len();
        self.calls.push(call);
    }

    fn send(&mut self, sender: &Sender, bar: &ProgressBar) -> anyhow::Result<()> {
        if !self.calls.is_empty() {
            sender.post(self.calls.iter().map(|call| call.json.as_str()), &|| false)?;
            bar.inc(self.calls.len() as u64);
        }
        *self = Self::default();
        Ok(())
    }
}

/// A storefront's side of the door.
#[derive(Debug)]
pub(crate) struct Sender {
    agent: ureq::Agent,
    url: String,
    write_key: String,
}

impl Sender {
    /// To the door at this address.
    pub(crate) fn new(door: &str, write_key: &str) -> Self {
        let agent = kafka::http_client(Duration::from_secs(30));
        Self { agent, url: format!("{}/v1/batch", door.trim_end_matches('/')), write_key: write_key.to_owned() }
    }

    /// Sends one batch, again until the door has acknowledged it or `stopped` says that nobody waits for it any more.
    pub(crate) fn post<'a>(
        &self,
        calls: impl Iterator<Item = &'a str>,
        stopped: &dyn Fn() -> bool,
    ) -> anyhow::Result<()> {
        let (url, write_key) = (&self.url, &self.write_key);
        let calls: Vec<&str> = calls.collect();
        let body = format!(r#"{{"writeKey":"{write_key}","batch":[{}]}}"#, calls.join(","));
        let deadline = Instant::now() + PATIENCE;
        let mut pause = Duration::from_millis(50);
        loop {
            let answer = self.agent.post(url).content_type("application/json").send(&body);
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
            if stopped() {
                bail!("the door at {url} did not take the last batch: {problem}");
            }
            if Instant::now() > deadline {
                bail!("the door at {url} took no batch for {PATIENCE:?}: {problem}");
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }
}
