//! A side effect and how it ends: what passes between the pure step and the shell.

use std::sync::Arc;

use domain::Timestamp;
use schemas::Recipient;
use stream::{ClaimId, Key, Trace};

use crate::state::ContextJson;
use crate::template::Template;

/// An e-mail to be rendered and sent: everything that the shell needs, so that it asks nobody.
#[derive(Clone, Debug, PartialEq)]
pub struct Email {
    /// The claim that it is sent under.
    pub claim: ClaimId,
    /// The customer.
    pub customer_id: Key,
    /// The message: its Message-ID is made from this, so that a repeat is the same mail.
    pub message_id: String,
    /// The shop.
    pub shop: String,
    /// The journey that asked.
    pub journey: String,
    /// Its version.
    pub journey_version: i32,
    /// The run that asked.
    pub run_id: String,
    /// The step that asked.
    pub step: String,
    /// The message's category.
    pub category: String,
    /// The template, at its newest when the message was claimed.
    pub template: Arc<Template>,
    /// Who it comes from, where the template does not say.
    pub from_name: Option<Arc<str>>,
    /// Whether it belongs to something that the customer asked for: it then offers no unsubscription in its headers.
    pub transactional: bool,
    /// Who gets it; shown by `Debug` without its values.
    pub recipient: Recipient,
    /// Keyed hash of the address.
    pub address_hash: String,
    /// What the template may show.
    pub context_json: Option<ContextJson>,
    /// When it was due.
    pub due_at: Timestamp,
    /// From when on it must not leave any more.
    pub expires_at: Timestamp,
    /// The trace of its request.
    pub traceparent: Option<Trace>,
}

/// How an attempt ended, as a fact that the step is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// When, by the shell's clock.
    pub at: Timestamp,
    /// How.
    pub attempt: Attempt,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// The provider took it.
    Sent,
    /// The provider refused it, which proves that nothing was done.
    Refused(Refusal),
    /// There was no connection, which proves that nothing was done.
    NotConnected(Reason),
    /// It may or may not have left.
    Uncertain(Reason),
    /// The claim was too old by the boot-time clock: nothing was tried.
    Dropped,
    /// The message had expired by the wall clock: nothing was tried.
    Expired,
    /// The template could not be rendered: nothing was tried.
    RenderFailed(Reason),
}

/// A short text without personal data: a fixed word, a provider's code.
pub type Reason = String;

/// The provider's no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Whether it makes sense to try again.
    pub kind: RefusalKind,
    /// The provider's code, without its text (which may hold the address).
    pub reason: Reason,
}

/// What a refusal means for what comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefusalKind {
    /// Try again later.
    Temporary,
    /// This message will never be taken.
    Permanent,
    /// There is no such address: it is not to be written to again.
    NoSuchAddress,
}

impl Completion {
    /// An attempt that ended at a time.
    pub const fn new(at: Timestamp, attempt: Attempt) -> Self {
        Self { at, attempt }
    }
}
