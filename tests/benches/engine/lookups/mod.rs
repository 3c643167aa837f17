//! Row Q1: `GetCustomer` from Redis, asked of a real `vuelve run segmentation`; beside it a bare tonic server, a process of its own
//! that answers each call with one message of the same size, asked by the same client over as many connections. And what
//! segmentation's view takes in Redis.

mod caller;
mod echo;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
pub(crate) use echo::{Echo, echo};
use testkit::{Process, free_port};

use self::caller::{Caller, Load};
use crate::drain::total;
use crate::report::{Figure, Report, figure};
use crate::shared::event::{Event, What};
use crate::shared::installation::{Installation, Parts, stop};
use crate::shared::options::Options;
use crate::shared::storefront::{EVENTS, write_events};
use crate::shared::usage::Usage;
use crate::worker::now_ms;

/// One in so many of `--customers` is in the view: each of them has a whole history.
const CUSTOMERS_SHARE: u32 = 10;
/// What each of them did, in this order, within the last weeks; every third ordered.
const HISTORY: [What; 8] = [
    What::Viewed,
    What::Page,
    What::Viewed,
    What::Added,
    What::CheckoutStarted,
    What::Ordered,
    What::Viewed,
    What::Added,
];
const ORDERED: usize = 5;
/// Few enough for calls not to wait for each other.
const FEW_A_SECOND: u32 = 2_000;
const HOUR_MS: i64 = 3_600_000;
const READY: Duration = Duration::from_mins(2);
const PATIENCE: Duration = Duration::from_mins(10);
const LOOK: Duration = Duration::from_millis(200);

/// As often as is asked for.
pub(crate) fn lookups(parts: &Parts, options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let customers = options.customers / CUSTOMERS_SHARE;
    eprintln!("Q1: making up {customers} customers");
    parts.redis().flush()?;
    let empty = parts.used_memory()?;
    let installation = parts.installation("lookups")?;
    installation.command(&["apply", "presets/basic"])?;
    let address: SocketAddr = format!("127.0.0.1:{}", free_port()?).parse()?;
    let segmentation = start(&installation, address)?;
    fill(parts, &installation, &segmentation, customers)?;
    let bytes = parts.used_memory()?.saturating_sub(empty);
    let million = bytes as f64 / f64::from(customers) * 1e6 / f64::from(1 << 20);

    let caller = Caller::new(customers)?;
    let answer = caller.one(address, 1).context("a customer whom it should know")?;
    let size = answer.len();
    let port = free_port()?;
    let echo = start_echo(parts, &answer, port)?;
    let bare: SocketAddr = format!("127.0.0.1:{port}").parse()?;
    // Neither process is asked for the first time by what counts.
    for server in [bare, address] {
        caller.load(server, Load::warming_up(options))?;
    }
    for run in 0..options.runs() {
        let pid = segmentation.pid().context("segmentation has ended")?;
        let ceiling = caller.load(bare, Load::all(options))?;
        let cpu = Usage::of(pid)?.cpu;
        let found = caller.load(address, Load::all(options))?;
        let cpu = Usage::of(pid)?.cpu.saturating_sub(cpu);
        let half = Load::paced(options, (found.rate() / 2.0) as u32);
        let (quiet, measured) = (caller.load(bare, half)?, caller.load(address, half)?);
        let few = Load::paced(options, FEW_A_SECOND);
        let (few_quiet, few_measured) = (caller.load(bare, few)?, caller.load(address, few)?);
        let share = found.rate() * 100.0 / ceiling.rate();
        eprintln!("{} of {}: Q1: {:.0} calls/s, {share:.0} % of the echo's", run + 1, options.runs(), found.rate());
        let latencies = |names: [&'static str; 2], load: &caller::Loaded| {
            let [p50, p99] = names;
            [(p50, 50), (p99, 99)].map(|(name, at)| figure(name, load.times.ms(at), 2))
        };
        let at_half = |load| latencies(["p50 at half load, ms", "p99 at half load, ms"], load);
        let at_few = |load| latencies(["p50 at 2,000/s, ms", "p99 at 2,000/s, ms"], load);
        let mut figures: Vec<Figure> =
            vec![figure("calls/s", ceiling.rate(), 0), figure("bytes an answer", size as f64, 0)];
        figures.extend(at_half(&quiet));
        figures.extend(at_few(&few_quiet));
        report.add("Q1 ceiling: a bare tonic echo", &figures);
        let [p50, p99] = at_half(&measured);
        let mut figures = vec![
            figure("calls/s", found.rate(), 0),
            figure("of the echo's rate, %", share, 1).at_least(75.0),
            figure("CPU s of segmentation a million calls", cpu.as_secs_f64() * 1e6 / found.calls as f64, 1),
            p50,
            p99.at_most(1.0),
            figure("calls/s at half load", measured.rate(), 0),
        ];
        figures.extend(at_few(&few_measured));
        report.add("Q1 GetCustomer from Redis", &figures);
        report.add(
            "Q1 memory of Redis",
            &[figure("customers", f64::from(customers), 0), figure("MiB a million customers, scaled", million, 0)],
        );
    }
    stop(&segmentation)?;
    drop(echo);
    installation.remove()
}

fn start(installation: &Installation<'_>, address: SocketAddr) -> anyhow::Result<Process> {
    let listen = format!("grpc.listen={address}");
    // By the clock, calls come on while the machine has a hiccup: none is to be refused.
    let calls = "grpc.max_concurrent_calls=5000";
    installation.run("segmentation", &["store.kind=redis", "segmentation.quintiles_every=0s", calls, &listen])
}

/// This program again, with the message that it answers.
fn start_echo(parts: &Parts, answer: &[u8], port: u16) -> anyhow::Result<Process> {
    let folder = parts.config().parent().context("the configuration lies nowhere")?;
    let file = folder.join("answer.bin");
    std::fs::write(&file, answer)?;
    let process = Process::spec("bare echo", std::env::current_exe()?)
        .arg("echo")
        .arg(&file)
        .arg(port.to_string())
        .log(folder.join("echo.log"))
        .start()?;
    process.wait_ready(READY, "serve", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok())?;
    Ok(process)
}

/// Each customer's history is in the view.
fn fill(parts: &Parts, installation: &Installation<'_>, process: &Process, customers: u32) -> anyhow::Result<()> {
    let begin_ms = now_ms() as i64 - 24 * HOUR_MS * HISTORY.len() as i64;
    let producer = parts.clients().producer(None)?;
    for (step, what) in HISTORY.into_iter().enumerate() {
        let event = |customer: u32| Event {
            number: customer + step as u32 * customers,
            customer,
            what: if step == ORDERED && !customer.is_multiple_of(3) { What::Viewed } else { what },
            product: (customer * 7 + step as u32) % 20_000,
            at_ms: begin_ms + 24 * HOUR_MS * step as i64 + i64::from(customer % 24) * HOUR_MS / 2,
            partition: None,
        };
        let events: Vec<Event> = (1..=customers).map(event).collect();
        write_events(&producer, installation, EVENTS, events.iter())?;
    }
    let topic = installation.topic(EVENTS);
    let ends = parts.clients().ends(&topic)?;
    let progress = parts.clients().progress(&installation.group("segmentation"), &topic)?;
    let began = Instant::now();
    loop {
        let offsets = progress.offsets()?;
        let done = offsets.iter().zip(&ends).map(|(offset, end)| (*offset).min(*end)).sum::<i64>().unsigned_abs();
        if done >= total(&ends) {
            return Ok(());
        }
        ensure!(
            process.is_running() && began.elapsed() < PATIENCE,
            process.error(format!("came no further than {done} events"))
        );
        std::thread::sleep(LOOK);
    }
}
