//! Says what is wrong, by the invariant's name: from the input log, the other logs, the stores and the provider's book, and
//! from nothing that the engine says of itself.

mod reachability;
mod recognised;
mod scores;
mod stores;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use devbroker::core::ErrorCode;
use devbroker::core::batch;
use devbroker::core::log::{Isolation, PartitionLog};
use devbroker::core::records::{self, Record};
use devbroker::core::topics::TopicPartition;
use ingestion::{EARLIEST, Resolver, ResolverState, partition_of};
use journeys::JourneysState;
use messaging::MessagingState;
use schemas::{
    Change, ChangelogHeader, ChangelogRecord, CustomerEvent, Decision, EventKind, JourneyDecision, MessageOutcome,
    MessageRequest, Outcome, RequestAction, SegmentChange, StateContract, StorefrontEvent, topic_name,
};
use segmentation::SegmentationState;
use stream::{Service, Topology};

use crate::SCHEMAS;
use crate::checker::stores::{Fold, fold, stores_are_the_fold};
use crate::expected;
use crate::workload::{Arrival, PARTITIONS, PREFIX, Workload};
use crate::world::World;

/// An invariant that is broken.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Breach {
    /// Its name.
    pub invariant: &'static str,
    /// What was found.
    pub detail: String,
}

impl Breach {
    /// Of an invariant.
    pub fn new(invariant: &'static str, detail: String) -> Self {
        Self { invariant, detail }
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.detail)
    }
}

fn at(dataset: &str, partition: i32) -> TopicPartition {
    TopicPartition::new(topic_name(PREFIX, dataset), partition)
}

/// All committed records of a partition.
fn committed(world: &World, at: &TopicPartition) -> Vec<Record> {
    let Ok(log) = world.core.log(at) else { return Vec::new() };
    let Ok(found) = log.fetch(log.log_start_offset(), usize::MAX, true, Isolation::ReadCommitted) else {
        return Vec::new();
    };
    let aborted = found.aborted.unwrap_or_default();
    let mut all = Vec::new();
    for bytes in &found.batches {
        let Ok(header) = batch::read_header(bytes) else { continue };
        let hidden = header.is_transactional()
            && aborted.iter().any(|aborted| {
                aborted.producer_id == header.producer_id
                    && (aborted.first_offset..=aborted.last_offset).contains(&header.base_offset)
            });
        if !header.is_control() && !hidden {
            all.extend(records::read(&header, bytes).unwrap_or_default());
        }
    }
    all
}

/// Folds a partition of a changelog, given its dataset, up to an offset.
type FoldOf = fn(&World, &str, i32, i64) -> Fold;
/// Its last header alone.
type HeaderOf = fn(&World, &str, i32) -> Option<ChangelogHeader>;

fn services() -> [(&'static Topology, FoldOf, HeaderOf); 4] {
    [
        (Resolver::topology(), fold::<ResolverState>, header::<ResolverState>),
        (segmentation::Segmentation::topology(), fold::<SegmentationState>, header::<SegmentationState>),
        (journeys::Journeys::topology(), fold::<JourneysState>, header::<JourneysState>),
        (messaging::Messaging::topology(), fold::<MessagingState>, header::<MessagingState>),
    ]
}

/// How much was written to all logs: as long as it rises, the world is not at rest.
pub fn written(world: &World) -> i64 {
    world.core.topics().flat_map(|topic| &topic.partitions).map(PartitionLog::end_offset).sum()
}

/// The last header of a changelog, without its fold.
fn header<S: StateContract>(world: &World, dataset: &str, partition: i32) -> Option<ChangelogHeader> {
    let last = |record: &Record| record.key.as_deref() == Some(b"\0");
    let record = committed(world, &at(dataset, partition)).into_iter().rfind(last)?;
    SCHEMAS.decode::<ChangelogRecord<S>>(record.value.as_deref()?).ok()?.header
}

/// The group's offset of a partition of the primary input; an error while a transaction may change it.
fn group_offset(world: &World, topology: &Topology, partition: i32) -> Result<Option<i64>, ErrorCode> {
    let group = format!("{PREFIX}.{}", topology.service);
    let offset = world.core.committed_offset(&group, &at(topology.primary().dataset, partition), true);
    offset.map(|offset| offset.map(|offset| offset.offset))
}

/// How far the headers of a partition lie behind its inputs; none if they do not.
fn behind(world: &World, topology: &Topology, header: &ChangelogHeader, partition: i32) -> Option<String> {
    topology.inputs.iter().find_map(|input| {
        let position = header.positions.iter().find(|position| position.dataset == input.dataset);
        let position = position.map_or(0, |position| position.next_offset);
        let end = world.core.log(&at(input.dataset, partition)).map_or(0, PartitionLog::end_offset);
        let place = format!("{} {partition}", topology.service);
        (position < end).then(|| format!("{place} has read {} up to {position} of {end}", input.dataset))
    })
}

/// What is still to be done before the world is at rest; none if it is.
pub fn left_to_do(world: &World, workload: &Workload) -> Option<String> {
    for (topology, _, header) in services() {
        for partition in 0..PARTITIONS {
            let place = || format!("{} {partition}", topology.service);
            let Some(header) = header(world, topology.changelog, partition) else {
                return Some(format!("{} has no header", place()));
            };
            if let Some(behind) = behind(world, topology, &header, partition) {
                return Some(behind);
            }
            if header.watermark < workload.end_ms() {
                return Some(format!("{} is at the time {} of {}", place(), header.watermark, workload.end_ms()));
            }
        }
    }
    if let Some(place) = under_way(world) {
        return Some(format!("{place} has an open transaction"));
    }
    let requests = requests(world);
    let outcomes = outcomes(world);
    let missing = requests.iter().filter(|(_, request)| !outcomes.iter().any(|o| o.1.message_id == request.message_id));
    missing.map(|(_, request)| format!("{} has no outcome", request.message_id)).next()
}

fn under_way(world: &World) -> Option<String> {
    let mut places =
        services().into_iter().flat_map(|(topology, ..)| (0..PARTITIONS).map(move |number| (topology, number)));
    places.find_map(|(topology, partition)| {
        let log = world.core.log(&at(topology.changelog, partition));
        let is_open = log.is_ok_and(|log| log.last_stable_offset() < log.end_offset());
        let undecided = is_open || group_offset(world, topology, partition).is_err();
        undecided.then(|| format!("{} {partition}", topology.service))
    })
}

fn requests(world: &World) -> Vec<(i32, MessageRequest)> {
    decoded(world, "messaging.requests", |value| {
        SCHEMAS.decode::<MessageRequest>(value).ok().filter(|request| request.action == RequestAction::Request)
    })
}

/// By message: when the broker stored it last.
fn stored_at(world: &World) -> BTreeMap<String, i64> {
    let mut latest = BTreeMap::new();
    for partition in 0..PARTITIONS {
        for record in committed(world, &at("storefront.received", partition)) {
            let event = record.value.as_deref().and_then(|value| SCHEMAS.decode::<StorefrontEvent>(value).ok());
            if let Some(event) = event {
                let latest = latest.entry(event.message_id).or_insert(i64::MIN);
                *latest = record.timestamp_ms.max(*latest);
            }
        }
    }
    latest
}

fn events(world: &World) -> Vec<(i32, StorefrontEvent)> {
    decoded(world, "storefront.events", |value| SCHEMAS.decode(value).ok())
}

/// What journeys are told of customers.
fn told(world: &World) -> Vec<(i32, CustomerEvent)> {
    decoded(world, "customer.events", |value| SCHEMAS.decode(value).ok())
}

fn segment_changes(world: &World) -> Vec<(i32, SegmentChange)> {
    decoded(world, "customer.segments", |value| SCHEMAS.decode(value).ok())
}

fn decisions(world: &World) -> Vec<(i32, JourneyDecision)> {
    decoded(world, "journeys.decisions", |value| SCHEMAS.decode(value).ok())
}

fn outcomes(world: &World) -> Vec<(i32, MessageOutcome)> {
    decoded(world, "messaging.outcomes", |value| SCHEMAS.decode(value).ok())
}

fn decoded<T>(world: &World, dataset: &str, decode: impl Fn(&[u8]) -> Option<T>) -> Vec<(i32, T)> {
    let mut all = Vec::new();
    for partition in 0..PARTITIONS {
        for record in committed(world, &at(dataset, partition)) {
            all.extend(record.value.as_deref().and_then(&decode).map(|value| (partition, value)));
        }
    }
    all
}

/// Everything that is wrong, once the world is at rest.
pub fn check(world: &World, workload: &Workload) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let requests = requests(world);
    let outcomes = outcomes(world);
    every_input_is_read(world, &mut breaches);
    events_are_what_was_sent(world, workload, &mut breaches);
    what_is_told_is_what_happened(world, &mut breaches);
    requests_are_exact(workload, &requests, &mut breaches);
    recognised::people_are_who_they_would_be(world, workload, &mut breaches);
    outputs_keep_their_order(&requests, &mut breaches);
    decisions_are_taken_once(&decisions(world), &mut breaches);
    every_request_has_one_outcome(&requests, &outcomes, &mut breaches);
    nothing_is_sent_twice(world, &outcomes, &mut breaches);
    stores_are_the_fold(world, &mut breaches);
    reachability::reachability_is_as_decided(world, workload, &mut breaches);
    scores::scores_are_the_latest(world, &mut breaches);
    let letters_of = |partition| committed(world, &at("platform.deadletters", partition)).len();
    let letters: usize = (0..PARTITIONS).map(letters_of).sum();
    if letters > 0 {
        breaches.push(Breach::new("nothing_is_a_dead_letter", format!("{letters} are")));
    }
    breaches
}

/// Each storefront event is told once, in the order in which it lies there; the changes that are told are those of the segments,
/// who enters has not been there, who leaves has, and who she is told to be agrees with them.
fn what_is_told_is_what_happened(world: &World, breaches: &mut Vec<Breach>) {
    let mut happened: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (_, event) in events(world) {
        happened.entry(event.customer_id.unwrap_or_default()).or_default().push(event.message_id);
    }
    let mut heard: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut members: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut changes: BTreeMap<String, Vec<(String, Change)>> = BTreeMap::new();
    for (_, record) in told(world) {
        let customer = record.customer_id;
        heard.entry(customer.clone()).or_default().extend(record.event.map(|event| event.message_id));
        let now = members.entry(customer.clone()).or_default();
        for change in record.changes {
            let is_new = match change.change {
                Change::Entered => now.insert(change.segment.clone()),
                Change::Left | Change::Other => now.remove(&change.segment),
            };
            if !is_new {
                let detail = format!("{customer}: {:?} {} at {}", change.change, change.segment, record.at);
                breaches.push(Breach::new("a_segment_is_entered_and_left_in_turn", detail));
            }
            changes.entry(customer.clone()).or_default().push((change.segment, change.change));
        }
        if !now.iter().eq(&record.customer.segments) {
            let detail = format!("{customer} is in {now:?}, and told to be in {:?}", record.customer.segments);
            breaches.push(Breach::new("who_she_is_told_to_be_is_who_she_is", detail));
        }
    }
    heard.retain(|_, messages| !messages.is_empty());
    for (customer, messages) in &happened {
        if heard.get(customer) != Some(messages) {
            let detail = format!("{customer} did {messages:?}, and told is {:?}", heard.get(customer));
            breaches.push(Breach::new("what_happens_is_told_once_in_order", detail));
        }
    }
    let mut written: BTreeMap<String, Vec<(String, Change)>> = BTreeMap::new();
    for (_, change) in segment_changes(world) {
        written.entry(change.customer_id).or_default().push((change.segment, change.change));
    }
    if changes != written {
        let detail = format!("told are {changes:?}, and written {written:?}");
        breaches.push(Breach::new("changes_are_told_as_they_are_written", detail));
    }
}

fn requests_are_exact(workload: &Workload, requests: &[(i32, MessageRequest)], breaches: &mut Vec<Breach>) {
    let expected = expected::reminders(workload);
    let customers: BTreeSet<&str> = workload.clicks().map(|click| click.customer.as_str()).collect();
    let mut found: BTreeMap<(String, String, i64), u32> = BTreeMap::new();
    for (_, request) in requests.iter().filter(|(_, request)| customers.contains(request.customer_id.as_str())) {
        *found.entry((request.customer_id.clone(), request.template.clone(), request.due_at)).or_default() += 1;
    }
    for (reminder, count) in &found {
        if *count > 1 {
            breaches.push(Breach::new("a_timer_fires_once", format!("{reminder:?} was asked for {count} times")));
        }
    }
    let expected: BTreeSet<(String, String, i64)> =
        expected.into_iter().map(|(customer, template, due)| (customer, template.to_owned(), due)).collect();
    let found: BTreeSet<_> = found.into_keys().collect();
    for missing in expected.difference(&found) {
        breaches.push(Breach::new("no_timer_is_lost", format!("{missing:?} is missing")));
    }
    for more in found.difference(&expected) {
        breaches.push(Breach::new("nobody_is_reminded_of_what_she_bought", format!("{more:?} should not be")));
    }
}

/// Each message is there once, however often it came, under its own key, where that belongs, in its sender's order, and not
/// from the future.
fn events_are_what_was_sent(world: &World, workload: &Workload, breaches: &mut Vec<Breach>) {
    let owned = recognised::owners(world, workload);
    let sent: BTreeMap<&str, &str> = workload.sent().map(|sent| sent.arrival.names()).collect();
    let mut found: BTreeMap<String, u32> = BTreeMap::new();
    let mut messages: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    let stored_at = stored_at(world);
    for (partition, event) in events(world) {
        let (kind, message, customer) = (event.kind, event.message_id, event.customer_id.unwrap_or_default());
        let owner = owned.get(message.as_str()).map(String::as_str).or_else(|| sent.get(message.as_str()).copied());
        let is_where_it_belongs = partition_of(customer.as_bytes(), PARTITIONS) == partition;
        // Of who was recognised only the resolver tells: it is looked at by itself.
        let by_the_resolver = matches!(kind, EventKind::Identified | EventKind::Moved);
        if !is_where_it_belongs || !by_the_resolver && owner != Some(&customer) {
            let detail = format!("{message} lies under {customer} in {partition}");
            breaches.push(Breach::new("an_event_lies_under_its_customer", detail));
        }
        if by_the_resolver {
            continue;
        }
        *found.entry(message.clone()).or_default() += 1;
        let latest = stored_at.get(&message).copied().unwrap_or_default();
        if !(EARLIEST.as_millis()..=latest).contains(&event.event_time) {
            let detail = format!("{message} happened at {}", event.event_time);
            breaches.push(Breach::new("no_event_is_of_another_age", detail));
        }
        let key = sent.get(message.as_str()).copied().unwrap_or_default().to_owned();
        messages.entry((key, customer)).or_default().push(message);
    }
    for message in sent.keys() {
        let count = found.get(*message).copied().unwrap_or(0);
        if count != 1 {
            breaches.push(Breach::new("a_message_comes_once", format!("{message} came {count} times")));
        }
    }
    let mut done: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for sent in workload.sent().filter(|sent| !sent.again && !matches!(sent.arrival, Arrival::Visit(_))) {
        let (message, key) = sent.arrival.names();
        let owner = owned.get(message).map_or(key, String::as_str);
        done.entry((key, owner)).or_default().push(message);
    }
    for ((key, customer), done) in done {
        let came = messages.get(&(key.to_owned(), customer.to_owned()));
        let came: Vec<&str> = came.into_iter().flatten().map(String::as_str).collect();
        if came != done {
            let detail = format!("{customer} did {done:?} as {key}, and it came as {came:?}");
            breaches.push(Breach::new("events_keep_their_order", detail));
        }
    }
}

/// No input is left behind: each header says that all of it was read, and a record that is read has its disposition in the
/// same transaction.
fn every_input_is_read(world: &World, breaches: &mut Vec<Breach>) {
    for (topology, _, header) in services() {
        for partition in 0..PARTITIONS {
            let behind = match header(world, topology.changelog, partition) {
                Some(header) => behind(world, topology, &header, partition),
                None => Some(format!("{} {partition} has no header", topology.service)),
            };
            breaches.extend(behind.map(|behind| Breach::new("every_input_is_read", behind)));
        }
    }
}

/// Each run begins once, goes on in the order of time, ends once, and each decision is taken once.
fn decisions_are_taken_once(decisions: &[(i32, JourneyDecision)], breaches: &mut Vec<Breach>) {
    let mut seen = BTreeSet::new();
    let mut runs: BTreeMap<&str, (u32, u32, i64)> = BTreeMap::new();
    for (_, decision) in decisions {
        if !seen.insert(&decision.decision_id) {
            breaches.push(Breach::new("a_decision_is_taken_once", decision.decision_id.clone()));
        }
        let Some(run) = &decision.run_id else { continue };
        let (begins, ends, last) = runs.entry(run).or_insert((0, 0, i64::MIN));
        *begins += u32::from(decision.decision == Decision::Entered);
        *ends += u32::from(matches!(decision.decision, Decision::Exited | Decision::Completed));
        // An outcome comes back from messaging, and is noted at the run's own time.
        if decision.decision != Decision::MessageOutcome {
            if decision.at < *last {
                breaches.push(Breach::new("outputs_keep_their_order", format!("{} comes late", decision.decision_id)));
            }
            *last = decision.at;
        }
    }
    for (run, (begins, ends, _)) in runs {
        if (begins, ends) != (1, 1) {
            let detail = format!("{run} began {begins} times and ended {ends} times");
            breaches.push(Breach::new("a_run_begins_and_ends_once", detail));
        }
    }
}

fn outputs_keep_their_order(requests: &[(i32, MessageRequest)], breaches: &mut Vec<Breach>) {
    let mut last: BTreeMap<&str, i64> = BTreeMap::new();
    for (_, request) in requests {
        let last = last.entry(&request.run_id).or_insert(i64::MIN);
        if request.due_at < *last {
            breaches.push(Breach::new("outputs_keep_their_order", format!("{} comes late", request.message_id)));
        }
        *last = (*last).max(request.due_at);
    }
}

fn every_request_has_one_outcome(
    requests: &[(i32, MessageRequest)],
    outcomes: &[(i32, MessageOutcome)],
    breaches: &mut Vec<Breach>,
) {
    let mut by_message: BTreeMap<&str, Vec<Outcome>> = BTreeMap::new();
    for (_, outcome) in outcomes {
        by_message.entry(&outcome.message_id).or_default().push(outcome.outcome);
    }
    let asked: BTreeSet<&str> = requests.iter().map(|(_, request)| request.message_id.as_str()).collect();
    for message in &asked {
        match by_message.get(message).map(Vec::as_slice) {
            Some([_]) => {}
            found => breaches.push(Breach::new("every_request_has_one_outcome", format!("{message}: {found:?}"))),
        }
    }
    for message in by_message.keys().filter(|message| !asked.contains(*message)) {
        breaches.push(Breach::new("every_request_has_one_outcome", format!("{message} was never asked for")));
    }
}

fn nothing_is_sent_twice(world: &World, outcomes: &[(i32, MessageOutcome)], breaches: &mut Vec<Breach>) {
    for (message, count) in &world.provider.taken {
        if *count > 1 {
            breaches.push(Breach::new("nothing_is_sent_twice", format!("{message} was sent {count} times")));
        }
    }
    for (claim, count) in &world.provider.asked {
        if *count > 1 {
            breaches.push(Breach::new("a_claim_is_used_once", format!("{claim} was used {count} times")));
        }
    }
    for (_, outcome) in outcomes {
        let taken = world.provider.taken.get(&outcome.message_id).copied().unwrap_or(0);
        let fits = match outcome.outcome {
            Outcome::Sent => taken == 1,
            Outcome::Unknown => taken <= 1,
            _ => taken == 0,
        };
        if !fits {
            let detail = format!("{} is {:?} and was sent {taken} times", outcome.message_id, outcome.outcome);
            breaches.push(Breach::new("outcomes_say_what_was_sent", detail));
        }
    }
}
