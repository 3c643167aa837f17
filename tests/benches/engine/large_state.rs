//! A large state for R1 and R2: each of so many customers came once, and the worker wrote it down.

use anyhow::ensure;
use tests::installation::State;

use crate::drain::{installation, total, wait_for};
use crate::measured::Running;
use crate::options::Measured;
use crate::profile::{CHANGELOG, ProfileState};
use crate::shared::event::{Event, What};
use crate::shared::installation::{Installation, Parts, store_setting};
use crate::shared::storefront::{EVENTS, write_events};

/// 2026-01-01T00:00:00Z.
const BEGIN_MS: i64 = 1_767_225_600_000;

/// An installation whose changelog knows so many customers, and whose Redis does if they are kept there.
pub(crate) fn large_state<'a>(
    parts: &'a Parts,
    prefix: &str,
    customers: u32,
    state: State,
) -> anyhow::Result<Installation<'a>> {
    let installation = installation(parts, prefix)?;
    let running = Running::start(parts, &installation, Measured::Profile, &[store_setting(state)], "filling")?;
    running.wait_until_it_owns(parts.clients().partitions(), 1)?;
    let events: Vec<Event> = (1..=customers).map(first_of).collect();
    write_events(&parts.clients().producer(None)?, &installation, EVENTS, events.iter())?;
    let topic = installation.topic(EVENTS);
    let ends = parts.clients().ends(&topic)?;
    ensure!(total(&ends) == u64::from(customers), "{} events were written, not {customers}", total(&ends));
    let progress = parts.clients().progress(&installation.group("profile"), &topic)?;
    wait_for(&progress, &running, &ends)?;
    running.stop()?;
    Ok(installation)
}

/// The first event of a customer.
fn first_of(customer: u32) -> Event {
    Event {
        number: customer,
        customer,
        what: What::Viewed,
        product: customer % 20_000,
        at_ms: BEGIN_MS,
        partition: None,
    }
}

/// The second: with an output, in which her first has to be counted.
pub(crate) fn second_of(customer: u32) -> Event {
    // The upper half of the numbers is free.
    Event { number: customer | 1 << 31, what: What::Added, at_ms: BEGIN_MS + 1, ..first_of(customer) }
}

/// How many records the changelog holds, and the largest part of what they look like.
pub(crate) fn some_states(installation: &Installation<'_>, most: usize) -> anyhow::Result<(u64, Vec<Vec<u8>>)> {
    let (mut records, mut states) = (0, Vec::new());
    installation.read_all(CHANGELOG, |message| {
        use rdkafka::message::Message as _;
        records += 1;
        let value = message.payload().unwrap_or_default();
        if states.len() < most {
            let record: schemas::ChangelogRecord<ProfileState> = installation.schemas().decode(value)?;
            if record.state.is_some() {
                states.push(value.to_vec());
            }
        }
        Ok(())
    })?;
    Ok((records, states))
}
