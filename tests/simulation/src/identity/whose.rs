//! Whose an event is when it is told, and whose it turns out to be: the device's owner at that time, and before it had one, its
//! first.

use std::collections::{BTreeMap, BTreeSet};

use super::Told;

/// A device on which more customers were is nobody's.
const MOST_CUSTOMERS: usize = 3;
/// So far back goes a history, from the last thing that was done on the device.
const HISTORY_MS: i64 = 30 * DAY_MS;
/// A visitor who is silent for so long is forgotten: nothing of it becomes anybody's.
const FORGOTTEN_MS: i64 = 90 * DAY_MS;
const DAY_MS: i64 = 24 * 3_600_000;

/// A customer was recognised on a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recognition {
    /// The device.
    pub device: String,
    /// Who.
    pub customer: String,
    /// By which event of the log.
    pub by: usize,
    /// When, and never before what becomes hers by it.
    pub at_ms: i64,
    /// What becomes hers by it, by its place in the log.
    pub history: Vec<usize>,
    /// Something was done on the device before: whoever knows something under its id is told that it has moved.
    pub moves: bool,
}

/// Whose the events of a log are, by their place in it; of repeats nothing is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Whose {
    /// When they were told.
    pub when_told: BTreeMap<usize, String>,
    /// In the end; nobody's is what was too old when she was recognised.
    pub in_the_end: BTreeMap<usize, String>,
    /// Who was recognised, in the order of the log.
    pub recognitions: Vec<Recognition>,
}

#[derive(Default)]
struct Device {
    linked: Option<String>,
    customers: BTreeSet<String>,
    waiting: Vec<usize>,
}

/// Says whose each event of a log is.
pub fn whose(log: &[Told]) -> Whose {
    let mut whose = Whose::default();
    let mut devices: BTreeMap<&str, Device> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for (place, Told { event, .. }) in log.iter().enumerate() {
        if !seen.insert(&event.message_id) {
            continue;
        }
        let Some(id) = event.anonymous_id.as_deref() else {
            whose.is_of(place, &event.user_id.clone().unwrap_or_default());
            continue;
        };
        let device = devices.entry(id).or_default();
        if device.waiting.last().is_some_and(|last| log[*last].at_ms + FORGOTTEN_MS <= log[place].at_ms) {
            device.waiting.clear();
        }
        let is_shared = device.customers.len() > MOST_CUSTOMERS;
        let guest = event.address_id.as_ref().filter(|_| device.linked.is_none());
        let Some(user) = event.user_id.as_ref().or(guest) else {
            let owner = device.linked.clone().unwrap_or_else(|| id.to_owned());
            whose.is_of(place, &owner);
            if device.linked.is_none() && !is_shared {
                device.waiting.push(place);
            }
            continue;
        };
        whose.is_of(place, user);
        if is_shared || device.linked.as_ref() == Some(user) {
            continue;
        }
        let is_new = device.customers.insert(user.clone());
        let waited = std::mem::take(&mut device.waiting);
        if device.customers.len() > MOST_CUSTOMERS {
            device.linked = None;
            continue;
        }
        device.linked = Some(user.clone());
        if !is_new {
            continue;
        }
        let time = |place: usize| log[place].event.event_time;
        let last = waited.iter().map(|place| time(*place)).chain([event.event_time]).max().unwrap_or_default();
        let (history, too_old): (Vec<usize>, Vec<usize>) =
            waited.iter().partition(|place| time(**place) > last - HISTORY_MS);
        for place in &too_old {
            whose.in_the_end.remove(place);
        }
        for place in &history {
            whose.in_the_end.insert(*place, user.clone());
        }
        let recognition = Recognition {
            device: id.to_owned(),
            customer: user.clone(),
            by: place,
            at_ms: history.iter().map(|past| time(*past)).chain([event.event_time]).max().unwrap_or_default(),
            history,
            moves: !waited.is_empty(),
        };
        whose.recognitions.push(recognition);
    }
    whose
}

impl Whose {
    fn is_of(&mut self, place: usize, owner: &str) {
        self.when_told.insert(place, owner.to_owned());
        self.in_the_end.insert(place, owner.to_owned());
    }

    /// All to whom something belongs in the end.
    pub fn owners(&self) -> BTreeSet<&str> {
        self.in_the_end.values().map(String::as_str).collect()
    }

    /// The places of what belongs to somebody in the end.
    pub fn of<'w>(&'w self, customer: &'w str) -> impl Iterator<Item = usize> + 'w {
        self.in_the_end.iter().filter(move |(_, owner)| *owner == customer).map(|(place, _)| *place)
    }
}
