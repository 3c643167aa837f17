//! A customer does not want to be written to at an address.

use schemas::SuppressionReason;
use stream::{Context, Disposition};

use crate::Effects;
use crate::input::Wish;
use crate::outcome::{Cause, bar};
use crate::policy::Policy;
use crate::reachability::{self, News};
use crate::state::MessagingState;

/// Bars the address, unless she asked to be written to there since. The same wish once more changes nothing where state and table
/// both hold it. Else it is written once more: the table, which comes late, may tell of one that was lifted since, and the state
/// of one that was lifted under another id.
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
    let own = state.barred(&address_hash).map(|barred| barred.reason);
    let both_hold_it =
        [own, policy.in_table(&address_hash)].iter().all(|held| held.is_some_and(SuppressionReason::is_wish));
    let unsubscribed_since = policy.unsubscribed_since(state, &address_hash);
    let is_known = both_hold_it && unsubscribed_since >= Some(wish.at);
    let ignored = if is_known || policy.suppressions_of(state, &address_hash).any(stays) {
        Some("already_suppressed")
    } else if state.subscribed_since(&address_hash) > Some(wish.at) {
        // Commands come late, and twice: what was wished before does not undo what was wished after it.
        Some("older_than_the_subscription")
    } else {
        None
    };
    if let Some(reason) = ignored {
        // By somebody else's doing, of which she may not have been told yet.
        let news = News { at: wish.at, hops: 0 };
        if reachability::learn(policy, state, &address_hash, news, context, effects) {
            return Disposition::Emitted;
        }
        return Disposition::Ignored(reason);
    }
    let cause = Cause {
        reason: SuppressionReason::Unsubscribed,
        // Nor does it take the place of what was wished later, and is known already.
        since: unsubscribed_since.map_or(wish.at, |since| since.max(wish.at)),
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
