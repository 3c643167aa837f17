//! Journeys: who is where in which journey; timers; holdouts; the decision to ask for a message.
//!
//! Wanted properties:
//! - one active run per journey, customer and correlation key;
//! - an exit ends a run the moment that it is processed, and nothing is asked for after it;
//! - a held-out customer is treated as any other, and gets nothing;
//! - ids and arms are hashes: a replay and a restart make the same ones;
//! - every input record ends with a disposition, every decision is a record.
//!
//! It has no I/O of its own and no shell. Who asks is answered by [`lookups`], from a state's bytes.

mod cart;
mod clock;
mod condition;
mod contact;
mod customer_event;
mod enter;
mod erased;
mod event;
mod identity;
mod ids;
mod input;
pub mod lookups;
mod memory;
mod outcome;
mod output;
mod policy;
mod program;
mod render;
mod runs;
mod scene;
mod state;
mod step;
mod storefront_event;
mod timer;
mod topology;
mod walk;

use std::convert::Infallible;

use schemas::Schemas;
use stream::{Cause, Context, Decoded, Disposition, Poison, RecordRef, Service, Topology};

pub use input::Input;
pub use output::Output;
pub use policy::{Policy, Settings};
pub use state::{
    ANONYMOUS_IDLE, ArmChoice, CART_IDLE, Cart, CustomerContact, Item, JourneysState, MAX_CART_BYTES, MAX_CARTS,
    MAX_ITEMS, MAX_KEPT_STEPS, MAX_PAST, MAX_PAST_STEPS, MAX_RUNS, MAX_TRIGGER_BYTES, PastExit, PastRun, Run,
    StepState, Trigger, TriggerOrder, WaitsFor,
};

/// What a step of journeys wants done.
pub(crate) type Effects = stream::Effects<Output, Infallible>;

/// The service.
#[derive(Clone, Copy, Debug)]
pub struct Journeys;

impl Service for Journeys {
    type Policy = Policy;
    type State = JourneysState;
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
        state: &mut JourneysState,
        cause: Cause<Input, Infallible>,
        context: &Context<'_>,
        effects: &mut Effects,
    ) -> Disposition {
        step::step(policy, state, cause, context, effects)
    }
}
