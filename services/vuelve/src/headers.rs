//! How far the services have come: the header that each of their transactions leaves last in a partition of its changelog.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use kafka::{Follower, KafkaFailure, ReadRecord, RegistryError, Section, is_changelog_header, read_section};
use schemas::{ChangelogHeader, ChangelogRecord};

use crate::hosting::Installation;

/// A broker that says nothing for so long is away.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// A transaction's header is its last record in a partition, and its marker comes after: only what was aborted, and other
/// markers, lie behind the last header.
const LOOK_BACK: i64 = 64;

/// The last header of each changelog partition, followed from the beginning: for an installation in replay, which was made
/// for what is followed.
#[derive(Debug)]
pub struct Headers {
    follower: Follower,
    book: HeaderBook,
}

impl Headers {
    /// Of these services' changelogs.
    pub fn follow(installation: &Installation, services: &[&'static str], timeout: Duration) -> anyhow::Result<Self> {
        let book = HeaderBook::new(installation, services);
        let topics: Vec<String> = book.topics().map(str::to_owned).collect();
        Ok(Self { follower: Follower::new(&installation.cluster, &topics, timeout)?, book })
    }

    /// Reads what is there: returns once nothing came for `quiet`, and where something always comes, after `at_most`.
    pub fn catch_up(&mut self, quiet: Duration, at_most: Duration) -> anyhow::Result<()> {
        let began = Instant::now();
        while let Some(record) = self.follower.next(quiet)? {
            self.book.hear(&record)?;
            if began.elapsed() >= at_most {
                break;
            }
        }
        Ok(())
    }

    /// The last header of a service's partition.
    pub fn of(&self, service: &'static str, partition: i32) -> Option<&ChangelogHeader> {
        self.book.of(service, partition)
    }

    /// All of them.
    pub fn book(&self) -> &HeaderBook {
        &self.book
    }

    /// The last stable offsets of a topic.
    pub fn stable_ends(&self, topic: &str, partitions: i32) -> anyhow::Result<Vec<i64>> {
        Ok(self.follower.stable_ends(topic, partitions)?)
    }
}

/// The last header of each changelog partition, of the records that were heard.
#[derive(Debug)]
pub struct HeaderBook {
    installation: Installation,
    services: HashMap<String, &'static str>,
    last: HashMap<(&'static str, i32), ChangelogHeader>,
}

impl HeaderBook {
    /// Of these services' changelogs; nothing was heard yet.
    pub fn new(installation: &Installation, services: &[&'static str]) -> Self {
        let topic = |service: &str| installation.cluster.topic(&format!("{service}.changelog"));
        Self {
            installation: installation.clone(),
            services: services.iter().map(|service| (topic(service), *service)).collect(),
            last: HashMap::new(),
        }
    }

    /// The changelogs, in full.
    pub fn topics(&self) -> impl Iterator<Item = &str> {
        self.services.keys().map(String::as_str)
    }

    /// Notes a record; whether it was one of these changelogs'.
    pub fn hear(&mut self, record: &ReadRecord) -> anyhow::Result<bool> {
        let Some(service) = self.services.get(&record.topic).copied() else { return Ok(false) };
        if let Some(header) = header_in(&self.installation, service, record)? {
            self.last.insert((service, record.partition), header);
        }
        Ok(true)
    }

    /// The last header of a service's partition.
    pub fn of(&self, service: &'static str, partition: i32) -> Option<&ChangelogHeader> {
        self.last.get(&(service, partition))
    }
}

/// The header that a record of a service's changelog is, if it is one. Its writer may be of another release.
pub(crate) fn header_in(
    installation: &Installation,
    service: &str,
    record: &ReadRecord,
) -> anyhow::Result<Option<ChangelogHeader>> {
    let Some(value) = record.value.as_ref().filter(|_| is_changelog_header(record)) else { return Ok(None) };
    let header = match service {
        "ingestion" => installation.read::<ChangelogRecord<ingestion::ResolverState>>(value).map(|read| read.header),
        "journeys" => installation.read::<ChangelogRecord<journeys::JourneysState>>(value).map(|read| read.header),
        "segmentation" => {
            installation.read::<ChangelogRecord<segmentation::SegmentationState>>(value).map(|read| read.header)
        }
        "messaging" => installation.read::<ChangelogRecord<messaging::MessagingState>>(value).map(|read| read.header),
        other => bail!("{other} keeps no changelog"),
    };
    let header = header.and_then(|header| header.context("a header's record has no header"));
    header.map(Some).with_context(|| format!("{}[{}]@{}", record.topic, record.partition, record.offset))
}

/// Waits until every partition of these services has a header that `passed` takes, which is told the partition; returns the
/// partitions that have none by then. Of what lies there when it begins it reads the ends only, and it ends however fast others
/// write.
pub fn wait_until_all(
    installation: &Installation,
    services: &[&'static str],
    patience: Duration,
    passed: impl Fn(i32, &ChangelogHeader) -> bool,
) -> anyhow::Result<Vec<String>> {
    let deadline = Cell::new(Instant::now() + patience);
    wait_for(installation, services, patience, &deadline, passed)
}

/// Waits until a service has told every state of what a table says below an offset, and `show`s how many have still to hear,
/// as soon as all partitions say so. Gives up where nothing has moved for `patience`.
pub fn wait_until_told(
    installation: &Installation,
    service: &'static str,
    (dataset, offset): (&str, i64),
    patience: Duration,
    show: impl Fn(u64),
) -> anyhow::Result<()> {
    let deadline = Cell::new(Instant::now() + patience);
    let left: RefCell<BTreeMap<i32, i64>> = RefCell::default();
    let passed = |partition: i32, header: &ChangelogHeader| {
        let (true, Some(untold)) = (has_taken_up(header, dataset, offset), header.untold) else { return false };
        let mut left = left.borrow_mut();
        if left.insert(partition, untold) != Some(untold) {
            deadline.set(Instant::now() + patience);
        }
        if left.len() as i32 == installation.cluster.partitions {
            show(left.values().map(|untold| untold.unsigned_abs()).sum());
        }
        untold == 0
    };
    let behind = wait_for(installation, &[service], patience, &deadline, passed)?;
    if behind.is_empty() {
        return Ok(());
    }
    let left: i64 = left.borrow().values().sum();
    bail!("for {patience:?} nothing has moved: {left} customers have not heard of it, in {}", behind.join(", "))
}

/// Whether a service has told every state of what a table says below an offset.
pub fn is_told(
    installation: &Installation,
    service: &'static str,
    (dataset, offset): (&str, i64),
    timeout: Duration,
) -> anyhow::Result<bool> {
    let told = RefCell::new(BTreeMap::new());
    let deadline = Cell::new(Instant::now() + timeout);
    // One look: each partition's last header.
    let looked = |partition: i32, header: &ChangelogHeader| {
        let is_told = has_taken_up(header, dataset, offset) && header.untold == Some(0);
        told.borrow_mut().insert(partition, is_told);
        false
    };
    let wait = Wait {
        installation,
        asker: Follower::new(&installation.cluster, &[], timeout)?,
        deadline: &deadline,
        passed: looked,
    };
    let of = |partition| Behind { service, partition, from: None };
    let mut behind: Vec<Behind> = (0..installation.cluster.partitions).map(of).collect();
    wait.look(service, &mut behind)?;
    let told = told.borrow();
    Ok(told.len() == behind.len() && told.values().all(|is_told| *is_told))
}

/// Whether the tables that a header was written by held all below this offset.
pub fn has_taken_up(header: &ChangelogHeader, dataset: &str, offset: i64) -> bool {
    header.tables.iter().any(|table| table.dataset == dataset && table.next_offset >= offset)
}

fn wait_for(
    installation: &Installation,
    services: &[&'static str],
    patience: Duration,
    deadline: &Cell<Instant>,
    passed: impl Fn(i32, &ChangelogHeader) -> bool,
) -> anyhow::Result<Vec<String>> {
    let asker = Follower::new(&installation.cluster, &[], ANSWER_WITHIN.min(patience))?;
    let wait = Wait { installation, asker, deadline, passed };
    let partitions = installation.cluster.partitions;
    let of = |service: &'static str| (0..partitions).map(move |partition| Behind { service, partition, from: None });
    let mut behind: Vec<Behind> = services.iter().copied().flat_map(of).collect();
    loop {
        for service in services {
            match wait.look(service, &mut behind) {
                Err(error) if is_passing(&error) && !wait.is_over() => {
                    tracing::debug!(error = format!("{error:#}"), "looking again in a while");
                }
                result => result?,
            }
        }
        if behind.is_empty() || wait.is_over() {
            return Ok(behind.iter().map(|place| format!("{}[{}]", place.service, place.partition)).collect());
        }
        std::thread::sleep(LOOK_EVERY.min(deadline.get().saturating_duration_since(Instant::now())));
    }
}

/// What may come back by itself: a broker or a registry that is away.
fn is_passing(error: &anyhow::Error) -> bool {
    error.downcast_ref::<KafkaFailure>().is_some_and(KafkaFailure::is_passing)
        || error.downcast_ref::<RegistryError>().is_some_and(RegistryError::is_passing)
}

/// A partition of a changelog that has not passed.
struct Behind {
    service: &'static str,
    partition: i32,
    /// What lies before was read; none as long as no header was looked for.
    from: Option<i64>,
}

struct Wait<'a, P> {
    installation: &'a Installation,
    asker: Follower,
    /// It may be put off while there is progress.
    deadline: &'a Cell<Instant>,
    passed: P,
}

impl<P: Fn(i32, &ChangelogHeader) -> bool> Wait<'_, P> {
    /// Takes those of a service that have passed out of those that are behind.
    fn look(&self, service: &str, behind: &mut Vec<Behind>) -> anyhow::Result<()> {
        if behind.iter().all(|place| place.service != service) {
            return Ok(());
        }
        let cluster = &self.installation.cluster;
        let topic = cluster.topic(&format!("{service}.changelog"));
        let ends = self.asker.stable_ends(&topic, cluster.partitions)?;
        let mut result = Ok(());
        behind.retain_mut(|place| {
            if place.service != service || result.is_err() || self.is_over() {
                return true;
            }
            let end = ends.get(place.partition as usize).copied().unwrap_or_default();
            let has_passed = self.has_passed(place, &topic, end);
            has_passed.map_or_else(
                |error| {
                    result = Err(error);
                    true
                },
                |has_passed| !has_passed,
            )
        });
        result
    }

    /// Reads on to the end. At the first look it begins a little before, and further before that until there is a header.
    fn has_passed(&self, place: &mut Behind, topic: &str, end: i64) -> anyhow::Result<bool> {
        let mut back = LOOK_BACK;
        loop {
            let from = place.from.unwrap_or((end - back).max(0));
            if from >= end {
                return Ok(false);
            }
            let (headers, passed) = self.read(place, topic, from)?;
            if passed || self.is_over() {
                return Ok(passed);
            }
            if headers > 0 || from == 0 || place.from.is_some() {
                place.from = Some(end);
                return Ok(false);
            }
            back = back.saturating_mul(16);
        }
    }

    /// How many headers lie from an offset on, as of now, and whether one of them has passed, which ends the reading.
    fn read(&self, place: &Behind, topic: &str, from: i64) -> anyhow::Result<(u64, bool)> {
        let section = Section { partition: Some(place.partition), from: Some(from), ..Section::default() };
        let (mut headers, mut passed, mut failure) = (0, false, None);
        read_section(&self.installation.cluster, topic, section, ANSWER_WITHIN, |record, _| {
            match header_in(self.installation, place.service, &record) {
                Ok(None) => {}
                Ok(Some(header)) => {
                    headers += 1;
                    passed = (self.passed)(place.partition, &header);
                }
                Err(error) => failure = Some(error),
            }
            !passed && failure.is_none() && !self.is_over()
        })?;
        failure.map_or(Ok((headers, passed)), Err)
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.deadline.get()
    }
}
