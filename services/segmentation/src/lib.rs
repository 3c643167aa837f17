//! Segmentation: who each customer is, and which segments she enters and leaves.
//!
//! Wanted properties:
//! - the profile depends on what happened alone, and not on the order in which it was told, as far as windows, orders and
//!   amounts go;
//! - a segment is entered and left at the moment when its condition changes, by an event or by time alone, and never twice;
//! - each change is a record that says what brought it about;
//! - what is kept of a customer is bounded.
//!
//! It has no I/O of its own and no shell.

mod cart;
mod erased;
mod event;
mod field;
mod heard;
mod identified;
mod ids;
mod input;
mod judge;
pub mod lookups;
mod occasions;
mod orders;
mod output;
mod policy;
mod preview;
mod quintiles;
mod reachability;
mod rows;
mod score;
mod scores;
mod state;
mod step;
mod taste;
mod told;
mod topology;
mod traits;
mod view;
mod windows;

use std::convert::Infallible;

use domain::Timestamp;
use schemas::Schemas;
use stream::{Cause, Context, Decoded, Disposition, Key, Poison, RecordRef, Service, Topology};

pub use erased::{asked_for, asked_for_all_of};
pub use input::{Input, Reachability};
pub use output::Output;
pub use policy::Policy;
pub use preview::preview;
pub use quintiles::{Boundaries, MAX_LEARNT_CURRENCIES, MIN_CUSTOMERS, Standing, learn};
pub use rows::{CustomerRow, WINDOW_COLUMNS, customer_rows, known_until};
pub use scores::Scored;
pub use state::{
    ANONYMOUS_IDLE, Bucket, CART_IDLE, Came, CartLine, Coming, Did, Favourite, KeptScore, MAX_CART_LINES,
    MAX_CURRENCIES, MAX_FAVOURITES, MAX_IDS, MAX_NAME_BYTES, MAX_ORDERS, MAX_SCORES, MAX_TRAITS_BYTES, MAX_UNREACHABLE,
    Membership, Money, OpenCart, PastOrder, Seen, SegmentationState, Spending, Tally,
};
pub use windows::WINDOW_DAYS;

/// What a step of segmentation wants done.
pub(crate) type Effects = stream::Effects<Output, Infallible>;

/// The service.
#[derive(Clone, Copy, Debug)]
pub struct Segmentation;

impl Service for Segmentation {
    type Policy = Policy;
    type State = SegmentationState;
    type Input = Input;
    type Output = Output;
    type Action = Infallible;
    type Completion = Infallible;

    fn topology() -> &'static Topology {
        &topology::TOPOLOGY
    }

    fn decode(schemas: &Schemas, record: &RecordRef<'_>) -> Result<Decoded<Input>, Poison> {
        input::decode(schemas, record)
    }

    fn apply_table(policy: &mut Policy, schemas: &Schemas, record: &RecordRef<'_>) -> Result<bool, Poison> {
        policy.apply(schemas, record)
    }

    fn step(
        policy: &Policy,
        state: &mut SegmentationState,
        cause: Cause<Input, Infallible>,
        context: &Context<'_>,
        effects: &mut Effects,
    ) -> Disposition {
        step::step(policy, state, cause, context, effects)
    }

    fn summary(policy: &Policy, key: &Key, state: Option<&SegmentationState>, time: Timestamp) -> Option<Output> {
        Some(told::summary(policy, key, state, time))
    }
}
