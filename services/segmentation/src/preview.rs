//! What definitions would make of a customer if they were applied: the same judging, and nothing is written.

use std::sync::Arc;

use domain::Timestamp;
use stream::{Context, Key};

use crate::Effects;
use crate::judge::{Occasion, judge};
use crate::policy::Policy;
use crate::state::SegmentationState;

/// The segments that a customer would be in, by name, if the policy came into force at that moment.
pub fn preview(policy: &Policy, customer: &Key, state: &SegmentationState, at: Timestamp) -> Vec<Arc<str>> {
    let context = Context { key: customer, now: at, stored_at: None, trace: None, watermark: at, revision: at };
    let mut state = state.clone();
    // What time alone ends has ended, also where its timer has not fired yet.
    if state.is_nobody() || state.ends_at().is_some_and(|end| end <= at) {
        return Vec::new();
    }
    state.close_idle_cart(at);
    judge(policy, &mut state, Occasion::Definition, at, &context, &mut Effects::default());
    state.memberships.into_iter().map(|membership| membership.segment).collect()
}
