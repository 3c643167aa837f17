//! Skeleton: counts what each customer did.
//!
//! Wanted properties:
//! - each event counts once, whatever is repeated, aborted or restarted;
//! - a customer who is silent for long enough has no state.
//!
//! It has no I/O of its own and no shell.

mod event;
mod input;
mod output;
mod policy;
mod state;
mod step;
mod topology;

use std::convert::Infallible;

use schemas::Schemas;
use stream::{Cause, Context, Decoded, Disposition, Poison, RecordRef, Service, Topology};

pub use input::Input;
pub use output::Output;
pub use policy::{Policy, Settings};
pub use state::SkeletonState;

/// What a step of skeleton wants done.
pub(crate) type Effects = stream::Effects<Output, Infallible>;

/// The service.
#[derive(Clone, Copy, Debug)]
pub struct Skeleton;

impl Service for Skeleton {
    type Policy = Policy;
    type State = SkeletonState;
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
        state: &mut SkeletonState,
        cause: Cause<Input, Infallible>,
        context: &Context<'_>,
        effects: &mut Effects,
    ) -> Disposition {
        step::step(policy, state, cause, context, effects)
    }
}
