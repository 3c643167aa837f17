//! Row B: a new segment is judged for everybody who is there, while events go on: how long these take from when they are due to be
//! produced to when segmentation's word of them is visible, before and meanwhile.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use schemas::CustomerEvent;

use crate::report::{Figure, Report, figure};
use crate::shared::event::{Event, What};
use crate::shared::installation::{Installation, Parts, stop};
use crate::shared::options::Options;
use crate::shared::pace::{Pace, WARM_UP_SECONDS};
use crate::shared::percentiles::Percentiles;
use crate::shared::storefront::{EVENTS, TOLD, send_event, write_events};
use crate::worker::now_ms;

const EVENTS_PER_SECOND: u32 = 2_000;
/// How long events go on before the segment is applied; the first seconds warm up.
const BEFORE_SECONDS: u32 = WARM_UP_SECONDS + 20;
const READY: Duration = Duration::from_mins(1);
const PATIENCE: Duration = Duration::from_mins(2);
const POLL: Duration = Duration::from_millis(5);
/// Everybody who is there enters it.
const SEGMENT: &str = "segment: looked-around\nversion: 1\nenter: customer.total.product_views >= 1\n";

/// As often as is asked for.
pub(crate) fn backfill(parts: &Parts, options: &Options, report: &mut Report) -> anyhow::Result<()> {
    for run in 0..options.runs() {
        let figures = one(parts, options, &format!("backfill{run}"))?;
        let [before, during] = [figures[0].value, figures[1].value];
        eprintln!("{} of {}: B: p99 {before:.0} ms before, {during:.0} ms meanwhile", run + 1, options.runs());
        report.add("B a new segment for everybody who is there", &figures);
    }
    Ok(())
}

fn one(parts: &Parts, options: &Options, prefix: &str) -> anyhow::Result<Vec<Figure>> {
    let installation = parts.installation(prefix)?;
    let process = installation.run("segmentation", &["store.kind=redis", "segmentation.quintiles_every=0s"])?;
    let progress = parts.clients().progress(&installation.group("segmentation"), &installation.topic(EVENTS))?;
    process.wait_ready(READY, "own its partitions", || progress.is_known().unwrap_or_default())?;
    let begin_ms = now_ms() as i64;
    let customers = options.customers;
    let there: Vec<Event> = (1..=customers).map(|customer| viewed(customer, customer, begin_ms)).collect();
    let written = write_events(&parts.clients().producer(None)?, &installation, EVENTS, there.iter())?;
    drop(there);
    let mut done = (0, Instant::now());
    while done.0 < written {
        let now = progress.records()?;
        done = if now > done.0 { (now, Instant::now()) } else { done };
        ensure!(done.1.elapsed() < PATIENCE, process.error(format!("came no further than {} events", done.0)));
        std::thread::sleep(Duration::from_millis(100));
    }

    let reader = parts.clients().follow(&installation.topic(TOLD))?;
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("segment.yaml"), SEGMENT)?;
    let live = Live::begin(customers);
    let took = std::thread::scope(|scope| {
        let sending = scope.spawn(|| live.send(parts, &installation));
        let following = scope.spawn(|| live.follow(&installation, &reader));
        let judged = live.until_sent((BEFORE_SECONDS * EVENTS_PER_SECOND) as usize).and_then(|()| {
            let began = Instant::now();
            *locked(&live.during) = (Some(began), None);
            installation.command(&["apply", &folder.path().display().to_string(), "--judged", "--patience", "2m"])?;
            *locked(&live.during) = (Some(began), Some(Instant::now()));
            Ok(began.elapsed())
        });
        live.over.store(true, Ordering::Relaxed);
        let panicked = |_| anyhow::anyhow!("a thread panicked");
        sending.join().map_err(panicked)??;
        following.join().map_err(panicked)??;
        judged
    })?;
    stop(&process)?;
    let entered = entered(&installation)?;
    ensure!(entered >= u64::from(customers), "no score: {entered} of {customers} customers have entered");
    installation.has_no_dead_letters()?;
    installation.remove()?;
    let (before, during) = live.times();
    let share = figure("p99 meanwhile, of that before", during.ms(99) / before.ms(99), 2).at_most(2.0);
    Ok(vec![
        figure("p99 before, ms", before.ms(99), 0),
        figure("p99 meanwhile, ms", during.ms(99), 0),
        share,
        figure("p50 before, ms", before.ms(50), 0),
        figure("p50 meanwhile, ms", during.ms(50), 0),
        figure("customers judged a second", f64::from(customers) / took.as_secs_f64(), 0),
        figure("seconds", took.as_secs_f64(), 1),
        figure("events meanwhile", during.count() as f64, 0),
    ])
}

fn viewed(number: u32, customer: u32, at_ms: i64) -> Event {
    Event { number, customer, what: What::Viewed, product: customer % 20_000, at_ms, partition: None }
}

/// How many changes say that somebody has entered the segment.
fn entered(installation: &Installation<'_>) -> anyhow::Result<u64> {
    let mut entered = 0;
    installation.read_all("customer.segments", |_| {
        entered += 1;
        Ok(())
    })?;
    Ok(entered)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The events that go on, and what was seen of them.
struct Live {
    customers: u32,
    pace: Pace,
    sent: AtomicUsize,
    over: AtomicBool,
    done: AtomicBool,
    /// From when to when everybody was judged.
    during: Mutex<(Option<Instant>, Option<Instant>)>,
    /// By its number, counted from nought: when an event was told of.
    seen: Mutex<Vec<(usize, Instant)>>,
}

impl Live {
    fn begin(customers: u32) -> Self {
        Self {
            customers,
            pace: Pace::from_now(EVENTS_PER_SECOND),
            sent: AtomicUsize::new(0),
            over: AtomicBool::new(false),
            done: AtomicBool::new(false),
            during: Mutex::default(),
            seen: Mutex::default(),
        }
    }

    /// Beyond the numbers of those that were there before.
    fn number(&self, sent: usize) -> u32 {
        self.customers + 1 + sent as u32
    }

    fn send(&self, parts: &Parts, installation: &Installation<'_>) -> anyhow::Result<()> {
        let producer = parts.clients().prompt_producer()?;
        let (topic, mut value) = (installation.topic(EVENTS), Vec::new());
        let mut number = 0;
        let result = loop {
            if self.over.load(Ordering::Relaxed) {
                break crate::shared::kafka_clients::wait_for_deliveries(&producer);
            }
            self.pace.wait(number);
            // Any of them, one after the other far apart.
            let customer = (number as u64 * 7_919 % u64::from(self.customers)) as u32 + 1;
            let event = viewed(self.number(number), customer, now_ms() as i64);
            if let Err(error) = send_event(&producer, installation, &topic, &event, &mut value) {
                break Err(error);
            }
            producer.poll(Duration::ZERO);
            number += 1;
            self.sent.store(number, Ordering::Relaxed);
        };
        self.done.store(true, Ordering::Relaxed);
        result
    }

    fn until_sent(&self, wanted: usize) -> anyhow::Result<()> {
        while self.sent.load(Ordering::Relaxed) < wanted {
            ensure!(!self.done.load(Ordering::Relaxed), "no score: events could not be sent");
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Follows until all that was sent is told of.
    fn follow(&self, installation: &Installation<'_>, reader: &BaseConsumer) -> anyhow::Result<()> {
        let mut heard = Instant::now();
        let ids = |sent: usize| viewed(self.number(sent), 1, 0).message_id();
        let mut numbers = std::collections::HashMap::new();
        let (mut known, mut count) = (0, 0);
        loop {
            if self.done.load(Ordering::Relaxed) && count >= self.sent.load(Ordering::Relaxed) {
                return Ok(());
            }
            ensure!(
                heard.elapsed() < PATIENCE,
                "no score: {count} of {} events were told of",
                self.sent.load(Ordering::Relaxed)
            );
            let message = match reader.poll(POLL) {
                None | Some(Err(KafkaError::PartitionEOF(_))) => continue,
                Some(message) => message.context("following customer.events")?,
            };
            let at = Instant::now();
            heard = at;
            let told: CustomerEvent = installation.schemas().decode(message.payload().unwrap_or_default())?;
            let Some(event) = told.event else { continue };
            while known <= self.sent.load(Ordering::Relaxed) {
                numbers.insert(ids(known), known);
                known += 1;
            }
            let number = numbers.remove(&event.message_id).context("no score: an event of nobody, or told of twice")?;
            locked(&self.seen).push((number, at));
            count += 1;
        }
    }

    /// Of the events before and during the judging, how long each took.
    fn times(&self) -> (Percentiles, Percentiles) {
        let (Some(began), Some(ended)) = *locked(&self.during) else { return Default::default() };
        let seen = locked(&self.seen);
        let of = |wanted: &dyn Fn(usize, Instant) -> bool| {
            let times = seen.iter().filter(|(number, _)| wanted(*number, self.pace.due(*number)));
            Percentiles::of(times.map(|(number, at)| at.saturating_duration_since(self.pace.due(*number))).collect())
        };
        (of(&|number, due| self.pace.counts(number) && due < began), of(&|_, due| due >= began && due < ended))
    }
}
