//! Which segments a customer is in, and when that is to be looked at again.
//!
//! Wanted properties:
//! - of an exclusive group she is in one segment at most: the one of the highest priority that holds, but for one whose minimum
//!   stay is not over;
//! - who is in a segment that has a condition to leave stays until that holds; a condition without an answer does not hold;
//! - the answer changes at the moment when it has to, also where nothing happens but time: [`SegmentationState::judge_at`] is
//!   the first moment at which it may;
//! - what the conditions can't tell apart is not judged twice.

use std::sync::Arc;

use definitions::{Scope, Segment};
use domain::Timestamp;
use schemas::{Change, ChangeCause, EventKind, MAX_HOPS, SegmentChange, StorefrontEvent};
use stream::Context;

use crate::field::Profile;
use crate::heard::Heard;
use crate::output::Output;
use crate::policy::Policy;
use crate::state::{Membership, SegmentationState};
use crate::{Effects, ids, view};

/// What brings a judgement about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Occasion<'e> {
    /// She did something.
    Event(&'e StorefrontEvent),
    /// Time alone.
    Time,
    /// Others told of her: that an address of hers is not written to any more, or is again, or what they scored.
    Heard(Heard<'e>),
    /// Definitions have changed, or the boundaries of quintiles.
    Definition,
}

/// Judges all segments as of `now`; writes what has changed, and when to look again.
pub(crate) fn judge(
    policy: &Policy,
    state: &mut SegmentationState,
    occasion: Occasion<'_>,
    now: Timestamp,
    context: &Context<'_>,
    effects: &mut Effects,
) {
    let profile = Profile::new(state, now).by(policy.boundaries());
    let fingerprint = view::fingerprint(policy, &profile);
    let due = state.judge_at.is_some_and(|at| at <= now);
    let judged = due || fingerprint != state.judged_on || matches!(occasion, Occasion::Definition);
    let memberships = judged.then(|| {
        let scope = view::scope(policy, &profile);
        let mut pen = Pen { policy, profile: &profile, occasion, context, effects };
        pen.memberships(&scope)
    });
    let ageing = policy.ageing().iter().filter_map(|(field, thresholds)| profile.next_change(field, thresholds)).min();
    if let Some(memberships) = memberships {
        state.memberships = memberships;
        state.judged_on = fingerprint;
    }
    state.quintiles_seen = policy.quintiles_offset();
    state.segments_seen = Some(policy.segments_offset());
    let stays = state.memberships.iter().filter_map(|membership| {
        let minimum_stay = policy.minimum_stay(&membership.segment)?;
        Some(membership.since + minimum_stay).filter(|until| *until > now)
    });
    state.judge_at = stays.chain(ageing).min();
}

/// Leaves all segments, since she is forgotten.
pub(crate) fn leave_all(policy: &Policy, state: &SegmentationState, context: &Context<'_>, effects: &mut Effects) {
    let profile = Profile::new(state, context.now).by(policy.boundaries());
    let mut pen = Pen { policy, profile: &profile, occasion: Occasion::Time, context, effects };
    for membership in &state.memberships {
        pen.leave(membership, pen.segment(membership), ChangeCause::Forgotten);
    }
}

fn stays_until(segment: &Segment, membership: &Membership) -> Timestamp {
    membership.since + segment.minimum_stay
}

/// What writes the changes of a customer's memberships.
struct Pen<'a> {
    policy: &'a Policy,
    profile: &'a Profile<'a>,
    occasion: Occasion<'a>,
    context: &'a Context<'a>,
    effects: &'a mut Effects,
}

impl<'a> Pen<'a> {
    /// The memberships as they are from now on, by name; each that ends or begins is written, those that end first.
    fn memberships(&mut self, scope: &Scope) -> Vec<Membership> {
        let before = &self.profile.state.memberships;
        let mut wanted: Vec<&Arc<Segment>> = Vec::new();
        for group in self.policy.groups() {
            let member = |segment: &Segment| before.iter().find(|membership| membership.segment == segment.name);
            let bound = group
                .iter()
                .find(|segment| member(segment).is_some_and(|own| stays_until(segment, own) > self.profile.now));
            wanted.extend(
                bound.or_else(|| group.iter().find(|segment| holds(segment, member(segment).is_some(), scope))),
            );
        }
        wanted.sort_by(|a, b| a.name.cmp(&b.name));
        for membership in before {
            if !wanted.iter().any(|segment| segment.name == membership.segment) {
                let segment = self.segment(membership);
                let cause = if segment.is_some() { self.cause(&membership.segment) } else { ChangeCause::Removed };
                self.leave(membership, segment, cause);
            }
        }
        let mut after = Vec::with_capacity(wanted.len());
        for segment in wanted {
            let own = before.iter().find(|membership| membership.segment == segment.name);
            let since = own.map_or(self.profile.now, |own| own.since);
            if own.is_none() {
                self.enter(segment);
            }
            let (name, group) = (Arc::clone(&segment.name), segment.group.clone());
            after.push(Membership { segment: name, version: segment.version, since, group });
        }
        after
    }

    fn segment(&self, membership: &Membership) -> Option<&'a Arc<Segment>> {
        self.policy.groups().iter().flatten().find(|segment| segment.name == membership.segment)
    }

    fn enter(&mut self, segment: &Segment) {
        let change = SegmentChange {
            segment: segment.name.to_string(),
            segment_version: segment.version,
            group: segment.group.as_deref().map(str::to_owned),
            change: Change::Entered,
            cause: self.cause(&segment.name),
            detail_json: Some(self.detail(segment)),
            ..SegmentChange::default()
        };
        self.write(change);
    }

    fn leave(&mut self, membership: &Membership, segment: Option<&Arc<Segment>>, cause: ChangeCause) {
        let change = SegmentChange {
            segment: membership.segment.to_string(),
            segment_version: segment.map_or(membership.version, |segment| segment.version),
            group: segment.and_then(|segment| segment.group.as_deref().map(str::to_owned)),
            change: Change::Left,
            cause,
            since: Some(membership.since.as_millis()),
            detail_json: segment.map(|segment| self.detail(segment)),
            ..SegmentChange::default()
        };
        self.write(change);
    }

    fn write(&mut self, change: SegmentChange) {
        let event = match self.occasion {
            Occasion::Event(event) => Some(event),
            Occasion::Time | Occasion::Definition | Occasion::Heard(_) => None,
        };
        let at = self.profile.now.as_millis();
        let (of, what, hops) = match self.occasion {
            Occasion::Event(event) => (at, event.message_id.as_str(), event.hops),
            // What others tell is of a time of its own: hers may stand still meanwhile.
            Occasion::Heard(heard) => (heard.at.as_millis(), heard.what, heard.hops),
            Occasion::Time | Occasion::Definition => (at, "", 0),
        };
        let change = SegmentChange {
            change_id: change_id(self.context.key, &change, of, what),
            customer_id: self.context.key.to_string(),
            shop: self.profile.state.shop.clone(),
            at,
            // The name of a page is its title, as the shop's template has it, and may say who is logged in.
            trigger_name: event.filter(|event| event.kind == EventKind::Track).map(|event| event.name.clone()),
            trigger_message_id: event.map(|event| event.message_id.clone()),
            historical: event.is_some_and(|event| event.historical)
                || matches!(self.occasion, Occasion::Definition) && !self.is_news(change.cause),
            hops: hops.saturating_add(1).min(MAX_HOPS),
            ..change
        };
        self.effects.emit(Output::Change(Box::new(change)));
    }

    fn detail(&self, segment: &Segment) -> String {
        let conditions = std::iter::once(&segment.enter).chain(&segment.leave);
        let paths = conditions.flat_map(|condition| condition.reads().customer.keys().map(|path| &**path));
        view::detail(paths, self.policy, self.profile)
    }

    fn cause(&self, segment: &str) -> ChangeCause {
        // Where segments were applied as well, it may be their doing; and boundaries that are gone say nothing.
        let state = self.profile.state;
        let by_boundaries = || {
            state.segments_seen == Some(self.policy.segments_offset())
                && self.policy.quintiles_offset().is_some_and(|offset| state.quintiles_seen != Some(offset))
        };
        match self.occasion {
            Occasion::Event(_) => ChangeCause::Event,
            Occasion::Time => ChangeCause::Time,
            Occasion::Heard(heard) => heard.cause,
            Occasion::Definition if by_boundaries() && self.policy.hangs_on_quintiles(segment) => {
                ChangeCause::Boundaries
            }
            Occasion::Definition => ChangeCause::Definition,
        }
    }

    /// The first boundaries take in who is there, as a new definition does. Later ones tell how she stands among others now.
    fn is_news(&self, cause: ChangeCause) -> bool {
        cause == ChangeCause::Boundaries && self.profile.state.quintiles_seen.is_some()
    }
}

/// Whether a segment has her. Nobody comes in who would have to leave at once.
fn holds(segment: &Segment, is_member: bool, scope: &Scope) -> bool {
    let leaves = || segment.leave.as_ref().is_some_and(|leave| leave.evaluate(scope).unwrap_or(false));
    let stays = is_member && segment.leave.is_some();
    (stays || segment.enter.evaluate(scope).unwrap_or(false)) && !leaves()
}

/// The same in a replay and after a restart: of whom, what, when and by what. What a device tells late happens to her at one time.
fn change_id(customer: &str, change: &SegmentChange, at: i64, what: &str) -> String {
    let kind = format!("{:?} by {:?} of {}", change.change, change.cause, change.segment_version);
    ids::hash(&[customer, &change.segment, &kind, &at.to_string(), what])
}
