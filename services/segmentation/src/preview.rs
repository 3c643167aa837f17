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
    let context = Context { key: customer, now: at, stored_at: None, trace: None, revision: at };
    let mut state = state.clone();
    judge(policy, &mut state, Occasion::Definition, &context, &mut Effects::default());
    state.memberships.into_iter().map(|membership| membership.segment).collect()
}
