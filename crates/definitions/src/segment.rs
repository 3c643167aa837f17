//! A `segment:` document: who belongs to a segment of customers.

use std::sync::Arc;

use domain::HumanDuration;

use crate::diagnostic::Report;
use crate::expression::{Expression, Vocabulary};
use crate::fields::Fields;
use crate::parse_journey::version;
use crate::values::{duration, integer, name, phrase};
use crate::yaml::Node;

/// The greatest priority, and the least but for its sign.
const MAX_PRIORITY: i32 = 10_000;

/// A segment of customers.
///
/// A condition that has no answer does not hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    /// Its name.
    pub name: Arc<str>,
    /// Its version.
    pub version: i32,
    /// What it is for, for people.
    pub description: Option<Arc<str>>,
    /// The segments of a group exclude each other: of those whose conditions hold, a customer is in the one of the highest
    /// priority.
    pub group: Option<Arc<str>>,
    /// Which of a group wins: the greater. No two of a group have the same.
    pub priority: i32,
    /// Who enters.
    pub enter: Expression,
    /// Who leaves; none: who no longer satisfies `enter`.
    pub leave: Option<Expression>,
    /// Who has entered stays at least so long.
    pub minimum_stay: HumanDuration,
}

/// Reads a segment; none if anything in it is wrong.
pub(crate) fn segment(node: &Node, report: &mut Report<'_>) -> Option<Segment> {
    let mut fields = Fields::of(node, "a segment", report)?;
    let own_name = fields.require("segment", report).and_then(|node| name(node, "a segment", report));
    let version = version(&mut fields, report);
    let description = fields.take("description").map(|node| phrase(node, "`description`", 2_000, report));
    let group = fields.take("group").map(|node| name(node, "a group of segments", report));
    let priority = fields
        .take("priority")
        .map_or(Some(0), |node| integer(node, "`priority`", -MAX_PRIORITY..=MAX_PRIORITY, report));
    let enter = fields.require("enter", report).and_then(|node| condition(node, report));
    let leave = fields.take("leave").map(|node| condition(node, report));
    let minimum_stay =
        fields.take("minimum_stay").map_or(Some(HumanDuration::ZERO), |node| duration(node, "`minimum_stay`", report));
    fields.finish(report);
    Some(Segment {
        name: own_name?,
        version: version?,
        description: description.flatten(),
        group: group.flatten(),
        priority: priority?,
        enter: enter?,
        leave: leave.flatten(),
        minimum_stay: minimum_stay?,
    })
}

fn condition(node: &Node, report: &mut Report<'_>) -> Option<Expression> {
    Expression::parse(node, Vocabulary::Segment, report)
}
