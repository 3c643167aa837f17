//! Who can be written to: what messaging published is what it holds, segmentation has heard all of it, and tells it.

use std::collections::{BTreeMap, BTreeSet};

use devbroker::core::records::Record;
use messaging::MessagingState;
use schemas::{
    ChangelogRecord, CommandKind, Contract, CustomerProfile, CustomerReachability, MessagingCommand, Suppression,
    SuppressionReason, UnreachableAddress,
};
use segmentation::SegmentationState;

use super::stores::{Fold, fold};
use super::{Breach, at, committed, outcomes, requests};
use crate::SCHEMAS;
use crate::wishes::{BOUNCING, address_hash};
use crate::workload::{PARTITIONS, Workload};
use crate::world::World;

const PUBLISHED: &str = "what_messaging_holds_is_published";
const HEARD: &str = "segmentation_knows_who_can_be_reached";
const TOLD: &str = "who_can_be_reached_is_told";
/// How long messaging remembers a wish of hers itself.
const REMEMBERED_MS: i64 = 3_600_000;
const HELD: &str = "who_unsubscribed_or_bounced_can_not_be_reached";

/// Everything that is wrong about it.
pub(super) fn reachability_is_as_decided(world: &World, workload: &Workload, breaches: &mut Vec<Breach>) {
    let published = published(world);
    let of = |customer: &str| published.get(customer).cloned().unwrap_or_default();
    let holding = states::<MessagingState>(world, "messaging.changelog");
    let holding: BTreeMap<&str, &Vec<UnreachableAddress>> =
        holding.iter().map(|(customer, state)| (customer.as_str(), &state.unreachable)).collect();
    let known = states::<SegmentationState>(world, "segmentation.changelog");
    let customers = published.keys().map(String::as_str).chain(holding.keys().copied());
    for customer in customers.chain(known.keys().map(String::as_str)) {
        let published = of(customer);
        let holds = holding.get(customer).map(|held| (*held).clone()).unwrap_or_default();
        if holds != published {
            let detail = format!("{customer}: {holds:?} is held, and published is {published:?}");
            breaches.push(Breach::new(PUBLISHED, detail));
        }
        let heard = known.get(customer).map(|state| state.unreachable.clone()).unwrap_or_default();
        if heard != published {
            let detail = format!("{customer}: {published:?} is published, and known is {heard:?}");
            breaches.push(Breach::new(HEARD, detail));
        }
    }
    is_told(world, workload, &published, breaches);
    is_held(world, &published, breaches);
}

/// Who has an address can be reached unless something is held against it: so say the profiles.
fn is_told(
    world: &World,
    workload: &Workload,
    published: &BTreeMap<String, Vec<UnreachableAddress>>,
    breaches: &mut Vec<Breach>,
) {
    let profiles = last::<CustomerProfile>(world, "customer.profiles");
    for click in workload.clicks() {
        let customer = click.customer.as_str();
        let Some(profile) = profiles.get(customer) else { continue };
        let hash = address_hash(customer);
        let held = published.get(customer).is_some_and(|held| held.iter().any(|held| held.address_hash == hash));
        let expected = profile.customer.has_email && !held;
        if profile.customer.reachable_email != Some(expected) {
            let detail = format!("{customer} is told to be {:?}, and not {expected}", profile.customer.reachable_email);
            breaches.push(Breach::new(TOLD, detail));
        }
    }
}

/// Her last wish stands, whatever came between; and so does it that her mailbox does not exist. Not asked of whose wish came after
/// a later one to the contrary: by then the hour for which messaging remembers that may be over, and the table was not read, as
/// hours pass here within the blink of an eye. For the same reason what is published may lag behind the table of who was to get a
/// message later than that hour: what is learnt then is learnt from a table that was not read yet.
fn is_held(world: &World, published: &BTreeMap<String, Vec<UnreachableAddress>>, breaches: &mut Vec<Breach>) {
    let mut expected: BTreeMap<String, Option<SuppressionReason>> = BTreeMap::new();
    let mut last: BTreeMap<String, [i64; 2]> = BTreeMap::new();
    let mut late: BTreeSet<String> = BTreeSet::new();
    for command in wishes(world) {
        let held = expected.entry(command.customer_id.clone()).or_default();
        let [wanted, unwanted] = last.entry(command.customer_id.clone()).or_insert([i64::MIN; 2]);
        match command.kind {
            CommandKind::Unsubscribe if command.at > *wanted => {
                *held = Some(SuppressionReason::Unsubscribed);
                *unwanted = command.at.max(*unwanted);
            }
            CommandKind::Subscribe if command.at >= *unwanted => {
                *held = None;
                *wanted = command.at.max(*wanted);
            }
            _ => drop(late.insert(command.customer_id)),
        }
    }
    let bounced = outcomes(world).into_iter().any(|(_, outcome)| {
        outcome.customer_id == BOUNCING && outcome.reason.as_deref() == Some(crate::provider::NO_SUCH_ADDRESS)
    });
    if bounced {
        expected.insert(BOUNCING.to_owned(), Some(SuppressionReason::Bounced));
    }
    let (table, requests) = (suppressed(world), requests(world));
    for (customer, expected) in expected.into_iter().filter(|(customer, _)| !late.contains(customer)) {
        let hash = address_hash(&customer);
        let told = published.get(&customer).and_then(|held| held.iter().find(|held| held.address_hash == hash));
        let told = told.map(|held| held.reason);
        let table = table.get(&hash).copied();
        let last_wish = last.get(&customer).map(|wishes| wishes[0].max(wishes[1]));
        let hour_is_over = || {
            let asked = requests.iter().filter(|(_, request)| request.customer_id == customer);
            last_wish.is_some_and(|wish| {
                asked
                    .max_by_key(|(_, request)| request.requested_at)
                    .is_some_and(|(_, last)| last.requested_at > wish + REMEMBERED_MS)
            })
        };
        if table != expected || told != expected && !hour_is_over() {
            let detail = format!("{customer}: {told:?} is published and {table:?} in the table, and not {expected:?}");
            breaches.push(Breach::new(HELD, detail));
        }
    }
}

/// Made at the latest when the broker got them.
fn wishes(world: &World) -> Vec<MessagingCommand> {
    let records = (0..PARTITIONS).flat_map(|partition| committed(world, &at("messaging.commands", partition)));
    let wish = |record: Record| {
        let command: MessagingCommand = SCHEMAS.decode(record.value.as_deref()?).ok()?;
        Some(MessagingCommand { at: command.at.min(record.timestamp_ms), ..command })
    };
    records.filter_map(wish).collect()
}

fn published(world: &World) -> BTreeMap<String, Vec<UnreachableAddress>> {
    let last = last::<CustomerReachability>(world, "customer.reachability").into_iter();
    last.map(|(customer, told)| (customer, told.unreachable)).collect()
}

fn suppressed(world: &World) -> BTreeMap<String, SuppressionReason> {
    let last = last::<Suppression>(world, "messaging.suppressions").into_iter();
    last.map(|(hash, suppression)| (hash, suppression.reason)).collect()
}

/// The last record under each key of a compacted topic.
pub(super) fn last<T: Contract>(world: &World, dataset: &str) -> BTreeMap<String, T> {
    let mut last = BTreeMap::new();
    for record in (0..PARTITIONS).flat_map(|partition| committed(world, &at(dataset, partition))) {
        let key = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default()).into_owned();
        match record.value.as_deref().and_then(|value| SCHEMAS.decode::<T>(value).ok()) {
            Some(value) => drop(last.insert(key, value)),
            None => drop(last.remove(&key)),
        }
    }
    last
}

/// What a service keeps of each customer.
pub(super) fn states<S>(world: &World, dataset: &str) -> BTreeMap<String, S>
where
    S: schemas::StateContract,
    ChangelogRecord<S>: Contract,
{
    let folds = (0..PARTITIONS).map(|partition| fold::<S>(world, dataset, partition, i64::MAX));
    let all = folds.flat_map(|Fold { states, .. }| states);
    let state = |(key, (value, _)): (String, (bytes::Bytes, _))| {
        Some((key, SCHEMAS.decode::<ChangelogRecord<S>>(&value).ok()?.state?))
    };
    all.filter_map(state).collect()
}
