//! Row E1: the whole pipeline, each service as a process of its own: from when an HTTP call is due to when the message that
//! was asked for because of it is decided on (`messaging.requests`), and when it is known what became of it.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use schemas::{MessageOutcome, MessageRequest};
use testkit::{Process, SmtpSink};

use crate::report::{Figure, Report, figure};
use crate::shared::calls::{Call, Target};
use crate::shared::event::{Event, What};
use crate::shared::installation::{Installation, Parts, WRITE_KEY, stop};
use crate::shared::options::Options;
use crate::shared::pace::{Pace, WARM_UP_SECONDS};
use crate::shared::percentiles::Percentiles;
use crate::shared::sample::Stopwatch;
use crate::shared::usage::Usage;
use crate::shared::workload::{Size, Workload};
use crate::worker::now_ms;

/// Events a second, and how many of them are in a call.
const RATES: [(u32, u32); 2] = [(2_000, 10), (20_000, 100)];
/// Of so many events one is an order, whose receipt is asked for at once: 20 messages a second at the lower rate.
const EVENTS_OF_AN_ORDER: u32 = 100;
/// More than are ever busy, so that a call does not wait for another.
const CONNECTIONS: u32 = 64;
const READY: Duration = Duration::from_mins(1);
/// How long what is under way may take once nothing new comes.
const PATIENCE: Duration = Duration::from_mins(3);
const POLL: Duration = Duration::from_millis(5);
const SERVICES: [&str; 5] = ["door", "resolver", "segmentation", "journeys", "messaging"];
/// The commits of the resolver, of segmentation and of journeys on the way to a request.
const COMMITS_MS: f64 = 100.0 + 100.0 + 100.0;
/// Messaging's two more to an outcome: the request with its claim, and the completion.
const COMMITS_TO_OUTCOME_MS: f64 = COMMITS_MS + 100.0 + 100.0;
const GOAL_BEYOND_COMMITS_MS: f64 = 50.0;

/// At both rates, as often as is asked for.
pub(crate) fn whole(parts: &Parts, options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let (per_second, batch) = RATES[0];
    let warm = one(parts, options, per_second, batch, "whole-warm")?;
    eprintln!("warming up: E1 at {per_second} events/s: request p99 {:.0} ms", warm[1].value);
    for run in 0..options.runs() {
        for (per_second, batch) in RATES {
            let row = format!("E1 at {per_second} events/s");
            let figures = one(parts, options, per_second, batch, &format!("whole{run}-{per_second}"))?;
            eprintln!("{} of {}: {row}: request p99 {:.0} ms", run + 1, options.runs(), figures[1].value);
            report.add(&row, &figures);
        }
    }
    Ok(())
}

fn one(parts: &Parts, options: &Options, per_second: u32, batch: u32, prefix: &str) -> anyhow::Result<Vec<Figure>> {
    let installation = parts.installation(prefix)?;
    let mail = SmtpSink::start()?;
    let services = start(parts, &installation, &mail)?;
    let seconds = WARM_UP_SECONDS + if options.full { 60 } else { 15 };
    let size = Size { events: per_second * seconds, ..options.size() };
    let begin_ms = now_ms() as i64;
    let events: Vec<Event> = Workload::new(&size)
        .for_the_door()
        .iter()
        .map(|event| Event {
            at_ms: begin_ms + i64::from(event.number / per_second) * 1_000,
            ..with_few_orders(event, options)
        })
        .collect();
    let call = |events: &[Event]| Call { path: "/v1/batch", body: body(events).into() };
    let calls: Vec<Call> = events.chunks(batch as usize).map(call).collect();
    let orders: HashMap<String, usize> = events
        .iter()
        .enumerate()
        .filter(|(_, event)| event.what == What::Ordered)
        .map(|(number, event)| (event.customer_id(), number))
        .collect();
    let target = Target { port: parts.door_port(), connections: CONNECTIONS };
    let requests = parts.clients().follow(&installation.topic("messaging.requests"))?;
    let outcomes = parts.clients().follow(&installation.topic("messaging.outcomes"))?;
    let used = |services: &[Process]| -> anyhow::Result<Vec<f64>> {
        let cpu = |service: &Process| Ok(Usage::of(service.pid().context("a service has ended")?)?.cpu.as_secs_f64());
        services.iter().map(cpu).collect()
    };
    let before = used(&services)?;
    let stopwatch = Stopwatch::start(std::process::id(), parts.broker_pid()?)?;
    let pace = Pace::from_now(per_second / batch);
    let due = |number: usize| pace.due(number / batch as usize);
    let by_message = OnceLock::new();
    let (answered, requested, told) = std::thread::scope(|scope| {
        let calling = scope.spawn(|| target.post_all(&calls, Some(pace)));
        let following = scope.spawn(|| {
            let found = follow_requests(&installation, &requests, &orders);
            let _first = by_message.set(found.as_ref().map_or_else(|_| HashMap::new(), |(_, ids)| ids.clone()));
            found
        });
        let heard = follow_outcomes(&installation, &outcomes, orders.len());
        let panicked = |_| anyhow::anyhow!("a thread panicked");
        let answered = calling.join().map_err(panicked)??;
        let (requested, ids) = following.join().map_err(panicked)??;
        anyhow::Ok((answered, requested, of_orders(heard?, &ids)?))
    })?;
    let elapsed = pace.due(0).elapsed().as_secs_f64();
    let after = used(&services)?;
    let sample = stopwatch.stop(events.len() as u64)?;
    for service in &services {
        stop(service)?;
    }
    installation.has_no_dead_letters()?;
    installation.remove()?;
    drop(mail);

    let counted = (WARM_UP_SECONDS * per_second) as usize;
    let latencies = |seen: &HashMap<usize, Instant>| {
        let counts = seen.iter().filter(|(number, _)| **number >= counted);
        Percentiles::of(counts.map(|(number, at)| at.saturating_duration_since(due(*number))).collect())
    };
    let (requested, told) = (latencies(&requested), latencies(&told));
    let mut figures = vec![
        figure("request p50, ms", requested.ms(50), 0),
        figure("request p99, ms", requested.ms(99), 0).at_most(COMMITS_MS + GOAL_BEYOND_COMMITS_MS),
        figure("outcome p50, ms", told.ms(50), 0),
        figure("outcome p99, ms", told.ms(99), 0).at_most(COMMITS_TO_OUTCOME_MS + GOAL_BEYOND_COMMITS_MS),
        figure("HTTP answer p50, ms", answered.ms(50), 1),
        figure("HTTP answer p99, ms", answered.ms(99), 1),
        figure("samples", requested.count() as f64, 0),
        figure("last outcome, s after the last call was due", elapsed - f64::from(seconds), 1),
    ];
    let names = [
        "CPU s of the door",
        "CPU s of the resolver",
        "CPU s of segmentation",
        "CPU s of journeys",
        "CPU s of messaging",
    ];
    figures.extend(
        names.into_iter().zip(before.iter().zip(&after)).map(|(name, (before, after))| figure(name, after - before, 1)),
    );
    figures.push(figure("CPU s of the broker", sample.broker_cpu.as_secs_f64(), 1));
    figures.push(figure("CPU s of who sends and listens", sample.cpu.as_secs_f64(), 1));
    Ok(figures)
}

/// As the workload has it, but that orders are fewer, and each of a customer of its own: the request tells whose it is.
fn with_few_orders(event: &Event, options: &Options) -> Event {
    if event.number.is_multiple_of(EVENTS_OF_AN_ORDER) {
        return Event { what: What::Ordered, customer: options.customers + 1 + event.number, ..*event };
    }
    Event { what: if event.what == What::Ordered { What::Page } else { event.what }, ..*event }
}

/// Puts the definitions in force and starts each service.
fn start(parts: &Parts, installation: &Installation<'_>, mail: &SmtpSink) -> anyhow::Result<Vec<Process>> {
    let folder = tempfile::tempdir()?;
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text);
    write(
        "receipt.yaml",
        "journey: receipt\nversion: 1\ntrigger: { event: Order Completed }\ncorrelate: order_id\nholdout: 0%\nsteps:\n\
         \x20 - message: { as: receipt, template: receipt, channel: email, category: transactional }\n",
    )?;
    write(
        "template.yaml",
        "template: receipt\nversion: 1\nen:\n  subject: Thank you\n  body: '<mjml><mj-body><mj-section><mj-column>\
         <mj-text>Thank you</mj-text></mj-column></mj-section></mj-body></mjml>'\nes:\n  subject: Gracias\n  body: \
         '<mjml><mj-body><mj-section><mj-column><mj-text>Gracias</mj-text></mj-column></mj-section></mj-body></mjml>'\n",
    )?;
    write("messaging.yaml", "messaging: default\ncategories:\n  transactional: { priority: 100, consent: none }\n")?;
    installation.command(&["apply", &folder.path().display().to_string()])?;
    let port = format!("messaging.smtp.port={}", mail.port());
    let settings = [
        "store.kind=redis",
        "messaging.smtp.security=none",
        "messaging.smtp.from=hello@shop.example.com",
        // What the shop's mail server takes is not what is measured.
        "messaging.smtp.rate_per_second=2000",
        "messaging.smtp.max_concurrent=32",
        &port,
    ];
    let services: Vec<Process> =
        SERVICES.into_iter().map(|service| installation.run(service, &settings)).collect::<anyhow::Result<_>>()?;
    parts.wait_for_door(&services[0])?;
    let groups = [
        ("ingestion", "storefront.received"),
        ("segmentation", "storefront.events"),
        ("journeys", "customer.events"),
        ("messaging", "messaging.requests"),
    ];
    for (service, (group, dataset)) in services[1..].iter().zip(groups) {
        let progress = parts.clients().progress(&installation.group(group), &installation.topic(dataset))?;
        service.wait_ready(READY, "own its partitions", || progress.is_known().unwrap_or_default())?;
    }
    Ok(services)
}

/// What an SDK sends: whoever orders has said where she is reached.
fn body(events: &[Event]) -> String {
    let mut body = format!(r#"{{"writeKey":"{WRITE_KEY}","batch":["#);
    for (index, event) in events.iter().enumerate() {
        let mut call = event.json();
        if event.what == What::Ordered {
            call["context"]["traits"]["email"] = format!("{}@example.com", event.customer_id()).into();
        }
        let comma = if index == 0 { "" } else { "," };
        let _infallible = write!(body, "{comma}{call}");
    }
    body + "]}"
}

/// Hears records of a topic until enough were heard; tells each with when it became visible.
fn follow(
    reader: &BaseConsumer,
    what: &str,
    mut tell: impl FnMut(&[u8], Instant) -> anyhow::Result<()>,
    enough: usize,
) -> anyhow::Result<()> {
    let (mut count, mut heard) = (0, Instant::now());
    while count < enough {
        ensure!(heard.elapsed() < PATIENCE, "no score: {count} {what} of {enough} came");
        let message = match reader.poll(POLL) {
            None | Some(Err(KafkaError::PartitionEOF(_))) => continue,
            Some(message) => message.with_context(|| format!("following {what}"))?,
        };
        heard = Instant::now();
        tell(message.payload().unwrap_or_default(), heard)?;
        count += 1;
    }
    Ok(())
}

type SeenOrders = HashMap<usize, Instant>;

/// When the request of each order was seen, by the order's number; and whose message id is whose.
fn follow_requests(
    installation: &Installation<'_>,
    reader: &BaseConsumer,
    orders: &HashMap<String, usize>,
) -> anyhow::Result<(SeenOrders, HashMap<String, usize>)> {
    let (mut seen, mut ids) = (HashMap::new(), HashMap::new());
    let tell = |value: &[u8], at: Instant| {
        let request: MessageRequest = installation.schemas().decode(value)?;
        let number = *orders.get(&request.customer_id).context("no score: a request of no order")?;
        ensure!(seen.insert(number, at).is_none(), "no score: a receipt was asked for twice");
        ids.insert(request.message_id, number);
        Ok(())
    };
    follow(reader, "requests", tell, orders.len())?;
    Ok((seen, ids))
}

fn follow_outcomes(
    installation: &Installation<'_>,
    reader: &BaseConsumer,
    orders: usize,
) -> anyhow::Result<HashMap<String, Instant>> {
    let mut seen = HashMap::new();
    let tell = |value: &[u8], at: Instant| {
        let outcome: MessageOutcome = installation.schemas().decode(value)?;
        ensure!(outcome.outcome == schemas::Outcome::Sent, "no score: an outcome is {:?}", outcome.outcome);
        ensure!(seen.insert(outcome.message_id, at).is_none(), "no score: an outcome came twice");
        Ok(())
    };
    follow(reader, "outcomes", tell, orders)?;
    Ok(seen)
}

fn of_orders(seen: HashMap<String, Instant>, ids: &HashMap<String, usize>) -> anyhow::Result<SeenOrders> {
    let order = |(id, at): (String, Instant)| Ok((*ids.get(&id).context("no score: an outcome of no request")?, at));
    seen.into_iter().map(order).collect()
}
