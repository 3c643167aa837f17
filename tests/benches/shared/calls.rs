//! Calls to the door, over connections that are kept.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::percentiles::Percentiles;

/// How long one call may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How long calls took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallTimes {
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

/// Posts all bodies to a URL, over so many connections at once; every answer has to be 200.
pub(crate) fn post_all(url: &str, bodies: &[String], connections: usize) -> anyhow::Result<CallTimes> {
    let times = std::thread::scope(|scope| -> anyhow::Result<Vec<Duration>> {
        let connection = |first: usize| {
            let own = bodies.iter().skip(first).step_by(connections);
            scope.spawn(move || post_each(url, own))
        };
        // All are started before the first is waited for.
        let threads: Vec<_> = (0..connections).map(connection).collect();
        let mut times = Vec::with_capacity(bodies.len());
        for thread in threads {
            times.extend(thread.join().ok().context("a thread that calls the door panicked")??);
        }
        Ok(times)
    })?;
    let times = Percentiles::of(times);
    Ok(CallTimes { p50_ms: times.ms(50), p99_ms: times.ms(99) })
}

fn post_each<'a>(url: &str, bodies: impl Iterator<Item = &'a String>) -> anyhow::Result<Vec<Duration>> {
    let config = ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).http_status_as_error(false).build();
    let agent = ureq::Agent::from(config);
    let mut times = Vec::new();
    for body in bodies {
        let began = Instant::now();
        let mut answer = agent.post(url).content_type("application/json").send(body)?;
        // Read to its end, so that the connection is used again.
        let text = answer.body_mut().read_to_string()?;
        times.push(began.elapsed());
        ensure!(answer.status() == 200, "the door answers {}: {text}", answer.status());
    }
    Ok(times)
}
