//! Messaging: decides whether a requested message is sent, renders it, sends it, and says what became of it.
//!
//! Wanted properties:
//! - every request ends with exactly one final outcome, whatever is lost, repeated or restarted in between;
//! - a marketing message never reaches a customer twice: it is claimed before it is sent, and a claim without an outcome
//!   ends it; only a refusal that proves that nothing was done is tried again;
//! - an address that unsubscribed or bounced is not written to, by whomever it is asked for;
//! - nothing that a customer or a shop sent is read as HTML, as a header or as an address.
//!
//! The pure part (all but `shell/`) knows no broker, no store, no clock and no random source.

mod abandoned;
mod action;
mod cancel;
mod channel;
mod claim;
mod completed;
mod elapsed;
mod input;
mod options;
mod outcome;
mod output;
mod policy;
mod reachability;
pub mod rendering;
mod request;
mod retry;
pub mod shell;
mod state;
mod step;
mod subscribe;
mod template;
mod topology;
mod unsubscribe;

use schemas::Schemas;
use stream::{Cause, Context, Decoded, Disposition, Poison, RecordRef, Service, Topology};

pub use action::{Attempt, Completion, Email, Reason, Refusal, RefusalKind};
pub use channel::Channel;
pub use input::{Cancel, Input, Wish};
pub use options::{MAX_WAITING_BYTES, Mode, Settings};
pub use output::Output;
pub use policy::Policy;
pub use retry::Retry;
pub use state::{
    BarredAddress, ContextJson, FinalMessage, LiftedAddress, MessagingState, PendingMessage, Phase, Withdrawal,
    WithdrawalOutcome,
};
pub use template::Template;

/// What a step of messaging wants done.
pub(crate) type Effects = stream::Effects<Output, Email>;

/// The service.
#[derive(Clone, Copy, Debug)]
pub struct Messaging;

impl Service for Messaging {
    type Policy = Policy;
    type State = MessagingState;
    type Input = Input;
    type Output = Output;
    type Action = Email;
    type Completion = Completion;

    fn topology() -> &'static Topology {
        &topology::TOPOLOGY
    }

    fn decode(schemas: &Schemas, record: &RecordRef<'_>) -> Result<Decoded<Input>, Poison> {
        input::decode(schemas, record)
    }

    fn apply_table(policy: &mut Policy, schemas: &Schemas, record: &RecordRef<'_>) -> Result<bool, Poison> {
        // Nobody waits: what is due is judged by what is in force then.
        policy.apply(schemas, record).map(|()| false)
    }

    fn step(
        policy: &Policy,
        state: &mut MessagingState,
        cause: Cause<Input, Completion>,
        context: &Context<'_>,
        effects: &mut Effects,
    ) -> Disposition {
        step::step(policy, state, cause, context, effects)
    }
}
