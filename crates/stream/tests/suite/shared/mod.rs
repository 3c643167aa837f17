mod desk;
mod hand;

pub use desk::*;
pub use hand::*;

use domain::{HumanDuration, Timestamp};
use stream::{TestDriver, TimeMode, WorkerSettings};

pub fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// A driver whose time moves by `advance_to` only.
pub fn driver() -> TestDriver<Desk<Marked>> {
    driver_with(replay())
}

pub fn driver_with<W: Wiring>(settings: WorkerSettings) -> TestDriver<Desk<W>> {
    TestDriver::with_schemas(Rules::default(), settings, schemas())
}

pub fn replay() -> WorkerSettings {
    WorkerSettings { time_mode: TimeMode::Replay, ..WorkerSettings::default() }
}

/// Settings for a worker by hand: two partitions, batches of 100 ms, marks every 250 ms.
pub fn live() -> WorkerSettings {
    WorkerSettings {
        partitions: 2,
        commit_interval: HumanDuration::from_millis(100),
        mark_interval: HumanDuration::from_millis(250),
        ..WorkerSettings::default()
    }
}

/// A worker by hand that was told three records on each of two partitions, and is to close its batch.
pub fn busy() -> Hand<Marked> {
    let mut hand = Hand::<Marked>::owning(live(), &[0, 1]);
    for n in 0..3 {
        hand.order(0, "a", &format!("{n} note"));
        hand.order(1, "b", &format!("{n} note"));
    }
    hand.worker.finish();
    hand
}

/// Short words for what tests tell a driver most.
pub trait Tells {
    fn order(&mut self, key: &str, text: &str);
    fn note(&mut self, key: &str, text: &str);
    fn told(&mut self) -> Vec<Told>;
}

impl<W: Wiring> Tells for TestDriver<Desk<W>> {
    fn order(&mut self, key: &str, text: &str) {
        self.input(ORDERS, key, text.as_bytes(), at(0));
    }

    fn note(&mut self, key: &str, text: &str) {
        self.input(NOTES, key, text.as_bytes(), at(0));
    }

    fn told(&mut self) -> Vec<Told> {
        self.outputs()
    }
}
