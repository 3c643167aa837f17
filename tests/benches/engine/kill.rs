//! Row R1: of two workers one is killed while events come. How long until the other commits for its partitions, and until a
//! `read_committed` reader sees what comes of them? The state is in Redis, of few and of many customers.

use std::collections::BTreeSet;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rdkafka::consumer::Consumer as _;
use rdkafka::groups::GroupInfo;
use tests::installation::State;

use crate::follower::{Follower, Seen, latencies};
use crate::large_state::large_state;
use crate::measured::Running;
use crate::options::Measured;
use crate::profile::{CHANGELOG, CHANGES};
use crate::report::{Figure, Report, figure};
use crate::send_paced::send_paced;
use crate::settings::Settings;
use crate::shared::event::{Event, What};
use crate::shared::installation::{Installation, Parts, store_setting};
use crate::shared::options::Options;
use crate::shared::pace::Pace;
use crate::shared::storefront::EVENTS;
use crate::shared::workload::{Size, Workload};
use crate::worker::now_ms;

const EVENTS_PER_SECOND: u32 = 2_000;
/// Before the kill.
const STEADY: Duration = Duration::from_secs(5);
/// How long a takeover may take in all.
const PATIENCE: Duration = Duration::from_secs(90);
const LOOK: Duration = Duration::from_millis(20);
const ASKING: Duration = Duration::from_secs(10);
/// Beyond what the time-outs make inevitable.
const GOAL_SECONDS: f64 = 3.0;

/// Of few customers and of many, as often as is asked for.
pub(crate) fn kill(parts: &Parts, options: &Options, report: &mut Report) -> anyhow::Result<()> {
    for run in 0..options.runs() {
        for customers in [options.many_customers() / 100, options.many_customers()] {
            eprintln!("{} of {}: R1: filling Redis with {customers} customers", run + 1, options.runs());
            let installation = large_state(parts, &format!("kill{run}-{customers}"), customers, State::Redis)?;
            let figures = one(parts, &installation, options, customers)?;
            installation.remove_with(&[CHANGELOG, CHANGES])?;
            let row = format!("R1 killed, {customers} customers");
            eprintln!(
                "{row}: commits {:.2} s after the group noticed, visible {:.2} s after the kill",
                figures[1].value, figures[3].value
            );
            report.add(&row, &figures);
        }
    }
    Ok(())
}

/// When what was seen from outside.
#[derive(Debug, Default)]
struct Timeline {
    noticed: OnceLock<Instant>,
    /// By partition: each rise of its committed offset.
    commits: Vec<(i32, Instant)>,
}

fn one(
    parts: &Parts,
    installation: &Installation<'_>,
    options: &Options,
    customers: u32,
) -> anyhow::Result<Vec<Figure>> {
    let partitions = parts.clients().partitions();
    let worker = |slot: u32| {
        let slot_setting = format!("installation.slot={slot}");
        let settings = [store_setting(State::Redis), &slot_setting];
        Running::start(parts, installation, Measured::Profile, &settings, &format!("slot-{slot}"))
    };
    let dying = worker(0)?;
    dying.wait_until_it_owns(partitions, 1)?;
    let heir = worker(1)?;
    heir.wait_until_it_owns(partitions / 2, 1)?;

    let seconds = (STEADY + PATIENCE).as_secs() as u32;
    let size = Size { events: EVENTS_PER_SECOND * seconds, customers, ..options.size() };
    let events: Vec<Event> = Workload::new(&size)
        .for_the_door()
        .iter()
        .map(|event| Event { number: event.number | 1 << 31, ..*event })
        .collect();
    let follower = Follower::new(parts, installation)?;
    let producer = parts.clients().prompt_producer()?;
    let (enough, failed, wanted) = (AtomicBool::new(false), AtomicBool::new(false), OnceLock::new());
    let pace = Pace::from_now(EVENTS_PER_SECOND);
    let mut timeline = Timeline::default();
    let (killed_at, killed_at_ms, sent, seen) = std::thread::scope(|scope| {
        let following = scope.spawn(|| follower.follow(&wanted, &failed, |_| {}));
        let sending = scope.spawn(|| send_paced(&producer, installation, &events, pace, &enough));
        std::thread::sleep(STEADY);
        let (killed_at, killed_at_ms) = (Instant::now(), now_ms());
        let watched = dying
            .process()
            .kill9()
            .map_err(anyhow::Error::from)
            .and_then(|()| watch(parts, installation, &heir, &mut timeline, killed_at_ms));
        enough.store(true, Ordering::Relaxed);
        let sent = sending.join().map_err(|_| anyhow::anyhow!("the sender panicked"))?;
        failed.store(watched.is_err() || sent.is_err(), Ordering::Relaxed);
        let added = |sent: usize| events[..sent].iter().filter(|event| event.what == What::Added).count();
        let _first = wanted.set(sent.as_ref().map_or(0, |sent| added(*sent)));
        let seen = following.join().map_err(|_| anyhow::anyhow!("the reader panicked"))?;
        watched?;
        anyhow::Ok((killed_at, killed_at_ms, sent?, seen?))
    })?;
    // Every change came, once.
    latencies(&events[..sent], |number| pace.due(number), &seen)?;
    let inherited: BTreeSet<i32> = inherited(&heir, killed_at_ms);
    heir.stop()?;
    figures(parts, killed_at, &inherited, &timeline, &seen)
}

/// The partitions that the heir took over since the kill.
fn inherited(heir: &Running, killed_at_ms: f64) -> BTreeSet<i32> {
    heir.takeovers()
        .iter()
        .filter(|takeover| takeover.at_ms > killed_at_ms)
        .map(|takeover| takeover.partition)
        .collect()
}

/// Watches the group and its offsets until what was inherited is committed again.
fn watch(
    parts: &Parts,
    installation: &Installation<'_>,
    heir: &Running,
    timeline: &mut Timeline,
    killed_at_ms: f64,
) -> anyhow::Result<()> {
    let group = installation.group("profile");
    let dead = format!("{group}.0");
    let asker = parts.clients().reader("read_committed")?;
    let progress = parts.clients().progress(&group, &installation.topic(EVENTS))?;
    // What it had committed when it was killed.
    std::thread::sleep(LOOK * 10);
    let mut before = progress.offsets()?;
    let began = Instant::now();
    loop {
        ensure!(began.elapsed() < PATIENCE, heir.process().error("did not take over in time"));
        if timeline.noticed.get().is_none() {
            let groups = asker.fetch_group_list(Some(&group), ASKING)?;
            let mut members = groups.groups().iter().flat_map(GroupInfo::members);
            if !members.any(|member| member.client_id() == dead) {
                let _first = timeline.noticed.set(Instant::now());
            }
        }
        let offsets = progress.offsets()?;
        let now = Instant::now();
        for (partition, (old, new)) in (0..).zip(before.iter().zip(&offsets)) {
            if new > old {
                timeline.commits.push((partition, now));
            }
        }
        before = offsets;
        let heirs = inherited(heir, killed_at_ms);
        let noticed = timeline.noticed.get().copied();
        let committed = |partition: &i32| {
            timeline.commits.iter().any(|(of, at)| of == partition && noticed.is_some_and(|noticed| *at > noticed))
        };
        // Half of all were the dead one's.
        if heirs.len() as i32 >= parts.clients().partitions() / 2 && heirs.iter().all(committed) {
            return Ok(());
        }
        std::thread::sleep(LOOK);
    }
}

fn figures(
    parts: &Parts,
    killed_at: Instant,
    inherited: &BTreeSet<i32>,
    timeline: &Timeline,
    seen: &[Seen],
) -> anyhow::Result<Vec<Figure>> {
    let noticed = *timeline.noticed.get().context("the group noticed nothing")?;
    let seconds = |from: Instant, to: Instant| to.saturating_duration_since(from).as_secs_f64();
    // By partition, the first since the group noticed.
    let first = |times: &mut dyn Iterator<Item = (i32, Instant)>, from: Instant| -> Vec<f64> {
        let times: Vec<(i32, Instant)> = times.filter(|(_, at)| *at > noticed).collect();
        let of = |partition: &i32| {
            times.iter().filter(|(of, _)| of == partition).map(|(_, at)| seconds(from, *at)).reduce(f64::min)
        };
        inherited.iter().filter_map(of).collect()
    };
    let commits = first(&mut timeline.commits.iter().copied(), noticed);
    let visible = first(&mut seen.iter().map(|one| (one.partition, one.at)), killed_at);
    let (least, most) = (
        |times: &[f64]| times.iter().copied().fold(f64::INFINITY, f64::min),
        |times: &[f64]| times.iter().copied().fold(0.0, f64::max),
    );
    let settings = Settings::load(parts.config(), &[])?;
    let [session, transaction] = [settings.timeout("session_timeout")?, settings.timeout("transaction_timeout")?];
    let longest_seconds = session.max(transaction).as_secs_f64();
    Ok(vec![
        figure("the group notices, s after the kill", seconds(killed_at, noticed), 2),
        figure("first commit, s after the group noticed", least(&commits), 2).at_most(GOAL_SECONDS),
        figure("commits on all partitions, s after the group noticed", most(&commits), 2),
        figure("first output visible, s after the kill", least(&visible), 2).at_most(longest_seconds + GOAL_SECONDS),
        figure("outputs visible on all partitions, s after the kill", most(&visible), 2),
    ])
}
