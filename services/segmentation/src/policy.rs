//! What is in force: the segments, the boundaries of quintiles, the dates that journeys wait for, and whom they let in who is in
//! their segment already.
//!
//! Wanted properties:
//! - of each segment and each journey the highest version rules;
//! - a record that can't be read leaves the policy as it was;
//! - it knows which fields of the customer the conditions read, so that only these are looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use definitions::{
    DateTrigger, Definition, Kind, MAX_DATES, MAX_EXISTING, Segment, ShopTimeZones, Thresholds, Trigger,
    parse_document, parse_record_key,
};
use domain::{HumanDuration, Timestamp};
use links::Secret;
use schemas::{Admission, DefinitionStatus, OccasionKind, Schemas};
use stream::{Partition, Poison, RecordRef, partition_of};

use crate::field::Field;
use crate::quintiles::Boundaries;
use crate::state::Coming;
use crate::{score, topology};

/// At most so many segments are in force.
const MAX_SEGMENTS: usize = 200;

/// The group whose segment a customer is told by: where she stands in her life as one.
pub(crate) const LIFECYCLE: &str = "lifecycle";

/// What is in force.
#[derive(Debug, Default)]
pub struct Policy {
    versions: BTreeMap<Arc<str>, BTreeMap<i32, Arc<Segment>>>,
    /// When segments or dates were last applied.
    applied_at: Option<Timestamp>,
    /// Where the last record of a segment lies.
    segments_offset: i64,
    /// The segments in force. Those of a group stand together, the highest priority first; one without a group is a group.
    groups: Vec<Vec<Arc<Segment>>>,
    /// The segments of the group [`LIFECYCLE`].
    lifecycle: BTreeSet<Arc<str>>,
    /// Of those that have one.
    minimum_stays: BTreeMap<Arc<str>, HumanDuration>,
    /// What the conditions read.
    reads: Vec<Read>,
    /// What time alone changes, and where it matters.
    ageing: Vec<(Field, Thresholds)>,
    /// What was learnt from all customers, and the offset of its record.
    quintiles: Option<(Boundaries, i64)>,
    /// The segments of those groups of which any reads quintiles.
    on_quintiles: BTreeSet<Arc<str>>,
    /// The dates that versions of journeys wait for, and which version is in force: the highest.
    dates: BTreeMap<Arc<str>, BTreeMap<i32, Vec<DateTrigger>>>,
    /// By the key of its record: who is let in, and the offset of the record.
    admissions: BTreeMap<String, (i64, Admission)>,
    time_zones: ShopTimeZones,
    /// Where it is missing addresses are not told apart.
    address_secret: Option<Secret>,
    /// How many partitions every customer topic has; 0 where it is not said.
    partitions: i32,
}

/// A field that conditions read.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) path: Arc<str>,
    pub(crate) field: Field,
    pub(crate) thresholds: Thresholds,
}

impl Policy {
    /// Nothing is in force yet, in shops of these time zones; with messaging's secret of address hashes.
    pub fn new(time_zones: ShopTimeZones, address_secret: Secret) -> Self {
        Self { time_zones, address_secret: Some(address_secret), ..Self::default() }
    }

    /// Of an installation whose customer topics have so many partitions.
    #[must_use]
    pub fn of(self, partitions: i32) -> Self {
        Self { partitions, ..self }
    }

    /// Whether a customer's records lie on this partition; of each, where nobody said how many there are.
    pub(crate) fn is_partition_of(&self, customer: &str, partition: Partition) -> bool {
        self.partitions == 0 || partition_of(customer.as_bytes(), self.partitions) == partition
    }

    /// Applies a record of a table. Returns whether something has changed of which customers are to hear though they do nothing:
    /// segments, boundaries, dates, or who is let in.
    pub(crate) fn apply(&mut self, schemas: &Schemas, record: &RecordRef<'_>) -> Result<bool, Poison> {
        match topology::TOPOLOGY.tables.get(record.input) {
            Some(&topology::QUINTILES) => self.apply_quintiles(schemas, record).map(|()| true),
            Some(&topology::ADMISSIONS) => self.apply_admission(schemas, record),
            _ => self.apply_definition(schemas, record),
        }
    }

    /// One that is gone lets nobody in any more, and there is nothing to tell of it: it is looked for when a turn comes.
    fn apply_admission(&mut self, schemas: &Schemas, record: &RecordRef<'_>) -> Result<bool, Poison> {
        let key = key_of(record)?.to_owned();
        let Some(value) = record.value else {
            self.admissions.remove(&key);
            return Ok(false);
        };
        let admission: Admission = schemas.decode(value).map_err(|error| poison("malformed", error.to_string()))?;
        if self.admissions.len() >= MAX_EXISTING && !self.admissions.contains_key(&key) {
            return Err(poison("too_many_admissions", format!("{key}: there are {MAX_EXISTING} in force")));
        }
        self.admissions.insert(key, (record.offset, admission));
        Ok(true)
    }

    fn apply_quintiles(&mut self, schemas: &Schemas, record: &RecordRef<'_>) -> Result<(), Poison> {
        let Some(value) = record.value else {
            self.quintiles = None;
            return Ok(());
        };
        let learnt: schemas::Quintiles =
            schemas.decode(value).map_err(|error| poison("malformed", error.to_string()))?;
        self.learn(Boundaries::of(&learnt).map_err(|detail| poison("invalid_quintiles", detail))?, record.offset);
        Ok(())
    }

    /// Puts boundaries in force, which lie at this offset of their topic.
    pub fn learn(&mut self, boundaries: Boundaries, offset: i64) {
        self.quintiles = Some((boundaries, offset));
    }

    fn apply_definition(&mut self, schemas: &Schemas, record: &RecordRef<'_>) -> Result<bool, Poison> {
        let key = key_of(record)?;
        let (kind, name, version) = parse_record_key(key)
            .ok_or_else(|| poison("malformed", "a definition's key is kind/name/version".to_owned()))?;
        match kind {
            Some(Kind::Segment) => {
                let changed = self.apply_segment(schemas, record, (key, name, version))?;
                self.segments_offset = record.offset;
                Ok(changed)
            }
            Some(Kind::Journey) => self.apply_journey(schemas, record, (key, name, version)),
            _ => Ok(false),
        }
    }

    /// Of a journey only its dates are of interest here. A version without any concerns nobody, nor does one that is gone,
    /// unless an earlier one with dates rules again: dates that are planned are looked for when they come.
    fn apply_journey(
        &mut self,
        schemas: &Schemas,
        record: &RecordRef<'_>,
        (key, name, version): (&str, &str, i32),
    ) -> Result<bool, Poison> {
        let definition: Option<schemas::Definition> = match record.value {
            Some(value) => Some(schemas.decode(value).map_err(|error| poison("malformed", error.to_string()))?),
            None => None,
        };
        let gone_at = definition.as_ref().map_or(record.timestamp, |gone| Timestamp::from_millis(gone.applied_at));
        let Some(definition) = definition.filter(|definition| definition.status != DefinitionStatus::Deleted) else {
            let Some(versions) = self.dates.get_mut(name) else { return Ok(false) };
            let ruled = versions.keys().next_back() == Some(&version);
            versions.remove(&version);
            let has_dates = ruled && versions.values().next_back().is_some_and(|dates| !dates.is_empty());
            if has_dates {
                self.applied_at = self.applied_at.max(Some(gone_at));
            }
            return Ok(has_dates);
        };
        let journey = match parse_document(Kind::Journey, name, &definition.body) {
            Ok(Definition::Journey(journey)) if journey.version == version => journey,
            // Journeys themselves tell what is wrong with it.
            _ => return Ok(false),
        };
        let dates: Vec<DateTrigger> = journey.triggers.into_iter().filter_map(Trigger::date).collect();
        let others = self.dates().filter(|(other, _)| &***other != name).count();
        if others + dates.len() > MAX_DATES {
            return Err(poison("too_many_dates", format!("{key}: journeys wait for more than {MAX_DATES} dates")));
        }
        let has_dates = !dates.is_empty();
        self.dates.entry(name.into()).or_default().insert(version, dates);
        if has_dates {
            self.applied_at = self.applied_at.max(Some(Timestamp::from_millis(definition.applied_at)));
        }
        Ok(has_dates)
    }

    fn apply_segment(
        &mut self,
        schemas: &Schemas,
        record: &RecordRef<'_>,
        (key, name, version): (&str, &str, i32),
    ) -> Result<bool, Poison> {
        let Some(value) = record.value else {
            self.remove(name, version, record.timestamp);
            return Ok(true);
        };
        let definition: schemas::Definition =
            schemas.decode(value).map_err(|error| poison("malformed", error.to_string()))?;
        let applied_at = Timestamp::from_millis(definition.applied_at);
        if definition.status != DefinitionStatus::Active {
            self.remove(name, version, applied_at);
            return Ok(true);
        }
        // Each is judged at each event of a customer, and names her in an index: folders may each have few, and all too many.
        if self.versions.len() >= MAX_SEGMENTS && !self.versions.contains_key(name) {
            return Err(poison("too_many_segments", format!("{key}: there are {MAX_SEGMENTS} segments in force")));
        }
        let segment = segment(name, version, &definition.body)
            .map_err(|detail| poison("invalid_definition", format!("{key}: {detail}")))?;
        self.insert(segment);
        self.applied_at = self.applied_at.max(Some(applied_at));
        Ok(true)
    }

    /// Puts a segment in force.
    pub fn insert(&mut self, segment: Segment) {
        let versions = self.versions.entry(Arc::clone(&segment.name)).or_default();
        versions.insert(segment.version, Arc::new(segment));
        self.index();
    }

    /// Also of one that is not there: after a restart, compaction may have left its removal alone.
    fn remove(&mut self, name: &str, version: i32, at: Timestamp) {
        self.applied_at = self.applied_at.max(Some(at));
        if let Some(versions) = self.versions.get_mut(name) {
            versions.remove(&version);
            if versions.is_empty() {
                self.versions.remove(name);
            }
            self.index();
        }
    }

    fn index(&mut self) {
        let current: Vec<&Arc<Segment>> =
            self.versions.values().filter_map(|versions| versions.values().next_back()).collect();
        let mut groups: BTreeMap<(bool, Arc<str>), Vec<Arc<Segment>>> = BTreeMap::new();
        let mut reads: BTreeMap<Arc<str>, Thresholds> = BTreeMap::new();
        for segment in current {
            // A group and a segment without one may have the same name.
            let group = (segment.group.is_some(), Arc::clone(segment.group.as_ref().unwrap_or(&segment.name)));
            groups.entry(group).or_default().push(Arc::clone(segment));
            for condition in std::iter::once(&segment.enter).chain(&segment.leave) {
                for (path, thresholds) in &condition.reads().customer {
                    merge(reads.entry(Arc::clone(path)).or_insert_with(|| Thresholds::At([].into())), thresholds);
                }
            }
        }
        self.lifecycle =
            groups.get(&(true, LIFECYCLE.into())).into_iter().flatten().map(|of| Arc::clone(&of.name)).collect();
        self.groups = groups.into_values().collect();
        let on_quintiles = self.groups.iter().filter(|group| group.iter().any(|segment| reads_quintiles(segment)));
        self.on_quintiles = on_quintiles.flatten().map(|segment| Arc::clone(&segment.name)).collect();
        let all = self.groups.iter().flatten().filter(|segment| segment.minimum_stay > HumanDuration::ZERO);
        self.minimum_stays = all.map(|segment| (Arc::clone(&segment.name), segment.minimum_stay)).collect();
        for group in &mut self.groups {
            group.sort_by(|a, b| b.priority.cmp(&a.priority).then_with(|| a.name.cmp(&b.name)));
        }
        let known =
            |(path, thresholds): (Arc<str>, Thresholds)| Some(Read { field: Field::parse(&path)?, path, thresholds });
        self.reads = reads.into_iter().filter_map(known).collect();
        let mut ageing: BTreeMap<Field, Thresholds> =
            self.reads.iter().map(|read| (read.field.clone(), read.thresholds.clone())).collect();
        if ageing.contains_key(&Field::LeadScore) {
            for (field, thresholds) in score::ageing() {
                merge(ageing.entry(field).or_insert_with(|| Thresholds::At([].into())), &thresholds);
            }
        }
        self.ageing = ageing.into_iter().collect();
    }

    /// The dates that journeys wait for.
    pub(crate) fn dates(&self) -> impl Iterator<Item = (&Arc<str>, &DateTrigger)> {
        self.dates.iter().flat_map(|(journey, versions)| {
            let current = versions.values().next_back();
            current.into_iter().flatten().map(move |date| (journey, date))
        })
    }

    /// Who is let in, and where the records of it lie.
    pub(crate) fn admissions(&self) -> impl Iterator<Item = (i64, &Admission)> {
        self.admissions.values().map(|(offset, admission)| (*offset, admission))
    }

    /// Whether somebody's turn still stands.
    pub(crate) fn admits(&self, turn: &Coming) -> bool {
        let is_of = |admission: &Admission| turn.is(OccasionKind::Existing, &admission.journey, &admission.segment);
        self.admissions.values().any(|(_, admission)| is_of(admission))
    }

    /// Where the last of these records lies.
    pub(crate) fn admissions_seen(&self) -> Option<i64> {
        self.admissions.values().map(|(offset, _)| *offset).max()
    }

    /// The shops' time zones.
    pub(crate) const fn time_zones(&self) -> &ShopTimeZones {
        &self.time_zones
    }

    /// The secret of address hashes.
    pub(crate) const fn address_secret(&self) -> Option<&Secret> {
        self.address_secret.as_ref()
    }

    /// When segments or dates were last applied, or boundaries learnt: who was there then is judged as of that moment.
    pub(crate) fn applied_at(&self) -> Option<Timestamp> {
        self.applied_at.max(self.boundaries().map(Boundaries::learnt_at))
    }

    /// What tells quintiles apart, once it was learnt.
    pub(crate) fn boundaries(&self) -> Option<&Boundaries> {
        self.quintiles.as_ref().map(|(boundaries, _)| boundaries)
    }

    /// Names the boundaries.
    pub(crate) fn quintiles_offset(&self) -> Option<i64> {
        self.quintiles.as_ref().map(|(_, offset)| *offset)
    }

    /// Whether new boundaries may bring somebody in or out: the segment reads quintiles, or another of its group does.
    pub(crate) fn hangs_on_quintiles(&self, segment: &str) -> bool {
        self.on_quintiles.contains(segment)
    }

    /// How long whoever has entered a segment stays at least, where that is not nought.
    pub(crate) fn minimum_stay(&self, segment: &str) -> Option<HumanDuration> {
        self.minimum_stays.get(segment).copied()
    }

    /// Whether a segment says where somebody stands in her life as a customer.
    pub(crate) fn is_of_lifecycle(&self, segment: &str) -> bool {
        self.lifecycle.contains(segment)
    }

    /// Where the last record of a segment lies.
    pub(crate) const fn segments_offset(&self) -> i64 {
        self.segments_offset
    }

    /// The segments in force, group by group.
    pub(crate) fn groups(&self) -> &[Vec<Arc<Segment>>] {
        &self.groups
    }

    /// What the conditions read.
    pub(crate) fn reads(&self) -> &[Read] {
        &self.reads
    }

    /// What time alone changes, and where it matters.
    pub(crate) fn ageing(&self) -> &[(Field, Thresholds)] {
        &self.ageing
    }

    /// The names of the segments in force and their versions.
    pub fn segments(&self) -> impl Iterator<Item = (&str, i32)> {
        self.groups.iter().flatten().map(|segment| (&*segment.name, segment.version))
    }
}

fn reads_quintiles(segment: &Segment) -> bool {
    let conditions = std::iter::once(&segment.enter).chain(&segment.leave);
    let mut paths = conditions.flat_map(|condition| condition.reads().customer.keys());
    paths.any(|path| Field::parse(path).is_some_and(|field| field.is_quintile()))
}

fn key_of<'r>(record: &RecordRef<'r>) -> Result<&'r str, Poison> {
    let key = record.key.and_then(|key| std::str::from_utf8(key).ok());
    key.ok_or_else(|| poison("no_key", "a table's record has a key of text".to_owned()))
}

const fn poison(reason: &'static str, detail: String) -> Poison {
    Poison { reason, detail }
}

fn merge(thresholds: &mut Thresholds, more: &Thresholds) {
    match (&mut *thresholds, more) {
        (Thresholds::At(numbers), Thresholds::At(more)) => numbers.extend(more),
        _ => *thresholds = Thresholds::Anywhere,
    }
}

fn segment(name: &str, version: i32, body: &str) -> Result<Segment, String> {
    match parse_document(Kind::Segment, name, body) {
        Ok(Definition::Segment(segment)) if segment.version == version => Ok(*segment),
        Ok(_) => Err("the text is of another version".to_owned()),
        Err(diagnostics) => Err(diagnostics.first().map_or_else(String::new, ToString::to_string)),
    }
}
