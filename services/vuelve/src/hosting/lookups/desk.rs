//! A few threads that read states for all lookups: as many as there are connections to the store, as a lookup waits for one of
//! them anyway.
//!
//! Wanted properties:
//! - a lookup that finds a thread free is read at once; those that have to wait are read together, in one round trip, by whichever
//!   thread is free next: the more there are, the less each costs (one thread for all, with larger round trips, takes no less CPU
//!   and answers later: measured);
//! - first come, first served; nothing of one lookup is another's failure, but for a panic, which those who were read with it hear of;
//! - no more wait than have a place, which each keeps until it is read, also where its caller has gone away.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use store::{Looked, LookupError, Lookups};
use stream::Partition;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// So many keys are read together, unless one lookup alone has more.
const KEYS_TOGETHER: usize = 500;

/// Keys of customers, each in its partition.
pub(super) type Wanted = Vec<(Partition, String)>;

/// Where lookups wait to be read. The threads end with it.
pub(super) struct Desk(Arc<Waiting>);

#[derive(Default)]
struct Waiting {
    state: Mutex<State>,
    /// There is a lookup, or no more will come.
    called: Condvar,
}

#[derive(Default)]
struct State {
    lookups: VecDeque<Lookup>,
    is_closed: bool,
}

struct Lookup {
    wanted: Wanted,
    answer: oneshot::Sender<Result<Vec<Looked>, LookupError>>,
    _place: OwnedSemaphorePermit,
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").finish_non_exhaustive()
    }
}

impl Desk {
    /// With so many threads, at least one.
    pub(super) fn open(store: &Arc<dyn Lookups>, threads: usize) -> std::io::Result<Self> {
        let desk = Self(Arc::default());
        for number in 0..threads.max(1) {
            let (waiting, store) = (Arc::clone(&desk.0), Arc::clone(store));
            std::thread::Builder::new().name(format!("lookups {number}")).spawn(move || {
                while let Some(together) = waiting.next() {
                    // Of a panic the log tells, and those who waited for it, as nobody answers them.
                    let _ = catch_unwind(AssertUnwindSafe(|| read(&*store, together)));
                }
            })?;
        }
        Ok(desk)
    }

    /// What is under these keys, in their order; none where the thread that read it has panicked.
    pub(super) async fn read(
        &self,
        wanted: Wanted,
        place: OwnedSemaphorePermit,
    ) -> Option<Result<Vec<Looked>, LookupError>> {
        let (answer, answered) = oneshot::channel();
        self.0.state.lock().lookups.push_back(Lookup { wanted, answer, _place: place });
        self.0.called.notify_one();
        answered.await.ok()
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.0.state.lock().is_closed = true;
        self.0.called.notify_all();
    }
}

impl Waiting {
    /// The lookups that are read next: the eldest, and as many of those after it as go with it. None once no more will come.
    fn next(&self) -> Option<Vec<Lookup>> {
        let mut state = self.state.lock();
        while state.lookups.is_empty() {
            if state.is_closed {
                return None;
            }
            self.called.wait(&mut state);
        }
        let (mut together, mut keys) = (Vec::new(), 0);
        while let Some(lookup) = state.lookups.front() {
            keys += lookup.wanted.len();
            if keys > KEYS_TOGETHER && !together.is_empty() {
                break;
            }
            together.extend(state.lookups.pop_front());
        }
        Some(together)
    }
}

fn read(store: &dyn Lookups, together: Vec<Lookup>) {
    let wanted: Vec<(Partition, &str)> = together.iter().flat_map(|lookup| keys(&lookup.wanted)).collect();
    if let Ok(looked) = store.get_all(&wanted) {
        let mut looked = looked.into_iter();
        for lookup in together {
            let own = looked.by_ref().take(lookup.wanted.len()).collect();
            // Its caller may have gone away.
            let _ = lookup.answer.send(Ok(own));
        }
        return;
    }
    // A view that can't be read is the failure of those who ask for it, and of nobody else.
    for lookup in together {
        let own = store.get_all(&keys(&lookup.wanted).collect::<Vec<_>>());
        let _ = lookup.answer.send(own);
    }
}

fn keys(wanted: &Wanted) -> impl Iterator<Item = (Partition, &str)> {
    wanted.iter().map(|(partition, key)| (*partition, key.as_str()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by it")]
mod tests {
    use store::{Members, MembersQuery};
    use stream::StorePosition;
    use tokio::sync::Semaphore;
    use tokio::task::JoinHandle;

    use super::*;

    /// Each key holds its own name; partition 9 is being restored. It reads nothing before it is let go.
    #[derive(Debug, Default)]
    struct Held {
        asked: Mutex<Vec<usize>>,
        released: (Mutex<bool>, Condvar),
    }

    impl Lookups for Held {
        fn get_all(&self, wanted: &[(Partition, &str)]) -> Result<Vec<Looked>, LookupError> {
            self.asked.lock().push(wanted.len());
            let mut released = self.released.0.lock();
            while !*released {
                self.released.1.wait(&mut released);
            }
            let position = StorePosition { generation: "g".into(), log: "log".into(), header_offset: 1 };
            let look = |(partition, key): &(Partition, &str)| match partition {
                8 => panic!("a defect of the store"),
                9 => Err(LookupError::Restoring(9)),
                _ => Ok(Looked { position: position.clone(), value: Some(key.as_bytes().to_vec().into()) }),
            };
            wanted.iter().map(look).collect()
        }

        fn members(&self, _: &[(Partition, MembersQuery)]) -> Result<Vec<Members>, LookupError> {
            Ok(Vec::new())
        }
    }

    impl Held {
        fn release(&self) {
            *self.released.0.lock() = true;
            self.released.1.notify_all();
        }
    }

    const PLACES: usize = 100;

    fn open() -> (Arc<Held>, Arc<Desk>, Arc<Semaphore>) {
        let held = Arc::new(Held::default());
        let store: Arc<dyn Lookups> = held.clone();
        (held, Arc::new(Desk::open(&store, 1).unwrap()), Arc::new(Semaphore::new(PLACES)))
    }

    type Answered = JoinHandle<Option<Result<Vec<Looked>, LookupError>>>;

    fn ask(desk: &Arc<Desk>, places: &Arc<Semaphore>, wanted: Wanted) -> Answered {
        let (desk, place) = (Arc::clone(desk), Arc::clone(places).try_acquire_owned().unwrap());
        tokio::spawn(async move { desk.read(wanted, place).await })
    }

    async fn until(is_so: impl Fn() -> bool) {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn lookups_that_wait_are_read_together_and_each_has_its_own_answer_or_failure() {
        let (held, desk, places) = open();
        let ask = |wanted| ask(&desk, &places, wanted);
        let first = ask(vec![(0, "first".to_owned())]);
        until(|| !held.asked.lock().is_empty()).await;
        let others: Vec<_> = (0..20).map(|n| ask(vec![(n % 3, format!("a{n}")), (1, format!("b{n}"))])).collect();
        let restoring = ask(vec![(0, "fine".to_owned()), (9, "not".to_owned())]);
        until(|| desk.0.state.lock().lookups.len() == 21).await;
        held.release();
        let text = |looked: &Looked| String::from_utf8(looked.value.clone().unwrap().to_vec()).unwrap();
        assert_eq!(text(&first.await.unwrap().unwrap().unwrap()[0]), "first");
        for (n, other) in others.into_iter().enumerate() {
            let looked = other.await.unwrap().unwrap().unwrap();
            assert_eq!(looked.iter().map(text).collect::<Vec<_>>(), [format!("a{n}"), format!("b{n}")]);
        }
        assert!(matches!(restoring.await.unwrap().unwrap(), Err(LookupError::Restoring(9))));
        // All at once; and then, as one of them has failed, each by itself.
        assert_eq!(held.asked.lock()[..2], [1, 42]);
        // Every place is free again.
        until(|| places.available_permits() == PLACES).await;
    }

    #[tokio::test]
    async fn after_a_panic_the_same_thread_reads_on() {
        let (held, desk, places) = open();
        held.release();
        for _ in 0..3 {
            assert!(ask(&desk, &places, vec![(8, "ana".to_owned())]).await.unwrap().is_none());
        }
        assert!(ask(&desk, &places, vec![(0, "ana".to_owned())]).await.unwrap().unwrap().is_ok());
        until(|| places.available_permits() == PLACES).await;
    }
}
