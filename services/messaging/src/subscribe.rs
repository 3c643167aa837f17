//! A customer wants to be written to again at an address.

use schemas::SuppressionReason;
use stream::{Context, Disposition};

use crate::Effects;
use crate::input::Wish;
use crate::output::Output;
use crate::policy::Policy;
use crate::reachability::{self, News};
use crate::state::MessagingState;
use crate::unsubscribe::address_of;

pub(crate) fn subscribe(
    policy: &Policy,
    state: &mut MessagingState,
    wish: &Wish,
    context: &Context<'_>,
    effects: &mut Effects,
) -> Disposition {
    let Some(address_hash) = address_of(state, wish) else { return Disposition::Rejected("no_address") };
    let disposition = lift(policy, state, &address_hash, wish, context, effects);
    // Also where there is nothing to lift: somebody else may have done it.
    let news = News { at: wish.at, hops: 0 };
    if reachability::learn(policy, state, &address_hash, news, context, effects) {
        return Disposition::Emitted;
    }
    disposition
}

/// Lifts her own unsubscription. What else is held against the address is not hers to lift: a mailbox that does not exist, a
/// complaint to the provider, an operator's word.
///
/// Until the table has brought it to every worker, less is sent than she asked for.
fn lift(
    policy: &Policy,
    state: &mut MessagingState,
    address_hash: &str,
    wish: &Wish,
    context: &Context<'_>,
    effects: &mut Effects,
) -> Disposition {
    let held: Vec<SuppressionReason> = policy.suppressions_of(state, address_hash).collect();
    if held.is_empty() {
        if state.subscribed_since(address_hash) >= Some(wish.at) {
            return Disposition::Ignored("not_suppressed");
        }
        // An unsubscription from before it may come yet.
        reachability::subscribed(state, address_hash, wish.at, context);
        return Disposition::Emitted;
    }
    if held.iter().any(|reason| !reason.is_wish()) {
        return Disposition::Ignored("suppressed_for_another_reason");
    }
    // Commands come late, and twice: what was wished before does not undo what was wished after it.
    if policy.unsubscribed_since(state, address_hash).is_some_and(|since| wish.at < since) {
        return Disposition::Ignored("older_than_the_unsubscription");
    }
    state.barred.retain(|barred| barred.address_hash != address_hash);
    reachability::subscribed(state, address_hash, wish.at, context);
    effects.emit(Output::Lifted { address_hash: address_hash.to_owned() });
    Disposition::Emitted
}
