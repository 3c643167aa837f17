//! The client of both servers: some connections, each with some calls under way, as fast as answers come or by the clock.

use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use prost::Message as _;
use proto::segmentation::v1::GetCustomerRequest;
use proto::segmentation::v1::segmentation_service_client::SegmentationServiceClient;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tonic::transport::{Channel, Endpoint};

use crate::shared::options::Options;
use crate::shared::pace::Pace;
use crate::shared::percentiles::Percentiles;

type Client = SegmentationServiceClient<Channel>;

/// Calls under way on each connection, where they come as fast as they are answered.
const CALLS_A_CONNECTION: u32 = 8;
const WARM_UP: Duration = Duration::from_secs(2);

/// What is asked of a server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    connections: u32,
    duration: Duration,
    /// So many calls by the clock; else as fast as they are answered.
    per_second: Option<u32>,
}

impl Load {
    pub(super) fn all(options: &Options) -> Self {
        let duration = Duration::from_secs(if options.full { 30 } else { 8 });
        Self { connections: options.connections, duration, per_second: None }
    }

    pub(super) fn warming_up(options: &Options) -> Self {
        Self { duration: WARM_UP, ..Self::all(options) }
    }

    pub(super) fn paced(options: &Options, per_second: u32) -> Self {
        Self { per_second: Some(per_second.max(1)), ..Self::all(options) }
    }
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) calls: u64,
    elapsed: Duration,
    /// Of each call from when it was due; where they come as fast as they are answered, none.
    pub(super) times: Percentiles,
}

impl Loaded {
    pub(super) fn rate(&self) -> f64 {
        self.calls as f64 / self.elapsed.as_secs_f64()
    }
}

pub(super) struct Caller {
    runtime: Runtime,
    customers: u32,
}

impl Caller {
    pub(super) fn new(customers: u32) -> anyhow::Result<Self> {
        Ok(Self { runtime: tokio::runtime::Builder::new_multi_thread().enable_all().build()?, customers })
    }

    /// The encoded answer to one call.
    pub(super) fn one(&self, server: SocketAddr, customer: u32) -> anyhow::Result<Vec<u8>> {
        self.runtime.block_on(async {
            let mut client = connect(server).await?;
            let answer = client.get_customer(request(customer)).await.context("GetCustomer")?;
            Ok(answer.into_inner().encode_to_vec())
        })
    }

    pub(super) fn load(&self, server: SocketAddr, load: Load) -> anyhow::Result<Loaded> {
        match load.per_second {
            None => self.fast(server, load),
            Some(per_second) => self.paced(server, load, per_second),
        }
    }

    fn fast(&self, server: SocketAddr, load: Load) -> anyhow::Result<Loaded> {
        let clients = self.runtime.block_on(connect_all(server, load.connections))?;
        let (asked, customers) = (Arc::new(AtomicU64::new(0)), u64::from(self.customers));
        let began = Instant::now();
        let deadline = began + load.duration;
        let calls = self.runtime.block_on(async {
            let mut tasks = JoinSet::new();
            for client in clients.iter().flat_map(|client| (0..CALLS_A_CONNECTION).map(move |_| client)) {
                let (mut client, asked) = (client.clone(), Arc::clone(&asked));
                tasks.spawn(async move {
                    let mut calls = 0_u64;
                    while Instant::now() < deadline {
                        let number = asked.fetch_add(1, Ordering::Relaxed);
                        client.get_customer(request(spread(number, customers))).await?;
                        calls += 1;
                    }
                    Ok::<_, tonic::Status>(calls)
                });
            }
            let mut calls = 0;
            while let Some(done) = tasks.join_next().await {
                calls += done??;
            }
            anyhow::Ok(calls)
        })?;
        Ok(Loaded { calls, elapsed: began.elapsed(), times: Percentiles::default() })
    }

    /// All calls are one thread's, which takes little of the two cores from who answers.
    fn paced(&self, server: SocketAddr, load: Load, per_second: u32) -> anyhow::Result<Loaded> {
        let count = (f64::from(per_second) * load.duration.as_secs_f64()) as usize;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let clients = runtime.block_on(connect_all(server, load.connections))?;
        let (due, next, customers) = (Semaphore::new(0), Cell::new(0), u64::from(self.customers));
        let (pace, began) = (Pace::from_now(per_second), Instant::now());
        // One after the other, of as many at once.
        let some = async |mut client: Client| {
            let mut times = Vec::new();
            loop {
                let number = next.get();
                if number == count {
                    return anyhow::Ok(times);
                }
                next.set(number + 1);
                due.acquire().await?.forget();
                client.get_customer(request(spread(number as u64, customers))).await?;
                times.push(pace.due(number).elapsed());
            }
        };
        let at_once = (0..CALLS_A_CONNECTION).flat_map(|_| &clients).map(|client| some(client.clone()));
        let calling = futures_util::future::try_join_all(at_once);
        let times = std::thread::scope(|scope| {
            scope.spawn(|| pace.let_go(count, &due));
            runtime.block_on(calling)
        })?;
        Ok(Loaded { calls: count as u64, elapsed: began.elapsed(), times: Percentiles::of(times.concat()) })
    }
}

async fn connect_all(server: SocketAddr, connections: u32) -> anyhow::Result<Vec<Client>> {
    futures_util::future::try_join_all((0..connections).map(|_| connect(server))).await
}

async fn connect(server: SocketAddr) -> anyhow::Result<Client> {
    let channel = Endpoint::from_shared(format!("http://{server}"))?.tcp_nodelay(true).connect().await?;
    Ok(SegmentationServiceClient::new(channel))
}

/// All of her: no mask.
fn request(customer: u32) -> GetCustomerRequest {
    GetCustomerRequest { customer_id: format!("u-{customer:07}"), ..GetCustomerRequest::default() }
}

/// Customers in an order that has nothing to do with where they lie.
fn spread(number: u64, customers: u64) -> u32 {
    (number.wrapping_mul(0x9E37_79B9_7F4A_7C15) % customers) as u32 + 1
}
