//! How late reminders are told by a live worker behind a live resolver: from when one is due to when it is visible to a
//! `read_committed` reader.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::producer::BaseRecord;

use crate::drain::create_changelog;
use crate::measured::Running;
use crate::options::Measured;
use crate::reminders::{CHANGELOG, REMINDED, Reminded};
use crate::report::{Figure, figure};
use crate::shared::event::{Event, What};
use crate::shared::installation::{Installation, Parts, stop};
use crate::shared::kafka_clients::{send, wait_for_deliveries};
use crate::shared::options::Options;
use crate::shared::pace::Pace;
use crate::shared::percentiles::Percentiles;
use crate::shared::workload::{Size, Workload};
use crate::worker::{bind, now_ms};

const RECEIVED: &str = "storefront.received";
/// A reminder is due so long after the event that set it.
pub(crate) const WAIT_MS: i64 = 2_000;
const EVENTS_PER_SECOND: u32 = 1_000;
/// So late an event may be stored and still be in time.
const MAY_BE_LATE_MS: i64 = 1_500;
const WARM_UP_MS: i64 = 5_000;
const READY: Duration = Duration::from_mins(1);
const PATIENCE: Duration = Duration::from_mins(2);
const POLL: Duration = Duration::from_millis(5);
/// The resolver's and the worker's commits, each after at most an interval, and the time between two marks.
const MARK_AND_COMMITS_MS: f64 = 250.0 + 100.0 + 100.0;

pub(crate) fn figures(parts: &Parts, options: &Options, run: u32) -> anyhow::Result<Vec<Figure>> {
    let installation = parts.installation(&format!("lateness{run}"))?;
    bind(installation.schemas())?;
    create_changelog(parts, &installation, CHANGELOG)?;
    parts.clients().create(&[installation.topic(REMINDED)], &[])?;
    let resolver = installation.run("resolver", &["store.kind=memory"])?;
    let running = Running::start(parts, &installation, Measured::Reminders, &["store.kind=memory"], "reminders")?;
    running.wait_until_it_owns(parts.clients().partitions(), 1)?;
    // It is ready when its group has offsets of all partitions: it has committed its first headers.
    let progress = parts.clients().progress(&installation.group("ingestion"), &installation.topic(RECEIVED))?;
    resolver.wait_ready(READY, "own its partitions", || progress.is_known().unwrap_or_default())?;

    let seconds = if options.full { 65 } else { 25 };
    let size = Size { events: EVENTS_PER_SECOND * seconds, ..options.size() };
    let begin_ms = now_ms() as i64 + 100;
    let at_ms = |number: u32| begin_ms + i64::from(number) * 1_000 / i64::from(EVENTS_PER_SECOND);
    let all = Workload::new(&size);
    let timed = all.for_the_door().iter().map(|event| Event { at_ms: at_ms(event.number), ..*event });
    let events = certain(timed);
    let wanted = wanted(&events);
    let follower = parts.clients().follow(&installation.topic(REMINDED))?;
    let lateness = std::thread::scope(|scope| {
        let sending = scope.spawn(|| send_received(parts, &installation, &events, begin_ms));
        let followed = follow(&installation, &follower, &wanted, begin_ms);
        sending.join().map_err(|_| anyhow::anyhow!("the sender panicked"))??;
        followed
    })?;
    running.stop()?;
    stop(&resolver)?;
    installation.has_no_dead_letters()?;
    installation.remove_with(&[CHANGELOG, REMINDED])?;
    let times = Percentiles::of(lateness);
    Ok(vec![
        figure("lateness p50, ms", times.ms(50), 1),
        figure("lateness p99, ms", times.ms(99), 1).at_most(MARK_AND_COMMITS_MS + 50.0),
        figure("lateness at most, ms", times.ms(100), 1),
        figure("samples", times.count() as f64, 0),
    ])
}

/// Without those that come shortly before a reminder is due: whether it is told before them hangs on how late the sender is.
fn certain(events: impl Iterator<Item = Event>) -> Vec<Event> {
    let mut due: HashMap<u32, i64> = HashMap::new();
    let is_certain = move |event: &Event| {
        let doubtful = |due_at: &i64| (due_at - MAY_BE_LATE_MS..=*due_at).contains(&event.at_ms);
        if due.get(&event.customer).is_some_and(doubtful) {
            return false;
        }
        due.insert(event.customer, event.at_ms + WAIT_MS);
        true
    };
    events.filter(is_certain).collect()
}

/// When which customer is reminded: unless she comes again by then, or has ordered.
fn wanted(events: &[Event]) -> BTreeSet<(String, i64)> {
    let mut latest: HashMap<u32, i64> = HashMap::new();
    let mut wanted = BTreeSet::new();
    for event in events {
        if let Some(due_at) = latest.remove(&event.customer)
            && due_at < event.at_ms
        {
            wanted.insert((event.customer_id(), due_at));
        }
        if event.what != What::Ordered {
            latest.insert(event.customer, event.at_ms + WAIT_MS);
        }
    }
    let customer_id = |customer| Event { customer, ..events[0] }.customer_id();
    wanted.extend(latest.into_iter().map(|(customer, due_at)| (customer_id(customer), due_at)));
    wanted
}

fn send_received(
    parts: &Parts,
    installation: &Installation<'_>,
    events: &[Event],
    begin_ms: i64,
) -> anyhow::Result<()> {
    let producer = parts.clients().prompt_producer()?;
    let topic = installation.topic(RECEIVED);
    let ahead_ms = (begin_ms as f64 - now_ms()).max(0.0);
    std::thread::sleep(Duration::from_secs_f64(ahead_ms / 1e3));
    let pace = Pace::from_now(EVENTS_PER_SECOND);
    let mut value = Vec::new();
    for event in events {
        pace.wait(event.number as usize);
        value.clear();
        installation.schemas().encode(RECEIVED, &event.record(false), &mut value)?;
        send(&producer, BaseRecord::to(&topic).key(event.anonymous_id().as_bytes()).payload(&value[..]))?;
        producer.poll(Duration::ZERO);
    }
    wait_for_deliveries(&producer)
}

/// Hears of every reminder, each once, and of no other; how late they were that count.
fn follow(
    installation: &Installation<'_>,
    follower: &rdkafka::consumer::BaseConsumer,
    wanted: &BTreeSet<(String, i64)>,
    begin_ms: i64,
) -> anyhow::Result<Vec<Duration>> {
    let mut left = wanted.clone();
    let (mut lateness, mut heard) = (Vec::new(), Instant::now());
    while !left.is_empty() {
        ensure!(heard.elapsed() < PATIENCE, "no score: {} reminders never came", left.len());
        let message = match follower.poll(POLL) {
            None | Some(Err(KafkaError::PartitionEOF(_))) => continue,
            Some(message) => message.context("following the reminders")?,
        };
        let at_ms = now_ms();
        heard = Instant::now();
        let reminded: Reminded = installation.schemas().decode(message.payload().unwrap_or_default())?;
        let due_at = reminded.due_at;
        ensure!(
            left.remove(&(reminded.customer_id, due_at)),
            "no score: a reminder of {due_at} came twice, or out of turn"
        );
        if due_at >= begin_ms + WARM_UP_MS {
            lateness.push(Duration::from_secs_f64((at_ms - due_at as f64).max(0.0) / 1e3));
        }
    }
    Ok(lateness)
}
