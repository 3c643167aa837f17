//! Where lookups wait to be read, those of each thread for themselves: a thread that serves calls reads for its own, and hands
//! nothing to another.
//!
//! Wanted properties:
//! - a lookup that finds nothing under way is read at once; those that come meanwhile are read together after it, in one round
//!   trip: the more there are, the less each costs;
//! - first come, first served; nothing of one lookup is another's failure, but for a panic, which those who wait with it hear of;
//! - what can't be told at a glance is read off the async threads, and keeps nobody else waiting;
//! - no more wait than have a place, which each keeps until it is read, also where its caller has gone away.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use store::{Glance, Looked, LookupError, Lookups};
use stream::Partition;
use thread_local::ThreadLocal;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

/// So many lookups are taken at once.
const TOGETHER: usize = 250;
/// So many keys are read together, unless one lookup alone has more.
const KEYS_TOGETHER: usize = 500;

/// Keys of customers, each in its partition.
pub(super) type Wanted = Arc<[(Partition, String)]>;

/// Where lookups wait to be read.
pub(super) struct Desk {
    store: Arc<dyn Lookups>,
    /// To whoever reads for this thread.
    readers: ThreadLocal<Mutex<mpsc::UnboundedSender<Lookup>>>,
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
    pub(super) fn new(store: Arc<dyn Lookups>) -> Self {
        Self { store, readers: ThreadLocal::new() }
    }

    /// What is under these keys, in their order; none where whoever read it has panicked.
    pub(super) async fn read(
        &self,
        wanted: Wanted,
        place: OwnedSemaphorePermit,
    ) -> Option<Result<Vec<Looked>, LookupError>> {
        let (answer, answered) = oneshot::channel();
        self.hand_over(Lookup { wanted, answer, _place: place });
        answered.await.ok()
    }

    fn hand_over(&self, lookup: Lookup) {
        let mut reader = self.readers.get_or(|| Mutex::new(self.start_reader())).lock();
        if let Err(mpsc::error::SendError(lookup)) = reader.send(lookup) {
            // The one before has panicked.
            *reader = self.start_reader();
            let _ = reader.send(lookup);
        }
    }

    /// A reader in this thread's runtime; it ends with the desk.
    fn start_reader(&self) -> mpsc::UnboundedSender<Lookup> {
        let (sender, lookups) = mpsc::unbounded_channel();
        tokio::spawn(read_on(Arc::clone(&self.store), lookups));
        sender
    }
}

async fn read_on(store: Arc<dyn Lookups>, mut lookups: mpsc::UnboundedReceiver<Lookup>) {
    let mut glance = store.glance();
    let mut together = Vec::with_capacity(TOGETHER);
    while lookups.recv_many(&mut together, TOGETHER).await > 0 {
        // What else this thread has to do now comes first, as it may bring more: where there is nothing, no time passes.
        loop {
            let before = together.len();
            tokio::task::yield_now().await;
            together.extend(std::iter::from_fn(|| lookups.try_recv().ok()).take(TOGETHER - before));
            if together.len() == before {
                break;
            }
        }
        while !together.is_empty() {
            let portion = together.drain(..portion(&together)).collect();
            let left = match &mut glance {
                Some(glance) => read_at_a_glance(&mut **glance, portion).await,
                None => portion,
            };
            for lookup in left {
                let store = Arc::clone(&store);
                tokio::task::spawn_blocking(move || read_thoroughly(&*store, lookup));
            }
        }
    }
}

/// How many of the lookups, at least one, are read together.
fn portion(lookups: &[Lookup]) -> usize {
    let mut keys = 0;
    let fits = |lookup: &&Lookup| {
        keys += lookup.wanted.len();
        keys <= KEYS_TOGETHER
    };
    lookups.iter().take_while(fits).count().max(1)
}

/// Answers all that can be told; returns the others.
async fn read_at_a_glance(glance: &mut dyn Glance, lookups: Vec<Lookup>) -> Vec<Lookup> {
    let wanted: Vec<(Partition, &str)> = lookups.iter().flat_map(|lookup| keys(&lookup.wanted)).collect();
    let mut looked = glance.get_all(&wanted).await.into_iter();
    let mut left = Vec::new();
    for lookup in lookups {
        let own: Vec<Option<Looked>> = looked.by_ref().take(lookup.wanted.len()).collect();
        match own.into_iter().collect::<Option<Vec<Looked>>>() {
            Some(own) => {
                // Its caller may have gone away.
                let _ = lookup.answer.send(Ok(own));
            }
            None => left.push(lookup),
        }
    }
    left
}

/// By itself: a view that can't be read is the failure of those who ask for it, and of nobody else.
fn read_thoroughly(store: &dyn Lookups, lookup: Lookup) {
    let own = store.get_all(&keys(&lookup.wanted).collect::<Vec<_>>());
    let _ = lookup.answer.send(own);
}

fn keys(wanted: &Wanted) -> impl Iterator<Item = (Partition, &str)> {
    wanted.iter().map(|(partition, key)| (*partition, key.as_str()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by it")]
mod tests {
    use std::pin::Pin;

    use store::{Members, MembersQuery};
    use stream::StorePosition;
    use tokio::sync::{Notify, Semaphore};
    use tokio::task::JoinHandle;

    use super::*;

    /// Each key holds its own name; partition 7 is told by asking thoroughly only, a glance at 8 panics, 9 is being restored. At a
    /// glance it tells nothing before it is let go.
    #[derive(Clone, Debug, Default)]
    struct Held(Arc<State>);

    #[derive(Debug, Default)]
    struct State {
        glances: Mutex<Vec<usize>>,
        thorough: Mutex<Vec<usize>>,
        is_released: Mutex<bool>,
        released: Notify,
    }

    fn look((partition, key): &(Partition, &str)) -> Result<Looked, LookupError> {
        let position = StorePosition { generation: "g".into(), log: "log".into(), header_offset: 1 };
        match partition {
            9 => Err(LookupError::Restoring(9)),
            _ => Ok(Looked { position: Arc::new(position), value: Some(key.as_bytes().to_vec().into()) }),
        }
    }

    impl Lookups for Held {
        fn get_all(&self, wanted: &[(Partition, &str)]) -> Result<Vec<Looked>, LookupError> {
            self.0.thorough.lock().push(wanted.len());
            wanted.iter().map(look).collect()
        }

        fn members(&self, _: &[(Partition, MembersQuery)]) -> Result<Vec<Members>, LookupError> {
            Ok(Vec::new())
        }

        fn glance(&self) -> Option<Box<dyn Glance>> {
            Some(Box::new(self.clone()))
        }
    }

    impl Glance for Held {
        fn get_all<'a>(
            &'a mut self,
            wanted: &'a [(Partition, &'a str)],
        ) -> Pin<Box<dyn Future<Output = Vec<Option<Looked>>> + Send + 'a>> {
            Box::pin(async {
                self.0.glances.lock().push(wanted.len());
                let released = self.0.released.notified();
                if !*self.0.is_released.lock() {
                    released.await;
                }
                assert!(wanted.iter().all(|(partition, _)| *partition != 8), "a defect of the store");
                wanted.iter().map(|wanted| look(wanted).ok().filter(|_| wanted.0 != 7)).collect()
            })
        }
    }

    impl Held {
        fn release(&self) {
            *self.0.is_released.lock() = true;
            self.0.released.notify_one();
        }
    }

    const PLACES: usize = 100;

    fn open() -> (Held, Arc<Desk>, Arc<Semaphore>) {
        let held = Held::default();
        (held.clone(), Arc::new(Desk::new(Arc::new(held))), Arc::new(Semaphore::new(PLACES)))
    }

    type Answered = JoinHandle<Option<Result<Vec<Looked>, LookupError>>>;

    fn ask(desk: &Arc<Desk>, places: &Arc<Semaphore>, wanted: Vec<(Partition, String)>) -> Answered {
        let (desk, place) = (Arc::clone(desk), Arc::clone(places).try_acquire_owned().unwrap());
        tokio::spawn(async move { desk.read(wanted.into(), place).await })
    }

    async fn until(is_so: impl Fn() -> bool) {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    }

    fn text(looked: &Looked) -> String {
        String::from_utf8(looked.value.clone().unwrap().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn lookups_that_wait_are_read_together_and_each_has_its_own_answer_or_failure() {
        let (held, desk, places) = open();
        let ask = |wanted| ask(&desk, &places, wanted);
        let first = ask(vec![(0, "first".to_owned())]);
        until(|| !held.0.glances.lock().is_empty()).await;
        let others: Vec<_> = (0..20).map(|n| ask(vec![(n % 3, format!("a{n}")), (1, format!("b{n}"))])).collect();
        let restoring = ask(vec![(0, "fine".to_owned()), (9, "not".to_owned())]);
        let thorough = ask(vec![(7, "later".to_owned())]);
        until(|| places.available_permits() == PLACES - 23).await;
        held.release();
        assert_eq!(text(&first.await.unwrap().unwrap().unwrap()[0]), "first");
        for (n, other) in others.into_iter().enumerate() {
            let looked = other.await.unwrap().unwrap().unwrap();
            assert_eq!(looked.iter().map(text).collect::<Vec<_>>(), [format!("a{n}"), format!("b{n}")]);
        }
        assert!(matches!(restoring.await.unwrap().unwrap(), Err(LookupError::Restoring(9))));
        assert_eq!(text(&thorough.await.unwrap().unwrap().unwrap()[0]), "later");
        // At a glance all at once; and then each by itself of whom that did not tell.
        assert_eq!(*held.0.glances.lock(), [1, 43]);
        let mut asked = held.0.thorough.lock().clone();
        asked.sort_unstable();
        assert_eq!(asked, [1, 2]);
        // Every place is free again.
        until(|| places.available_permits() == PLACES).await;
    }

    #[tokio::test]
    async fn those_that_come_in_the_same_turn_are_read_together() {
        let (held, desk, places) = open();
        held.release();
        let asked: Vec<_> = (0..30).map(|n| ask(&desk, &places, vec![(0, format!("a{n}"))])).collect();
        for (n, one) in asked.into_iter().enumerate() {
            assert_eq!(text(&one.await.unwrap().unwrap().unwrap()[0]), format!("a{n}"));
        }
        assert_eq!(*held.0.glances.lock(), [30]);
    }

    #[tokio::test]
    async fn large_lookups_are_not_read_all_together() {
        let (held, desk, places) = open();
        held.release();
        let large = |n: usize| (0..n).map(|key| (0, key.to_string())).collect::<Vec<_>>();
        let asked: Vec<_> = [200, 300, 1, 600, 2].map(|n| (n, ask(&desk, &places, large(n)))).into();
        for (n, one) in asked {
            assert_eq!(one.await.unwrap().unwrap().unwrap().len(), n);
        }
        assert_eq!(*held.0.glances.lock(), [500, 1, 600, 2]);
    }

    #[tokio::test]
    async fn after_a_panic_the_next_are_read() {
        let (held, desk, places) = open();
        held.release();
        for _ in 0..3 {
            assert!(ask(&desk, &places, vec![(8, "ana".to_owned())]).await.unwrap().is_none());
        }
        assert!(ask(&desk, &places, vec![(0, "ana".to_owned())]).await.unwrap().unwrap().is_ok());
        until(|| places.available_permits() == PLACES).await;
    }

    #[test]
    fn each_thread_reads_for_its_own() {
        let (held, desk, places) = open();
        held.release();
        let runtime = || tokio::runtime::Builder::new_current_thread().build().unwrap();
        let serve = |name: &str| {
            let wanted = vec![(0, name.to_owned())];
            let answer = runtime().block_on(ask_within(&desk, &places, wanted));
            assert_eq!(text(&answer.unwrap().unwrap()[0]), name);
        };
        std::thread::scope(|scope| {
            for name in ["ana", "berta", "carla"] {
                scope.spawn(move || serve(name));
            }
        });
        assert_eq!(*held.0.glances.lock(), [1, 1, 1]);
    }

    async fn ask_within(
        desk: &Arc<Desk>,
        places: &Arc<Semaphore>,
        wanted: Vec<(Partition, String)>,
    ) -> Option<Result<Vec<Looked>, LookupError>> {
        ask(desk, places, wanted).await.unwrap()
    }
}
