//! Ingestion, in its two roles.
//!
//! The *door* ([`shell`]) takes storefront events in over HTTP and answers when the broker has them; it keeps no state.
//! What a JSON event means is in [`mapping`], without I/O. The *resolver* ([`Resolver`]) is a worker on the engine: it drops
//! repeated messages, puts each event under its customer, and links devices to those who are recognised on them.
//!
//! See `README.md` beside this crate for what it owns, reads and writes, its invariants, and what can go wrong.

mod history;
mod identity;
pub mod ids;
mod input;
pub mod mapping;
mod output;
mod policy;
mod privacy;
mod received;
pub mod shell;
pub mod state;
mod step;

use std::convert::Infallible;

use schemas::Schemas;
use stream::{Cause, Clock, Context, Dataset, Decoded, Disposition, Effects, Poison, RecordRef, Service, Topology};

pub use history::MOST_HISTORY_BYTES;
pub use input::Input;
pub use output::Resolved;
pub use policy::ResolverPolicy;
pub use received::{EARLIEST, LONGEST_WAY, Received, clamp_event_time};
pub use state::ResolverState;
pub use stream::partition_of;

/// What the door and direct producers write.
pub const RECEIVED: Dataset = "storefront.received";
/// Each message once, each under its customer.
pub const EVENTS: Dataset = "storefront.events";
/// What the unsubscribe link writes.
pub const COMMANDS: Dataset = "messaging.commands";
/// What platforms pass on of people who want their data erased or given out.
pub const PRIVACY: Dataset = "privacy.requests";
/// Where bad events go.
pub const DEAD_LETTERS: Dataset = "platform.deadletters";

/// Drops repeated messages and puts each event under its customer.
#[derive(Clone, Copy, Debug)]
pub struct Resolver;

static TOPOLOGY: Topology = Topology {
    service: "ingestion",
    inputs: &[
        stream::Input { dataset: RECEIVED, clock: Clock::Broker },
        // Wishes: they take no part in the watermark.
        stream::Input { dataset: PRIVACY, clock: Clock::Unclocked },
    ],
    tables: &[],
    outputs: &[EVENTS, RECEIVED],
    changelog: "ingestion.changelog",
    marks: Some("ingestion.marks"),
};

impl Service for Resolver {
    type Policy = ResolverPolicy;
    type State = ResolverState;
    type Input = Input;
    type Output = Resolved;
    type Action = Infallible;
    type Completion = Infallible;

    fn topology() -> &'static Topology {
        &TOPOLOGY
    }

    fn decode(schemas: &Schemas, record: &RecordRef<'_>) -> Result<Decoded<Input>, Poison> {
        input::decode(schemas, record)
    }

    fn apply_table(_: &mut ResolverPolicy, _: &Schemas, _: &RecordRef<'_>) -> Result<bool, Poison> {
        Err(Poison { reason: "no_table", detail: "the resolver follows no table".to_owned() })
    }

    fn step(
        policy: &ResolverPolicy,
        state: &mut ResolverState,
        cause: Cause<Input, Infallible>,
        context: &Context<'_>,
        effects: &mut Effects<Resolved, Infallible>,
    ) -> Disposition {
        step::step(policy, state, cause, context, effects)
    }
}
