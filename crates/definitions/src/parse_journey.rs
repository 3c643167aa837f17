//! A `journey:` document.

use std::sync::Arc;

use domain::HumanDuration;

use crate::diagnostic::Report;
use crate::fields::Fields;
use crate::journey::{Goal, Journey};
use crate::parse_event::{event_name, field, patterns, triggers};
use crate::parse_step::{Steps, reentry};
use crate::values::{Percent, integer, name, percent, positive_duration};
use crate::yaml::Node;

/// Reads a journey; none if anything in it is wrong.
pub(crate) fn journey(node: &Node, report: &mut Report<'_>) -> Option<Journey> {
    let mut fields = Fields::of(node, "a journey", report)?.later(&["yields_to", "priority", "send_time"]);
    let journey_name = fields.require("journey", report).and_then(|node| name(node, "a journey", report));
    let version = version(&mut fields, report);
    let triggers = fields.require("trigger", report).map(|node| triggers(node, report)).unwrap_or_default();
    let correlate = fields.take("correlate").map(|node| field(node, "`correlate`", report));
    let goal = fields.take("goal").map(|node| goal(node, report));
    let exits = fields.take("exit").map(|node| patterns(node, "`exit`", report)).unwrap_or_default();
    let reentry = fields.take("reentry").map_or(Some(HumanDuration::ZERO), |node| reentry(node, report));
    let holdout = fields.take("holdout").map_or(Some(Percent::ZERO), |node| percent(node, "`holdout`", report));
    let steps = fields.require("steps", report).map(|node| {
        let steps = Steps::new().list(node, "", 0, report);
        if steps.is_empty() && !report.has_errors() {
            report.error(node.at, "a journey has at least one step");
        }
        steps
    });
    fields.finish(report);
    Some(Journey {
        name: journey_name?,
        version: version?,
        triggers,
        correlate: correlate.flatten(),
        goal: goal.flatten(),
        exits,
        reentry: reentry?,
        holdout: holdout?,
        steps: steps?,
    })
}

/// The version of a document; the first if it does not say.
pub(crate) fn version(fields: &mut Fields<'_>, report: &mut Report<'_>) -> Option<i32> {
    fields.take("version").map_or(Some(1), |node| integer(node, "`version`", 1..=i32::MAX, report))
}

fn goal(node: &Node, report: &mut Report<'_>) -> Option<Goal> {
    let mut fields = Fields::of(node, "`goal`", report)?;
    let event: Option<Arc<str>> = fields.require("event", report).and_then(|node| event_name(node, report));
    let within = fields.require("within", report).and_then(|node| positive_duration(node, "`within`", report));
    fields.finish(report);
    Some(Goal { event: event?, within: within? })
}
