//! Taking over a partition (design promise 4): the store's view is brought up to the changelog's last header.
//!
//! Wanted properties:
//! - nothing that was committed before the takeover is missed: the changelog is read up to its `read_uncommitted` end;
//! - what lies behind the last header is never applied;
//! - a view is never replaced by one that stands for less, also by a worker that stood still on the way;
//! - a dead worker's open transaction is ended as soon as it is known that its slot is dead, and only then;
//! - where the view is whole, the cost does not depend on the number of customers.

use std::convert::Infallible;
use std::time::Duration;

use domain::Timestamp;
use schemas::{ChangelogHeader, ChangelogRecord, Schemas};
use stream::{Due, Key, Labels, Partition, Service, State as _, StateChanges, StateStore, StorePosition};

use super::hear::learn;
use super::poll;
use super::transaction::{DUE_HEADER, HEADER_KEY, WRITER_HEADER, due_from, initialised};
use crate::clients::Cluster;
use crate::port::{ClientError, Clients, Place, Polled, Reader, Reading, Record, Start};
use crate::{KafkaFailure, Registry};

/// How many changes a rebuild writes at a time.
const FILL_RECORDS: usize = 5_000;
const POLL: Duration = Duration::from_millis(20);

/// Reads changelogs and watermarks for one worker.
pub(super) struct Restorer<'a, C: Clients> {
    clients: &'a C,
    cluster: Cluster,
    service: &'static str,
    changelog: String,
    group_id: String,
    log: String,
    committed: C::Reader,
    uncommitted: C::Reader,
    timeout: Duration,
    blocked_after: Duration,
    tombstone_retention: Duration,
    registry: Option<Registry>,
    /// The last blocker that was ended: (partition, offset), so that it happens once.
    ended: Option<(Partition, i64)>,
}

/// What a restore found.
#[derive(Debug)]
pub(super) struct Restored {
    pub(super) header: Option<ChangelogHeader>,
    pub(super) position: StorePosition,
    pub(super) records: u64,
}

/// How a changelog is brought into the store.
enum Target {
    /// The view in use goes on from its position.
    GoOn(StorePosition),
    /// A new view is filled.
    Rebuild(String),
}

/// With what a view is brought up.
struct Restoring<'a> {
    store: &'a mut dyn StateStore,
    schemas: &'a Schemas,
    log: &'a str,
    start: i64,
    begun: bool,
    keep_waiting: &'a dyn Fn() -> bool,
}

impl<'a, C: Clients> Restorer<'a, C> {
    pub(super) fn new(
        clients: &'a C,
        options: &super::WorkerOptions,
        service: &'static str,
        changelog: &str,
        group_id: &str,
    ) -> Result<Self, KafkaFailure> {
        let cluster = options.cluster.clone();
        let reader = |what: &str, committed_only| {
            clients.reader(&format!("{}-{what}", options.slot), Reading::Section { committed_only })
        };
        Ok(Self {
            committed: reader("restore", true)?,
            uncommitted: reader("tail", false)?,
            service,
            changelog: cluster.topic(changelog),
            group_id: group_id.to_owned(),
            log: String::new(),
            timeout: Duration::from_secs(5),
            blocked_after: options.blocked_after,
            tombstone_retention: options.tombstone_retention,
            registry: options.registry.clone(),
            ended: None,
            clients,
            cluster,
        })
    }

    /// The identity of the changelog: another cluster's topic is another log. (A topic that was deleted and made again is
    /// recognised by its ends and by its missing header: the client can't ask for topic ids.)
    fn log(&mut self) -> Result<String, KafkaFailure> {
        if self.log.is_empty() {
            let cluster = self
                .committed
                .cluster_id(self.timeout)
                .ok_or_else(|| KafkaFailure::of("asking for the cluster's id", ClientError::timed_out()))?;
            self.log = format!("{cluster}/{}", self.changelog);
        }
        Ok(self.log.clone())
    }

    /// The end of a partition as a `read_uncommitted` reader sees it.
    pub(super) fn end(&self, topic: &str, partition: Partition) -> Result<i64, KafkaFailure> {
        Ok(self.range(&self.uncommitted, topic, partition)?.1)
    }

    /// Where a partition begins, and its last stable offset.
    pub(super) fn stable_range(&self, topic: &str, partition: Partition) -> Result<(i64, i64), KafkaFailure> {
        self.range(&self.committed, topic, partition)
    }

    fn range(&self, reader: &C::Reader, topic: &str, partition: Partition) -> Result<(i64, i64), KafkaFailure> {
        reader
            .watermarks(topic, partition, self.timeout)
            .map_err(|source| KafkaFailure::of(format!("asking for the end of {topic}[{partition}]"), source))
    }

    /// Brings the partition's view up to the changelog's end. Where it has `begun` and its changelog has no header, that is
    /// refused, and nothing is changed.
    pub(super) fn restore<S: Service>(
        &mut self,
        partition: Partition,
        store: &mut dyn StateStore,
        schemas: &Schemas,
        begun: bool,
        keep_waiting: &dyn Fn() -> bool,
    ) -> Result<Restored, KafkaFailure> {
        let log = self.log()?;
        let topic = self.changelog.clone();
        self.wait_until_stable(partition, keep_waiting)?;
        let (start, end) = self.stable_range(&topic, partition)?;
        let target = self.target(partition, store, &log, start, end)?;
        let went_on = matches!(target, Target::GoOn(_));
        let mut restoring = Restoring { store, schemas, log: &log, start, begun, keep_waiting };
        let restored = self.bring_up::<S>(partition, &mut restoring, target);
        match restored {
            // The log does not have the header that the view stands for: it is another log's view after all.
            Ok(Restored { header: None, position, .. }) if went_on && position.header_offset >= 0 => {
                self.bring_up::<S>(partition, &mut restoring, self.new_view())
            }
            restored => restored,
        }
    }

    fn bring_up<S: Service>(
        &mut self,
        partition: Partition,
        restoring: &mut Restoring<'_>,
        target: Target,
    ) -> Result<Restored, KafkaFailure> {
        let Restoring { store, schemas, log, start, begun, keep_waiting } = restoring;
        let from = match &target {
            Target::GoOn(position) => position.header_offset.max(*start),
            Target::Rebuild(generation) => {
                store.begin_rebuild(partition, generation, log)?;
                // It takes the place only of the view that it was begun over. That one may be newer than what was found
                // above, if this worker stood still since: what it stands for has to be below the end that is read to.
                self.wait_until_stable(partition, *keep_waiting)?;
                *start
            }
        };
        let mut fold = Fold { partition, target, pending: StateChanges::default(), header: None, records: 0 };
        self.read(&self.changelog, partition, from, *keep_waiting, |message| {
            if let Some(value) = message.value() {
                // Another version may have written it.
                learn(schemas, self.registry.as_ref(), value)?;
            }
            fold.take::<S>(message, *store, schemas)
        })?;
        let records = fold.records;
        if fold.header.is_none() && *begun && fold.is_rebuild() {
            return Err(KafkaFailure::Installation(format!(
                "{} partition {partition} was processed before, but its changelog {} has no header: it was deleted, or the \
                 prefix is another installation's; restore the topic, or begin anew under another prefix",
                self.service, self.changelog,
            )));
        }
        let (header, position) = fold.finish(*store, log)?;
        Ok(Restored { header, position, records })
    }

    /// From where the changelog has to be read.
    fn target(
        &self,
        partition: Partition,
        store: &mut dyn StateStore,
        log: &str,
        start: i64,
        end: i64,
    ) -> Result<Target, KafkaFailure> {
        let Some(position) = store.position(partition)? else { return Ok(self.new_view()) };
        // Another log's view, or one from before the log was cut.
        if position.log != log || position.header_offset >= end || position.header_offset < 0 && start > 0 {
            return Ok(self.new_view());
        }
        // Compaction may have dropped tombstones that an older view has not seen.
        let since = Timestamp::from_millis(self.clients.now_ms() - self.tombstone_retention.as_millis() as i64);
        let oldest_kept =
            self.committed.offset_at(&self.changelog, partition, since, self.timeout).map_err(|source| {
                KafkaFailure::of(format!("asking {} [{partition}] for offsets by time", self.changelog), source)
            })?;
        let too_old = match oldest_kept {
            // The first that is young enough to have its tombstones: all before it may lack them.
            Some(offset) => position.header_offset + 1 < offset && position.header_offset + 2 < end,
            // Nothing is that young: what lies between the view and the end is all the older.
            None => position.header_offset + 2 < end,
        };
        Ok(if too_old { self.new_view() } else { Target::GoOn(position) })
    }

    /// Waits until the changelog's last stable offset has come to its end as it is now.
    pub(super) fn wait_until_stable(
        &mut self,
        partition: Partition,
        keep_waiting: &dyn Fn() -> bool,
    ) -> Result<(), KafkaFailure> {
        let topic = self.changelog.clone();
        let end = self.end(&topic, partition)?;
        let began = self.clients.monotonic();
        loop {
            let (_, stable) = self.stable_range(&topic, partition)?;
            if stable >= end {
                return Ok(());
            }
            if !keep_waiting() {
                return Err(stopped());
            }
            if self.clients.elapsed(began) > self.blocked_after {
                self.end_blocker(partition, stable)?;
            }
            self.clients.pause(POLL);
        }
    }

    /// Ends the open transaction that holds the last stable offset, if its owner is no live member of the group.
    fn end_blocker(&mut self, partition: Partition, stable: i64) -> Result<(), KafkaFailure> {
        if self.ended == Some((partition, stable)) {
            return Ok(());
        }
        let Some(writer) = self.writer_at(partition, stable)? else { return Ok(()) };
        if self.is_member(&writer)? {
            return Ok(());
        }
        tracing::info!(
            service = self.service,
            partition,
            stable,
            writer,
            "ending the open transaction of a dead worker"
        );
        // Only ids of this service's slots are ever initialised here.
        if !writer.starts_with(&format!("{}.", self.group_id)) {
            return Ok(());
        }
        drop(initialised(self.clients, &self.cluster, &writer)?);
        self.ended = Some((partition, stable));
        Ok(())
    }

    fn writer_at(&self, partition: Partition, offset: i64) -> Result<Option<String>, KafkaFailure> {
        let mut writer = None;
        let topic = &self.changelog;
        let failed = |source| KafkaFailure::of(format!("reading {topic}[{partition}]@{offset}"), source);
        self.uncommitted.read(&[Place { topic, partition, from: Start::Offset(offset) }]).map_err(failed)?;
        let deadline = self.clients.monotonic() + self.timeout;
        while self.clients.monotonic() < deadline && writer.is_none() {
            match poll(&self.uncommitted, POLL).map_err(failed)? {
                Polled::Record(message) => {
                    writer = Some(header_text(&message, WRITER_HEADER).unwrap_or_default());
                }
                Polled::End(_) => break,
                Polled::Nothing => {}
            }
        }
        self.uncommitted.leave_all().map_err(failed)?;
        Ok(writer.filter(|writer| !writer.is_empty()))
    }

    /// Whether a slot is a live member of the service's group: its client id is its transactional id.
    fn is_member(&self, slot_id: &str) -> Result<bool, KafkaFailure> {
        let members = self
            .committed
            .members(&self.group_id, self.timeout)
            .map_err(|source| KafkaFailure::of(format!("asking for the members of {}", self.group_id), source))?;
        Ok(members.iter().any(|client_id| client_id == slot_id))
    }

    /// Reads the committed records of a partition from `from` to its end as of now.
    fn read(
        &self,
        topic: &str,
        partition: Partition,
        from: i64,
        keep_waiting: &dyn Fn() -> bool,
        mut each: impl FnMut(&<C::Reader as Reader>::Record<'_>) -> Result<(), KafkaFailure>,
    ) -> Result<(), KafkaFailure> {
        let failed = |source| KafkaFailure::of(format!("reading {topic}[{partition}]"), source);
        self.committed.read(&[Place { topic, partition, from: Start::Offset(from) }]).map_err(failed)?;
        let mut heard = self.clients.monotonic();
        let result = loop {
            if !keep_waiting() {
                break Err(stopped());
            }
            match poll(&self.committed, POLL) {
                Ok(Polled::Record(message)) => {
                    heard = self.clients.monotonic();
                    if let Err(failure) = each(&message) {
                        break Err(failure);
                    }
                }
                Ok(Polled::End(_)) => break Ok(()),
                Err(source) => break Err(failed(source)),
                Ok(Polled::Nothing) if self.clients.elapsed(heard) > self.timeout => {
                    break Err(failed(ClientError::timed_out()));
                }
                Ok(Polled::Nothing) => {}
            }
        };
        self.committed.leave_all().map_err(failed)?;
        result
    }

    fn new_view(&self) -> Target {
        Target::Rebuild(self.clients.unique_name())
    }
}

fn stopped() -> KafkaFailure {
    KafkaFailure::Installation("stopped while taking over".to_owned())
}

/// Changes wait here until their header comes.
struct Fold {
    partition: Partition,
    target: Target,
    pending: StateChanges,
    header: Option<(i64, ChangelogHeader)>,
    records: u64,
}

impl Fold {
    fn take<S: Service>(
        &mut self,
        message: &impl Record,
        store: &mut dyn StateStore,
        schemas: &Schemas,
    ) -> Result<(), KafkaFailure> {
        self.records += 1;
        let place = || format!("{}[{}]@{}", message.topic(), message.partition(), message.offset());
        let unusable = |why: &str| KafkaFailure::Installation(format!("the changelog record at {} {why}", place()));
        let key = message.key().and_then(|key| std::str::from_utf8(key).ok()).ok_or_else(|| unusable("has no key"))?;
        if key != HEADER_KEY {
            let due = match message.header(DUE_HEADER) {
                None => Due::default(),
                Some(bytes) => due_from(bytes).ok_or_else(|| unusable("does not say what its key waits for"))?,
            };
            match message.value() {
                None => self.pending.end(Key::from(key), labels_of::<S>(None)),
                Some(value) => {
                    // The log does not say them: they are in the state, however old the record is.
                    let state = if S::State::INDEX > 0 {
                        let record: ChangelogRecord<S::State> =
                            schemas.decode(value).map_err(|error| unusable(&format!("can't be read: {error}")))?;
                        record.state
                    } else {
                        None
                    };
                    let Ok(_) = self.pending.set(Key::from(key), due, labels_of::<S>(state.as_ref()), |values| {
                        values.extend_from_slice(value);
                        Ok::<_, Infallible>(())
                    });
                }
            }
            // A new view is not in use before it is whole, and committed records end with a header: no need to keep them.
            return if self.is_rebuild() && self.pending.len() >= FILL_RECORDS { self.fill(store) } else { Ok(()) };
        }
        let value = message.value().ok_or_else(|| unusable("is a header without a value"))?;
        let record: ChangelogRecord<S::State> =
            schemas.decode(value).map_err(|error| unusable(&format!("can't be read: {error}")))?;
        let header = record.header.ok_or_else(|| unusable("is a header without a header"))?;
        self.apply(store, message.offset())?;
        self.header = Some((message.offset(), header));
        Ok(())
    }

    fn is_rebuild(&self) -> bool {
        matches!(self.target, Target::Rebuild(_))
    }

    fn fill(&mut self, store: &mut dyn StateStore) -> Result<(), KafkaFailure> {
        let changes = self.pending.take();
        if let Target::Rebuild(generation) = &self.target {
            store.fill(self.partition, generation, &changes)?;
        }
        Ok(())
    }

    fn apply(&mut self, store: &mut dyn StateStore, header_offset: i64) -> Result<(), KafkaFailure> {
        match &mut self.target {
            Target::Rebuild(_) => self.fill(store)?,
            Target::GoOn(position) => {
                if header_offset <= position.header_offset {
                    self.pending.clear();
                    return Ok(());
                }
                match store.apply(self.partition, position, header_offset, &self.pending.take())? {
                    stream::Applied::Done | stream::Applied::AlreadyThere => position.header_offset = header_offset,
                    stream::Applied::Refused(found) => {
                        return Err(KafkaFailure::Store(stream::StoreError::Unavailable(format!(
                            "the view of partition {} was changed by somebody else while it was healed (it stands at {found:?})",
                            self.partition
                        ))));
                    }
                }
            }
        }
        Ok(())
    }

    fn finish(
        self,
        store: &mut dyn StateStore,
        log: &str,
    ) -> Result<(Option<ChangelogHeader>, StorePosition), KafkaFailure> {
        let (offset, header) = self.header.map_or((-1, None), |(offset, header)| (offset, Some(header)));
        match self.target {
            Target::GoOn(position) => Ok((header, position)),
            Target::Rebuild(generation) => {
                store.switch(self.partition, &generation, log, offset)?;
                Ok((header, StorePosition { generation, log: log.to_owned(), header_offset: offset }))
            }
        }
    }
}

/// Under which labels a key is found whose last state is this one. Before it was under whatever there is: a log that is read
/// does not tell what the view holds.
fn labels_of<S: Service>(state: Option<&S::State>) -> Labels {
    match state {
        _ if S::State::INDEX == 0 => Labels::no_longer(Vec::new()),
        Some(state) => Labels::are(state.indexed_under().cloned().collect()),
        None => Labels::are(Vec::new()),
    }
}

fn header_text(message: &impl Record, name: &str) -> Option<String> {
    Some(String::from_utf8_lossy(message.header(name)?).into_owned())
}
