//! The connections of lookups: a few, each used by one thread at a time.
//!
//! Wanted properties:
//! - a question that finds a connection free is asked at once; those that have to wait are asked together, in one round trip, by
//!   whichever of them gets the next connection: the more there are, the less each costs;
//! - first come, first served: a question waits for those before it, and not for those after;
//! - a question ends: by its answer, or by its deadline.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::vec::IntoIter;

use ::redis::{Client, Connection, RedisResult};
use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use stream::{Key, LoadRequest, Loaded, Partition, StoreError, StorePosition};

use super::keys::Keys;
use super::link::{Deadline, Link};
use super::options::RedisOptions;
use super::read::{self, List, Reading};
use crate::lookups::{Looked, Members, MembersQuery};

/// So many keys are asked for together, unless one question alone has more.
const KEYS_TOGETHER: usize = 500;

/// What is under a key: none where its partition has no view that may be read.
pub(super) type Found = Option<Looked>;

/// What a question asks for.
enum Wanted {
    /// The states of keys.
    States(Vec<(Partition, Key)>),
    /// Who is under labels.
    Members(Vec<(Partition, MembersQuery)>),
}

/// The answer to what is wanted, in its order.
enum Told {
    States(Vec<Found>),
    /// None where the partition has no view that may be read.
    Members(Vec<Option<Members>>),
}

type Answer = Result<Told, StoreError>;

pub(super) struct Pool {
    pub(super) options: Arc<RedisOptions>,
    desk: Mutex<Desk>,
    /// The generations seen last: a guess that saves a round trip.
    generations: Mutex<HashMap<Partition, String>>,
}

/// The connections that nobody uses, and the questions that wait for one, the eldest first.
struct Desk {
    idle: Vec<Link>,
    waiting: VecDeque<Arc<Question>>,
}

struct Question {
    wanted: Wanted,
    /// Set under the desk's lock, as whoever waits looks for it under that lock.
    answer: Mutex<Option<Answer>>,
    /// There is an answer, or a connection.
    called: Condvar,
}

impl Pool {
    pub(super) fn new(options: Arc<RedisOptions>, client: &Client) -> Self {
        let links = (0..options.lookup_connections).map(|_| Link::new(options.clone(), client.clone()));
        let desk = Desk { idle: links.collect(), waiting: VecDeque::new() };
        Self { options, desk: Mutex::new(desk), generations: Mutex::default() }
    }

    /// What is under each of the keys, in their order.
    pub(super) fn states(&self, keys: Vec<(Partition, Key)>) -> Result<Vec<Found>, StoreError> {
        match self.ask(Wanted::States(keys))? {
            Told::States(found) => Ok(found),
            Told::Members(_) => Err(misanswered()),
        }
    }

    /// Who is under labels, in the order of the questions.
    pub(super) fn members(&self, asked: Vec<(Partition, MembersQuery)>) -> Result<Vec<Option<Members>>, StoreError> {
        match self.ask(Wanted::Members(asked))? {
            Told::Members(members) => Ok(members),
            Told::States(_) => Err(misanswered()),
        }
    }

    fn ask(&self, wanted: Wanted) -> Answer {
        let deadline = Deadline::after(self.options.deadline);
        let question = Arc::new(Question { wanted, answer: Mutex::default(), called: Condvar::new() });
        let mut desk = self.desk.lock();
        desk.waiting.push_back(Arc::clone(&question));
        loop {
            if let Some(answer) = question.answer.lock().take() {
                return answer;
            }
            let is_waiting = desk.waiting.iter().any(|other| Arc::ptr_eq(other, &question));
            if is_waiting && let Some(mut link) = desk.idle.pop() {
                let together = desk.next();
                drop(desk);
                let answers = self.answers(&mut link, &together);
                desk = self.desk.lock();
                desk.idle.push(link);
                for (question, answer) in together.iter().zip(answers) {
                    *question.answer.lock() = Some(answer);
                    question.called.notify_one();
                }
                if let Some(next) = desk.waiting.front() {
                    next.called.notify_one();
                }
                continue;
            }
            if deadline.left().is_zero() {
                desk.waiting.retain(|other| !Arc::ptr_eq(other, &question));
                return Err(StoreError::Unavailable(format!(
                    "all {} connections for lookups are in use",
                    self.options.lookup_connections
                )));
            }
            question.called.wait_for(&mut desk, deadline.left());
        }
    }

    /// The answers to several questions, in their order; an error is each one's.
    fn answers(&self, link: &mut Link, questions: &[Arc<Question>]) -> Vec<Answer> {
        match self.read(link, questions) {
            Ok(answers) => answers.into_iter().map(Ok).collect(),
            Err(error) => questions.iter().map(|_| Err(error.clone())).collect(),
        }
    }

    /// All states in one round trip, and all lists in one.
    fn read(&self, link: &mut Link, questions: &[Arc<Question>]) -> Result<Vec<Told>, StoreError> {
        let mut keys: Vec<(Partition, Key)> = Vec::new();
        let mut lists: Vec<(Partition, &MembersQuery)> = Vec::new();
        for question in questions {
            match &question.wanted {
                Wanted::States(wanted) => keys.extend(wanted.iter().cloned()),
                Wanted::Members(asked) => lists.extend(asked.iter().map(|(partition, query)| (*partition, query))),
            }
        }
        let requests = by_partition(keys);
        let loads: Vec<(Partition, &LoadRequest)> =
            requests.iter().map(|(partition, request)| (*partition, request)).collect();
        let loaded = self.ask_all(link, &loads, read::look_all)?;
        let mut members = self.ask_all(link, &lists, read::ask_all::<List>)?.into_iter();
        let mut found = InOrder::new(&requests, loaded);
        let told = |question: &Arc<Question>| match &question.wanted {
            Wanted::States(wanted) => {
                Told::States(wanted.iter().map(|(partition, _)| found.next(*partition)).collect())
            }
            Wanted::Members(asked) => Told::Members(members.by_ref().take(asked.len()).collect()),
        };
        Ok(questions.iter().map(told).collect())
    }

    /// What is to be read, with the generations as they were seen last.
    pub(super) fn readings<'r, A>(&self, asked: &[(Partition, &'r A)]) -> Vec<Reading<'r, A>> {
        let generations = self.generations.lock();
        let reading = |&(partition, asked): &(Partition, &'r A)| Reading {
            keys: Keys::new(&self.options, partition),
            generation: generations.get(&partition).cloned(),
            asked,
        };
        asked.iter().map(reading).collect()
    }

    /// Keeps the generations as they were seen now.
    pub(super) fn keep<A>(&self, asked: &[(Partition, &A)], readings: Vec<Reading<'_, A>>) {
        let mut generations = self.generations.lock();
        for ((partition, _), reading) in asked.iter().zip(readings) {
            generations.extend(reading.generation.map(|generation| (*partition, generation)));
        }
    }

    fn ask_all<A, R>(
        &self,
        link: &mut Link,
        asked: &[(Partition, &A)],
        read: impl Fn(&mut [Reading<'_, A>], &mut Connection) -> RedisResult<Vec<Option<R>>>,
    ) -> Result<Vec<Option<R>>, StoreError> {
        if asked.is_empty() {
            return Ok(Vec::new());
        }
        let mut readings = self.readings(asked);
        let answers = link.run(|connection| read(&mut readings, connection))?;
        self.keep(asked, readings);
        Ok(answers)
    }
}

/// What is asked of each partition.
pub(super) fn by_partition(wanted: impl IntoIterator<Item = (Partition, Key)>) -> Vec<(Partition, LoadRequest)> {
    let mut keys: BTreeMap<Partition, Vec<Key>> = BTreeMap::new();
    for (partition, key) in wanted {
        keys.entry(partition).or_default().push(key);
    }
    keys.into_iter().map(|(partition, keys)| (partition, LoadRequest { keys, due: None })).collect()
}

/// States that were asked for [`by_partition`], to be taken in the order in which they were wanted.
pub(super) struct InOrder(BTreeMap<Partition, (Arc<StorePosition>, IntoIter<Option<Bytes>>)>);

impl InOrder {
    pub(super) fn new(requests: &[(Partition, LoadRequest)], loaded: Vec<Option<Loaded>>) -> Self {
        let found = requests.iter().zip(loaded).filter_map(|((partition, _), loaded)| {
            let Loaded { position, states, .. } = loaded?;
            Some((*partition, (Arc::new(position), states.into_iter())))
        });
        Self(found.collect())
    }

    pub(super) fn next(&mut self, partition: Partition) -> Found {
        let (position, states) = self.0.get_mut(&partition)?;
        Some(Looked { position: Arc::clone(position), value: states.next().flatten() })
    }
}

/// A question has another's answer: a defect here.
fn misanswered() -> StoreError {
    StoreError::Unusable("a lookup was given the answer to another".to_owned())
}

impl Question {
    /// How many keys it asks for, about.
    fn weight(&self) -> usize {
        match &self.wanted {
            Wanted::States(keys) => keys.len(),
            Wanted::Members(asked) => asked.iter().map(|(_, query)| query.limit + 1).sum(),
        }
    }
}

impl Desk {
    /// Takes the questions that are asked next: the eldest, and as many of those after it as go with it.
    fn next(&mut self) -> Vec<Arc<Question>> {
        let (mut together, mut keys) = (Vec::new(), 0);
        while let Some(question) = self.waiting.front() {
            keys += question.weight();
            if keys > KEYS_TOGETHER && !together.is_empty() {
                break;
            }
            together.extend(self.waiting.pop_front());
        }
        together
    }
}
