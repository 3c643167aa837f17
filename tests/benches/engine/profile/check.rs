//! What the profiles have to be, computed customer by customer without the engine; and what they are.

use std::collections::{HashMap, HashSet};

use anyhow::{Context as _, ensure};
use rdkafka::message::Message as _;
use schemas::ChangelogRecord;

use super::{CHANGELOG, CHANGES, ProfileChanged, ProfileState};
use crate::shared::event::{Event, What};
use crate::shared::installation::Installation;

/// What follows from the events.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    customers: HashMap<String, Customer>,
    /// Message ids of what was put into carts.
    added: HashSet<String>,
}

#[derive(Debug, Default, PartialEq)]
struct Customer {
    first_seen_at: i64,
    last_seen_at: i64,
    /// By what it is: events, pages, views, adds, checkouts, orders.
    counts: [i64; 6],
    spent_minor: i64,
    last_order_id: Option<String>,
    cart_id: Option<String>,
}

impl Wanted {
    /// After these events, in their order.
    pub(crate) fn of<'a>(events: impl Iterator<Item = &'a Event>) -> Self {
        let mut wanted = Self::default();
        for event in events {
            wanted.customers.entry(event.customer_id()).or_default().take(event);
            if event.what == What::Added {
                wanted.added.insert(event.message_id());
            }
        }
        wanted
    }

    /// How many events lead to a record to others.
    pub(crate) fn changes(&self) -> u64 {
        self.added.len() as u64
    }
}

impl Customer {
    fn take(&mut self, event: &Event) {
        if self.counts[0] == 0 {
            self.first_seen_at = event.at_ms;
        }
        self.last_seen_at = event.at_ms;
        self.counts[0] += 1;
        let kind = match event.what {
            What::Page => 1,
            What::Viewed => 2,
            What::Added => 3,
            What::CheckoutStarted => 4,
            What::Ordered => 5,
        };
        self.counts[kind] += 1;
        if event.what == What::Ordered {
            self.spent_minor += event.price_minor();
            self.last_order_id = Some(event.order_id());
            self.cart_id = None;
        } else if let Some(cart) = event.cart_id() {
            self.cart_id = Some(cart);
        }
    }

    fn of(state: ProfileState) -> Self {
        let ProfileState { events, pages, views, adds, checkouts, orders, .. } = state;
        Self {
            first_seen_at: state.first_seen_at,
            last_seen_at: state.last_seen_at,
            counts: [events, pages, views, adds, checkouts, orders],
            spent_minor: state.spent_minor,
            last_order_id: state.last_order_id,
            cart_id: state.cart_id,
        }
    }
}

/// A record as it lies in a topic.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
}

/// What a worker wrote.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// States in the changelog, without headers.
    pub(crate) states: u64,
    pub(crate) headers: u64,
    pub(crate) changes: u64,
    /// The first of each kind: what they look like.
    pub(crate) some_states: Vec<Written>,
    pub(crate) some_headers: Vec<Written>,
    pub(crate) some_changes: Vec<Written>,
}

/// So many records of a kind are kept.
const SOME: usize = 20_000;

impl Found {
    /// Reads what was written and compares it, customer by customer; the first records of each kind after so many states
    /// are kept.
    pub(crate) fn verified(installation: &Installation<'_>, wanted: &Wanted) -> anyhow::Result<Self> {
        let mut found = Self::default();
        let mut latest: HashMap<String, Customer> = HashMap::with_capacity(wanted.customers.len());
        let schemas = installation.schemas();
        installation.read_all(CHANGELOG, |message| {
            let (key, value) = (message.key().unwrap_or_default(), message.payload().unwrap_or_default());
            let record: ChangelogRecord<ProfileState> = schemas.decode(value)?;
            let Some(state) = record.state else {
                found.headers += 1;
                keep(&mut found.some_headers, key, value);
                return Ok(());
            };
            found.states += 1;
            keep(&mut found.some_states, key, value);
            latest.insert(String::from_utf8(key.to_vec())?, Customer::of(state));
            Ok(())
        })?;
        let differing = wanted.customers.iter().find(|(id, customer)| latest.get(*id) != Some(customer));
        if let Some((id, customer)) = differing {
            anyhow::bail!("no score: {id} is {:?}, not {customer:?}", latest.get(id));
        }
        ensure!(
            latest.len() == wanted.customers.len(),
            "no score: {} customers, not {}",
            latest.len(),
            wanted.customers.len()
        );
        let mut causes = HashSet::with_capacity(wanted.added.len());
        installation.read_all(CHANGES, |message| {
            let value = message.payload().unwrap_or_default();
            let change: ProfileChanged = schemas.decode(value).context("a change")?;
            found.changes += 1;
            keep(&mut found.some_changes, message.key().unwrap_or_default(), value);
            causes.insert(change.cause_id);
            Ok(())
        })?;
        ensure!(
            found.changes == wanted.changes() && causes == wanted.added,
            "no score: {} changes of {} causes, not {}",
            found.changes,
            causes.len(),
            wanted.changes()
        );
        installation.has_no_dead_letters()?;
        Ok(found)
    }
}

fn keep(some: &mut Vec<Written>, key: &[u8], value: &[u8]) {
    if some.len() < SOME {
        some.push(Written { key: key.to_vec(), value: value.to_vec() });
    }
}
