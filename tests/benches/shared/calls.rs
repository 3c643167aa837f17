//! Calls to a server on this machine, over connections that are kept: all on one thread, so that who calls takes little of the
//! two cores from who answers.

use std::cell::Cell;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::LocalSet;

use super::pace::Pace;
use super::percentiles::Percentiles;

/// How long a server may take to take its first call.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long all calls together may take.
const TIMEOUT: Duration = Duration::from_mins(10);

/// How long calls took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallTimes {
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

impl CallTimes {
    pub(crate) fn of(times: &Percentiles) -> Self {
        Self { p50_ms: times.ms(50), p99_ms: times.ms(99) }
    }
}

/// A call that is to be made.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) path: &'static str,
    pub(crate) body: Bytes,
}

/// Where calls go, and over how many connections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) port: u16,
    pub(crate) connections: u32,
}

impl Target {
    /// Makes one call, again until it is answered by 200.
    pub(crate) fn post_until_taken(self, call: &Call) -> anyhow::Result<()> {
        let one = Self { connections: 1, ..self };
        let taken = || one.post_all(std::slice::from_ref(call), None).ok();
        testkit::wait_until(PATIENCE, "a call that is taken", taken)?;
        Ok(())
    }

    /// Makes all calls, each by whichever connection is free: as fast as they are answered, or each when it is due, and then
    /// its time counts from there. Every answer has to be 200. Returns how long they took, but for those that warm up.
    pub(crate) fn post_all(self, calls: &[Call], pace: Option<Pace>) -> anyhow::Result<Percentiles> {
        let due = Semaphore::new(if pace.is_some() { 0 } else { calls.len() });
        let next = Cell::new(0);
        let calling = async {
            let connections = (0..self.connections).map(|_| self.post_some(calls, &next, &due, pace));
            let times = futures_util::future::try_join_all(connections).await?;
            anyhow::Ok(Percentiles::of(times.concat()))
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let limited = async { tokio::time::timeout(TIMEOUT, calling).await.context("no score: the calls do not end")? };
        std::thread::scope(|scope| {
            if let Some(pace) = pace {
                let due = &due;
                scope.spawn(move || pace.let_go(calls.len(), due));
            }
            LocalSet::new().block_on(&runtime, limited)
        })
    }

    async fn post_some(
        self,
        calls: &[Call],
        next: &Cell<usize>,
        due: &Semaphore,
        pace: Option<Pace>,
    ) -> anyhow::Result<Vec<Duration>> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        stream.set_nodelay(true)?;
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::task::spawn_local(connection);
        let mut times = Vec::new();
        loop {
            let number = next.get();
            let Some(call) = calls.get(number) else { return Ok(times) };
            next.set(number + 1);
            due.acquire().await?.forget();
            let began = pace.map_or_else(Instant::now, |pace| pace.due(number));
            post(&mut sender, call).await?;
            if pace.is_none_or(|pace| pace.counts(number)) {
                times.push(began.elapsed());
            }
        }
    }
}

async fn post(sender: &mut SendRequest<Full<Bytes>>, call: &Call) -> anyhow::Result<()> {
    let request = Request::post(call.path).header(HOST, "127.0.0.1").header(CONTENT_TYPE, "application/json");
    sender.ready().await?;
    let answer = sender.send_request(request.body(Full::new(call.body.clone()))?).await?;
    let status = answer.status();
    // Read to its end, so that the connection is used again.
    let text = answer.into_body().collect().await?.to_bytes();
    ensure!(status == StatusCode::OK, "no score: {status}: {}", String::from_utf8_lossy(&text));
    Ok(())
}
