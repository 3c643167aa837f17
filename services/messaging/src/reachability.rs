//! What is held against a customer's addresses, as everybody is told it.
//!
//! Wanted properties:
//! - what was last published is in the state, so the same is never said twice, and what has changed is said in the step in which
//!   it becomes known, whole;
//! - it is about the address: a message that may leave in spite of it (she asked for it herself) changes nothing;
//! - what was barred or lifted under another id becomes known when she is next to be written to;
//! - of who was erased nothing is said, unless she is to be written to again: no late word of hers brings her back.

use domain::{HumanDuration, Timestamp};
use schemas::{CustomerReachability, MAX_HOPS, UnreachableAddress};
use stream::Context;

use crate::Effects;
use crate::channel::Channel;
use crate::outcome::table_knows_by;
use crate::output::Output;
use crate::policy::Policy;
use crate::state::{LiftedAddress, MessagingState};

/// More are not told of one customer: the one found out first gives way.
const MAX_UNREACHABLE: usize = 16;
/// More are not remembered as lifted: the table forgets them soon after.
const MAX_LIFTED: usize = 16;
/// By then an erasure is surely over: until its receipt is written nothing new comes to lie under her id.
const ERASURE_IS_OVER: HumanDuration = HumanDuration::from_hours(30 * 24);

/// What brought it up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct News {
    pub(crate) at: Timestamp,
    /// Of what led to it.
    pub(crate) hops: i32,
}

/// Publishes what is held against an address, if that is not what was last published. Returns whether it was.
pub(crate) fn learn(
    policy: &Policy,
    state: &mut MessagingState,
    address_hash: &str,
    news: News,
    context: &Context<'_>,
    effects: &mut Effects,
) -> bool {
    if state.quiet_until.is_some() || address_hash.is_empty() {
        return false;
    }
    let stands = policy.standing(state, address_hash);
    let published = state.unreachable.iter().position(|known| known.address_hash == address_hash);
    if published.map(|place| state.unreachable[place].reason) == stands.map(|(reason, _)| reason) {
        return false;
    }
    if let Some(place) = published {
        state.unreachable.remove(place);
    }
    if let Some((reason, since)) = stands {
        if state.unreachable.len() >= MAX_UNREACHABLE {
            state.unreachable.remove(0);
        }
        state.unreachable.push(UnreachableAddress {
            channel: Channel::Email.name().to_owned(),
            address_hash: address_hash.to_owned(),
            reason,
            since: since.as_millis(),
        });
    }
    effects.emit(Output::Reachability(CustomerReachability {
        customer_id: context.key.to_string(),
        at: news.at.as_millis(),
        unreachable: state.unreachable.clone(),
        hops: news.hops.saturating_add(1).min(MAX_HOPS),
    }));
    true
}

/// She wants to be written to at an address. What she took back by it the table tells of for a while yet, and what she wished
/// before may come after it.
pub(crate) fn subscribed(state: &mut MessagingState, address_hash: &str, at: Timestamp, context: &Context<'_>) {
    let at = state.subscribed_since(address_hash).map_or(at, |known| known.max(at));
    state.lifted.retain(|lifted| lifted.address_hash != address_hash);
    if state.lifted.len() >= MAX_LIFTED {
        state.lifted.remove(0);
    }
    let forget_at = table_knows_by(at, context);
    state.lifted.push(LiftedAddress { address_hash: address_hash.to_owned(), at, forget_at });
}

/// She is forgotten. Whether anything was ever published of her nobody knows any more, once nothing is held against her.
pub(crate) fn forget(state: &mut MessagingState, context: &Context<'_>, effects: &mut Effects) {
    state.unreachable.clear();
    state.lifted.clear();
    state.quiet_until = context.stored_at.map(|stored_at| stored_at.max(context.now) + ERASURE_IS_OVER);
    effects.emit(Output::NoReachability(context.key.clone()));
}
