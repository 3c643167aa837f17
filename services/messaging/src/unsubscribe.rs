//! A customer does not want to be written to at an address.

use schemas::SuppressionReason;
use stream::{Context, Disposition};

use crate::Effects;
use crate::input::Wish;
use crate::outcome::{Cause, bar};
use crate::policy::Policy;
use crate::reachability::{self, News};
use crate::state::MessagingState;

/// Bars the address. A second wish changes nothing where state and table both hold the first. Else it is written once more: the
/// table, which comes late, may tell of one that was lifted since, and the state of one that was lifted under another id.
///
/// The wish holds for every category: as long as consent is not kept by category, less than she asked for is the worse
/// mistake.
pub(crate) fn unsubscribe(
    policy: &Policy,
    state: &mut MessagingState,
    wish: &Wish,
    context: &Context<'_>,
    effects: &mut Effects,
) -> Disposition {
    let Some(address_hash) = address_of(state, wish) else { return Disposition::Rejected("no_address") };
    // A bounce may be lifted when the mailbox is back, and so may be an unsubscription: her own wish must then still stand.
    let stays = |reason| matches!(reason, SuppressionReason::Complained | SuppressionReason::Manual);
    let is_wish = |reason| reason == Some(SuppressionReason::Unsubscribed);
    let is_known = is_wish(own_reason(state, &address_hash)) && is_wish(policy.in_table(&address_hash));
    if is_known || policy.suppressions_of(state, &address_hash).any(stays) {
        // By somebody else's doing, of which she may not have been told yet.
        let news = News { at: wish.at, hops: 0 };
        if reachability::learn(policy, state, &address_hash, news, context, effects) {
            return Disposition::Emitted;
        }
        return Disposition::Ignored("already_suppressed");
    }
    let cause = Cause {
        reason: SuppressionReason::Unsubscribed,
        since: wish.at,
        shop: &wish.shop,
        message_id: wish.message_id.as_deref(),
        hops: 0,
    };
    bar(policy, state, &address_hash, &cause, context, effects);
    Disposition::Emitted
}

/// The address that she named, else the one that the message which she named goes to.
pub(crate) fn address_of(state: &MessagingState, wish: &Wish) -> Option<String> {
    let of_message = || {
        let message_id = wish.message_id.as_deref()?;
        state
            .messages
            .iter()
            .find(|message| message.message_id == message_id)
            .map(|message| message.address_hash.clone())
    };
    wish.address.map(|hash| hash.to_string()).or_else(of_message)
}

/// What her own last records hold against an address.
fn own_reason(state: &MessagingState, address_hash: &str) -> Option<SuppressionReason> {
    state.barred.iter().find(|barred| barred.address_hash == address_hash).map(|barred| barred.reason)
}
