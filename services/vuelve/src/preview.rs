//! What a folder's segments would make of the customers who are there, before it is applied.
//!
//! Wanted properties:
//! - it is what applying would do, by the same judging: groups, priorities, minimum stays and who is in already count;
//! - nothing is written;
//! - the customers that are named as examples are the same each time, and no two customers who are alike go before others.

use std::collections::BTreeMap;
use std::time::Duration;

use definitions::Definitions;
use domain::Timestamp;
use segmentation::{Policy, SegmentationState, preview};
use serde::Serialize;
use stream::Key;
use xxhash_rust::xxh3::xxh3_64;

use crate::customers::Changelog;
use crate::definition_topic::InForce;
use crate::hosting::Installation;
use crate::quintiles::Published;

/// What would become of a segment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Size {
    /// Its name.
    pub segment: String,
    /// How many are in it.
    pub now: u64,
    /// How many would be.
    pub then: u64,
    /// How many of them would come in.
    pub enter: u64,
    /// How many would go out.
    pub leave: u64,
    /// Some of those who would be in it.
    pub examples: Vec<String>,
}

/// Sizes of the folder's segments and of those in force, by name.
pub fn sizes(
    installation: &Installation,
    definitions: &Definitions,
    examples: usize,
    timeout: Duration,
) -> anyhow::Result<Vec<Size>> {
    let mut policy = Policy::default();
    // Applying a folder takes nothing away that is in force.
    for segment in InForce::read(installation, timeout)?.segments() {
        policy.insert(segment);
    }
    for segment in definitions.segments() {
        policy.insert(segment.clone());
    }
    if let Some(Published { boundaries, offset }) = Published::read(installation, timeout)? {
        policy.learn(boundaries, offset);
    }
    // A replay stands at a time of its own.
    let present = Changelog::present(installation, timeout)?;
    // Judged as they are read: their states together are many times what is told of them.
    let judged = Changelog::read(installation, timeout, &|| true, |customer, time, state| {
        Membership::of(&policy, customer, state, time.max(present))
    })?;
    let names = policy.segments().map(|(name, _)| name.to_owned());
    let mut sizes: BTreeMap<String, (Size, Vec<(u64, String)>)> =
        names.map(|name| (name, Default::default())).collect();
    for (customer, Membership { before, after }) in judged.customers {
        let order = order(&customer);
        for segment in before.iter().filter(|segment| !after.contains(segment)) {
            let (size, _) = sizes.entry(segment.to_string()).or_default();
            size.now += 1;
            size.leave += 1;
        }
        for segment in &after {
            let (size, chosen) = sizes.entry(segment.to_string()).or_default();
            let is_in = before.contains(segment);
            size.then += 1;
            size.now += u64::from(is_in);
            size.enter += u64::from(!is_in);
            let place = chosen.partition_point(|(other, _)| *other < order);
            if place < examples {
                chosen.insert(place, (order, customer.clone()));
                chosen.truncate(examples);
            }
        }
    }
    let named = |(segment, (size, chosen)): (String, (Size, Vec<(u64, String)>))| Size {
        segment,
        examples: chosen.into_iter().map(|(_, customer)| customer).collect(),
        ..size
    };
    Ok(sizes.into_iter().map(named).collect())
}

/// The segments that a customer is in, and those that she would be in.
struct Membership {
    before: Vec<Key>,
    after: Vec<Key>,
}

impl Membership {
    /// None of whom is in none and would be in none.
    fn of(policy: &Policy, customer: &str, state: &SegmentationState, at: Timestamp) -> Option<Self> {
        let before: Vec<Key> = state.memberships.iter().map(|membership| Key::clone(&membership.segment)).collect();
        let after = preview(policy, &Key::from(customer), state, at);
        (!before.is_empty() || !after.is_empty()).then_some(Self { before, after })
    }
}

/// An order of the customers by chance, the same each time.
fn order(customer: &str) -> u64 {
    xxh3_64(customer.as_bytes())
}
