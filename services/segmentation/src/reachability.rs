//! Whether she can be written to: what messaging holds against her addresses, and which address she has.
//!
//! Wanted properties:
//! - she can be reached by e-mail if she has an address and none of those that messaging last told of is hers now: with another
//!   address she can be reached again, until messaging says otherwise;
//! - of an address that was told to a version that kept no hash of it, anything that is held against her counts as held
//!   against it, until an event brings it again;
//! - what messaging tells of somebody who is not known makes nobody of it: it is kept for when she is, since it is not told
//!   twice;
//! - what was told before she was erased is not known any more;
//! - the same once more changes nothing.

use domain::Timestamp;
use links::AddressHash;
use schemas::{ChangeCause, StorefrontEvent, UnreachableAddress};
use stream::{Context, Disposition};

use crate::Effects;
use crate::heard::{Heard, take_over};
use crate::input::Reachability;
use crate::policy::Policy;
use crate::state::{MAX_UNREACHABLE, SegmentationState};

/// The channel of e-mail, as messaging names it.
pub(crate) const EMAIL: &str = "email";

/// Takes over what messaging holds against her addresses: all of it.
pub(crate) fn receive(
    policy: &Policy,
    state: &mut SegmentationState,
    told: Reachability,
    context: &Context<'_>,
    effects: &mut Effects,
) -> Disposition {
    let Reachability { at, mut unreachable, hops } = told;
    if !unreachable.is_empty() && state.is_erased(at.as_millis()) {
        return Disposition::Ignored("erased");
    }
    let surplus = unreachable.len().saturating_sub(MAX_UNREACHABLE);
    unreachable.drain(..surplus);
    if state.unreachable == unreachable {
        return Disposition::Ignored("nothing_new");
    }
    if state.is_nobody() {
        state.unreachable = unreachable;
        return Disposition::Emitted;
    }
    let heard = Heard { cause: ChangeCause::Reachability, at, hops, what: "" };
    take_over(policy, state, heard, context, effects, |state| {
        let before = state.can_be_mailed();
        state.unreachable = unreachable;
        state.can_be_mailed() != before
    });
    Disposition::Emitted
}

/// Takes over the address that an event brings; not where she was told to have another since.
pub(crate) fn learn_address(policy: &Policy, state: &mut SegmentationState, event: &StorefrontEvent) {
    let email = event.contact.as_ref().and_then(|contact| contact.email.as_deref());
    let email = email.map(str::trim).filter(|email| !email.is_empty());
    let at = Timestamp::from_millis(event.event_time);
    if let Some((secret, email)) = policy.address_secret().zip(email)
        && state.email_at.is_none_or(|told_at| told_at <= at)
    {
        state.email_hash = Some(AddressHash::of(secret, email).to_string());
        state.email_at = Some(at);
    }
}

impl SegmentationState {
    /// Whether she can be reached by e-mail.
    pub(crate) fn can_be_mailed(&self) -> bool {
        self.has_email && self.held_against_email().is_none()
    }

    /// What messaging holds against her e-mail address.
    pub(crate) fn held_against_email(&self) -> Option<&UnreachableAddress> {
        let is_hers = |held: &&UnreachableAddress| {
            held.channel == EMAIL && self.email_hash.as_ref().is_none_or(|hash| *hash == held.address_hash)
        };
        self.unreachable.iter().rfind(is_hers)
    }
}
