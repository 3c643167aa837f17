//! The events: drawn by a seed, so that every run and every machine has the same ones.

use tests::clickstream::draw;

use super::event::{Event, What};

/// 2026-01-01T00:00:00Z.
const BEGIN_MS: i64 = 1_767_225_600_000;
/// All events lie in four days, evenly: so every reminder of the preset has the time to come due.
const SPAN_MS: i64 = 4 * 24 * 3_600_000;
const PRODUCTS: u64 = 20_000;
/// Of a hundred events: what they are. Looking is most of what people do in a shop.
const MIX: [(u64, What); 5] =
    [(62, What::Viewed), (15, What::Page), (13, What::Added), (4, What::CheckoutStarted), (6, What::Ordered)];
/// A 53-bit draw is a fraction that a float holds exactly.
const FRACTION: u64 = 1 << 53;

/// How many events, and whose.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) events: u32,
    /// Among how many they are drawn.
    pub(crate) customers: u32,
    pub(crate) seed: u64,
    /// Of every customer topic.
    pub(crate) partitions: i32,
}

/// A fixed number of events of many customers.
#[derive(Debug)]
pub(crate) struct Workload {
    events: Vec<Event>,
    /// Beside the others, for workers only: see [`Workload::for_workers`].
    last: Vec<Event>,
}

impl Workload {
    pub(crate) fn new(size: &Size) -> Self {
        let zipf = Zipf::new(size.customers);
        // Four draws an event, and none of them another seed's.
        let seed = size.seed << 40;
        let event = |number: u32| {
            let drawn = |which: u64, limit: u64| draw(seed + 4 * u64::from(number) + which, limit);
            Event {
                number,
                customer: zipf.customer(drawn(0, FRACTION) as f64 / FRACTION as f64),
                what: what(drawn(1, 100)),
                product: drawn(2, PRODUCTS) as u32,
                at_ms: at_ms(number, size.events),
                partition: None,
            }
        };
        let last = |partition: i32| Event {
            number: size.events + partition.cast_unsigned(),
            // A customer who has not been here before.
            customer: size.customers + 1 + partition.cast_unsigned(),
            what: What::Added,
            product: 0,
            at_ms: BEGIN_MS + SPAN_MS,
            partition: Some(partition),
        };
        Self { events: (0..size.events).map(event).collect(), last: (0..size.partitions).map(last).collect() }
    }

    /// What the door is sent.
    pub(crate) fn for_the_door(&self) -> &[Event] {
        &self.events
    }

    /// The same and, last on each partition, an event that is sure to have an effect: a worker writes down where it stands
    /// with what it did, and only after seconds where it did nothing.
    pub(crate) fn for_workers(&self) -> impl Iterator<Item = &Event> {
        self.events.iter().chain(&self.last)
    }
}

fn at_ms(number: u32, events: u32) -> i64 {
    BEGIN_MS + SPAN_MS * i64::from(number) / i64::from(events)
}

fn what(percent: u64) -> What {
    let mut below = 0;
    let found = MIX.iter().find(|(share, _)| {
        below += share;
        percent < below
    });
    found.map_or(What::Page, |(_, what)| *what)
}

/// Customer n, counted from one, comes with a weight of 1/n (Zipf's law with the exponent 1), by the inverse of the
/// cumulative distribution.
#[derive(Debug)]
struct Zipf {
    cumulative: Vec<f64>,
}

impl Zipf {
    fn new(customers: u32) -> Self {
        let mut sum = 0.0;
        let mut add = |customer: u32| {
            sum += 1.0 / f64::from(customer);
            sum
        };
        Self { cumulative: (1..=customers).map(&mut add).collect() }
    }

    /// The customer of a fraction between 0 and 1.
    fn customer(&self, fraction: f64) -> u32 {
        let total = self.cumulative.last().copied().unwrap_or_default();
        let index = self.cumulative.partition_point(|sum| *sum <= fraction * total);
        index.min(self.cumulative.len() - 1) as u32 + 1
    }
}
