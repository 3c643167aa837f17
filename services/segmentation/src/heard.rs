//! What others tell of her between events: messaging of her addresses, models of what they scored.
//!
//! Wanted properties:
//! - it happened when they say, as far as time has come; what time alone does to her before then comes first, at its own moment,
//!   and so does what new definitions make of her;
//! - what it changes is judged and told, also where no segment reads it; what changes nothing is neither.

use domain::{HumanDuration, Timestamp};
use schemas::ChangeCause;
use stream::{Context, State as _};

use crate::judge::{Occasion, judge};
use crate::policy::Policy;
use crate::state::SegmentationState;
use crate::{Effects, step, told};

const MILLISECOND: HumanDuration = HumanDuration::from_millis(1);

/// Who tells of it, and as of when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heard<'h> {
    /// What brings about whatever comes of it.
    pub(crate) cause: ChangeCause,
    /// When it came to be so.
    pub(crate) at: Timestamp,
    /// Hops of the record.
    pub(crate) hops: i32,
    /// Tells it from what else may be told as of the same moment; empty where there is only one.
    pub(crate) what: &'h str,
}

/// Lets somebody who is known learn it; `learn` says whether others are to hear of it.
pub(crate) fn take_over(
    policy: &Policy,
    state: &mut SegmentationState,
    heard: Heard<'_>,
    context: &Context<'_>,
    effects: &mut Effects,
    learn: impl FnOnce(&mut SegmentationState) -> bool,
) {
    let now = moment(state, heard.at, context);
    step::hear_of_definitions(policy, state, now, context, effects);
    if learn(state) {
        let changes = effects.outputs.len();
        judge(policy, state, Occasion::Heard(heard), now, context, effects);
        told::heard(policy, state, changes, now, heard.hops, context, effects);
    }
}

/// While she is silent her own time stands still: it happened when they say, as far as time has come. What time alone does to her
/// before then comes first, at its own moment.
fn moment(state: &SegmentationState, at: Timestamp, context: &Context<'_>) -> Timestamp {
    let before_time = state.due().timer.map(|due| due - MILLISECOND);
    at.min(context.watermark).min(before_time.unwrap_or(at)).max(context.now)
}
