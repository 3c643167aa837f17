//! The steps of a journey.

use std::sync::Arc;

use domain::HumanDuration;

use crate::diagnostic::{Origin, Report};
use crate::expression::{Expression, Vocabulary};
use crate::fields::{Fields, LATER};
use crate::journey::{Action, Awaited, Channel, EventPattern, MessageStep, Step, Wait, WaitStep, WhenStep};
use crate::parse_event::{event_name, field, of_segment, patterns};
use crate::suggest;
use crate::values::{Zone, duration, name, one_or_many, phrase, positive_duration, shortened, text, time_of_day, zone};
use crate::yaml::{Content, Node};

/// How long a message may be put off if its step does not say.
pub const DEFAULT_EXPIRY: HumanDuration = HumanDuration::from_hours(12);
/// The category of a message whose step names none.
pub const DEFAULT_CATEGORY: &str = "marketing";
const MAX_STEPS: usize = 200;
const MAX_DEPTH: usize = 8;
const STEPS: &[&str] = &["wait", "message", "when", "end"];
const LATER_STEPS: &[&str] = &["offer", "experiment", "grant", "set", "webhook"];
/// What messaging says became of a message.
const OUTCOMES: &[&str] = &[
    "sent",
    "failed",
    "unknown",
    "expired",
    "superseded",
    "cancelled",
    "suppressed",
    "unsubscribed",
    "no_address",
    "render_failed",
    "withheld",
];
/// Fields of `run` that are no steps, and words that CEL keeps for itself.
const RESERVED: &[&str] = &[
    "started_at",
    "key",
    "restarts",
    "in",
    "as",
    "true",
    "false",
    "null",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// Where in the journey we are, and what was named so far.
pub(crate) struct Steps {
    messages: Vec<Arc<str>>,
    names: Vec<Arc<str>>,
    count: usize,
}

impl Steps {
    pub(crate) fn new() -> Self {
        Self { messages: Vec::new(), names: Vec::new(), count: 0 }
    }

    /// A list of steps; `path` leads the places of those that have no name.
    pub(crate) fn list(&mut self, node: &Node, path: &str, depth: usize, report: &mut Report<'_>) -> Vec<Step> {
        let Content::List(items) = &node.content else {
            report.error(node.at, format!("steps are a list, not {}", node.kind()));
            return Vec::new();
        };
        if depth > MAX_DEPTH {
            report.error(node.at, format!("`when` is nested more than {MAX_DEPTH} deep"));
            return Vec::new();
        }
        let mut steps = Vec::new();
        for (index, item) in items.iter().enumerate() {
            self.count += 1;
            if self.count == MAX_STEPS + 1 {
                report.error(item.at, format!("a journey has at most {MAX_STEPS} steps"));
            }
            if self.count > MAX_STEPS {
                break;
            }
            steps.extend(self.step(item, &format!("{path}{}", index + 1), depth, report));
        }
        steps
    }

    fn step(&mut self, node: &Node, place: &str, depth: usize, report: &mut Report<'_>) -> Option<Step> {
        if node.text() == Some("end") {
            return Some(Step { label: place.into(), action: Action::End { reason: None } });
        }
        let mut fields = Fields::of(node, "a step", report)?;
        let mut kinds = STEPS.iter().copied().filter(|kind| fields.has(kind));
        let kind = kinds.next();
        if let (Some(one), Some(other)) = (kind, kinds.next()) {
            report.error(node.at, format!("a step does one thing: here stand `{one}` and `{other}`"));
            return None;
        }
        drop(kinds);
        let (label, action) = match kind {
            Some("wait") => self.wait(&mut fields, report),
            Some("message") => self.message(&mut fields, report),
            Some("when") => self.when(&mut fields, place, depth, report),
            Some("end") => {
                let reason = fields.take("end").filter(|node| node.text() != Some("true"));
                (None, Some(Action::End { reason: reason.and_then(|node| phrase(node, "`end`", 100, report)) }))
            }
            _ => {
                Self::unknown(&mut fields, report);
                return None;
            }
        };
        fields.later(LATER_STEPS).finish(report);
        Some(Step { label: label.unwrap_or_else(|| place.into()), action: action? })
    }

    fn unknown(fields: &mut Fields<'_>, report: &mut Report<'_>) {
        let at = fields.at;
        let Some((key, _)) = fields.rest().into_iter().next() else {
            report.error_with_help(at, "this step says nothing", "known here: wait, message, when, end");
            return;
        };
        if LATER_STEPS.contains(&key.name.as_str()) {
            report.error(key.at, format!("the step `{}` {LATER}", key.name));
            return;
        }
        let help = suggest::help(&key.name, STEPS.iter().copied()).unwrap_or_default();
        report.error_with_help(key.at, format!("there is no step `{}`", key.name), help);
    }

    fn wait(&mut self, fields: &mut Fields<'_>, report: &mut Report<'_>) -> (Option<Arc<str>>, Option<Action>) {
        let node = fields.take("wait");
        let restart_on =
            fields.take("restart_on").map(|node| patterns(node, "`restart_on`", report)).unwrap_or_default();
        let Some(node) = node else {
            report.error_with_help(fields.at, "`wait` says nothing", "write how long: `wait: 1h`");
            return (None, None);
        };
        let mut step_name = None;
        let wait = if let Content::Map(_) = &node.content {
            let Some(mut inner) = Fields::of(node, "`wait`", report) else { return (None, None) };
            step_name = inner.take("as").and_then(|node| self.name(node, report));
            let wait = self.wait_map(&mut inner, report);
            inner.later(&["optimal"]).finish(report);
            wait
        } else {
            positive_duration(node, "`wait`", report).map(Wait::Duration)
        };
        let action = wait.map(|wait| Action::Wait(WaitStep { name: step_name.clone(), wait, restart_on }));
        (step_name, action)
    }

    fn wait_map(&mut self, fields: &mut Fields<'_>, report: &mut Report<'_>) -> Option<Wait> {
        let until = fields.take("until");
        let zone_node = fields.take("time_zone");
        let what = fields.take("for");
        let timeout = fields.take("timeout");
        match (until, what) {
            (Some(until), None) => {
                if let Some(timeout) = timeout {
                    report.error(timeout.at, "`timeout` belongs to `for`, not to `until`");
                }
                let at = time_of_day(until, "`until`", report);
                let zone = zone_node.map_or(Some(Zone::Customer), |node| zone(node, report));
                Some(Wait::Until { at: at?, zone: zone? })
            }
            (None, Some(what)) => {
                if let Some(zone_node) = zone_node {
                    report.error(zone_node.at, "`time_zone` belongs to `until`, not to `for`");
                }
                let awaited = one_or_many(what);
                if awaited.is_empty() {
                    report.error(what.at, "`for` is empty");
                }
                let awaited: Vec<_> = awaited.into_iter().filter_map(|node| self.awaited(node, report)).collect();
                let Some(timeout) = timeout else {
                    report.error_with_help(fields.at, "`for` needs a `timeout`", "a wait has to end some day");
                    return None;
                };
                let timeout = positive_duration(timeout, "`timeout`", report)?;
                (!awaited.is_empty()).then_some(Wait::For { what: awaited, timeout })
            }
            (Some(_), Some(what)) => {
                report.error(what.at, "a wait has `until` or `for`, not both");
                None
            }
            (None, None) => {
                report.error_with_help(fields.at, "`wait` needs `until` or `for`", "or a length of time: `wait: 1h`");
                None
            }
        }
    }

    fn awaited(&mut self, node: &Node, report: &mut Report<'_>) -> Option<Awaited> {
        if let Content::Scalar(_) = &node.content {
            let pattern = EventPattern { event: event_name(node, report)?, segment: None, same: None };
            return Some(Awaited::Event { pattern, about: None });
        }
        let mut fields = Fields::of(node, "`for`", report)?.later(&["where"]);
        if fields.has("segment") {
            let of_segment = of_segment(&mut fields, report);
            fields.finish(report);
            let (event, segment) = of_segment?;
            let pattern = EventPattern { event, segment: Some(segment), same: None };
            return Some(Awaited::Event { pattern, about: None });
        }
        let event = fields.take("event");
        let outcome = fields.take("outcome");
        let same = fields.take("same");
        let about_node = fields.take("about");
        fields.finish(report);
        let about = match about_node {
            Some(node) => Some(self.about(node, report)?),
            None => None,
        };
        match (event, outcome) {
            (Some(event), None) => {
                let event = event_name(event, report);
                let same = match same {
                    Some(node) => Some(field(node, "`same`", report)?),
                    None => None,
                };
                Some(Awaited::Event { pattern: EventPattern { event: event?, segment: None, same }, about })
            }
            (None, Some(outcome)) => {
                if let Some(same) = same {
                    report.error(same.at, "`same` belongs to `event`, not to `outcome`");
                }
                let Some(about) = about else {
                    report.error(node.at, "`outcome` needs `about`: of which step's message?");
                    return None;
                };
                Some(Awaited::Outcome { outcomes: outcomes(outcome, report), about })
            }
            _ => {
                report.error(node.at, "`for` needs `event`, `segment` or `outcome`");
                None
            }
        }
    }

    /// The name of an earlier step that asks for a message.
    fn about(&self, node: &Node, report: &mut Report<'_>) -> Option<Arc<str>> {
        let name = text(node, "`about`", report)?;
        let found = self.messages.iter().find(|message| &***message == name).cloned();
        if found.is_none() {
            let message = format!("no message before this one is named `{}` by `as`", shortened(name));
            match suggest::help(name, self.messages.iter().map(|name| &**name)) {
                Some(help) => report.error_with_help(node.at, message, help),
                None => report.error(node.at, message),
            }
        }
        found
    }

    fn name(&mut self, node: &Node, report: &mut Report<'_>) -> Option<Arc<str>> {
        let name = text(node, "`as`", report)?;
        let good = name.len() <= 32
            && name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        if !good || RESERVED.contains(&name) {
            let message = format!("`{}` can't name a step", shortened(name));
            let help = "lower-case letters, digits and underscores, at most 32, and no word that conditions keep for themselves";
            report.error_with_help(node.at, message, help);
            return None;
        }
        if self.names.iter().any(|other| &**other == name) {
            report.error(node.at, format!("another step is named `{name}`"));
            return None;
        }
        let name: Arc<str> = name.into();
        self.names.push(Arc::clone(&name));
        Some(name)
    }

    fn message(&mut self, fields: &mut Fields<'_>, report: &mut Report<'_>) -> (Option<Arc<str>>, Option<Action>) {
        let Some(node) = fields.take("message") else {
            report.error_with_help(fields.at, "`message` says nothing", "it needs at least a `template`");
            return (None, None);
        };
        let Some(inner) = Fields::of(node, "`message`", report) else { return (None, None) };
        let mut inner = inner.later(&["send_time", "discount", "variant", "offer"]);
        let step_name = inner.take("as").and_then(|node| self.name(node, report));
        if let Some(name) = &step_name {
            self.messages.push(Arc::clone(name));
        }
        let template = inner.require("template", report);
        let template_at = template.map_or(node.at, |node| node.at);
        let template = template.and_then(|node| name(node, "a template", report));
        let channels = inner.take("channel").map_or_else(|| Some(vec![Channel::Email]), |node| channels(node, report));
        let category = inner.take("category");
        let category_at = category.map_or(node.at, |node| node.at);
        let category = category.map_or_else(|| Some(DEFAULT_CATEGORY.into()), |node| name(node, "a category", report));
        let expires =
            inner.take("expires").map_or(Some(DEFAULT_EXPIRY), |node| positive_duration(node, "`expires`", report));
        inner.finish(report);
        let action = || {
            let (template, channels, category, expires) = (template?, channels?, category?, expires?);
            let name = step_name.clone();
            let (template_at, category_at) = (Origin(template_at), Origin(category_at));
            Some(Action::Message(MessageStep { name, template, channels, category, expires, template_at, category_at }))
        };
        let action = action();
        (step_name, action)
    }

    fn when(
        &mut self,
        fields: &mut Fields<'_>,
        place: &str,
        depth: usize,
        report: &mut Report<'_>,
    ) -> (Option<Arc<str>>, Option<Action>) {
        let condition = if let Some(node) = fields.take("when") {
            Expression::parse(node, Vocabulary::Journey(&self.names), report)
        } else {
            report.error(fields.at, "`when` says nothing: it needs a condition");
            None
        };
        let (then, otherwise) = (fields.take("then"), fields.take("else"));
        if then.is_none() && otherwise.is_none() {
            report.error(fields.at, "`when` needs `then`, `else` or both");
        }
        let mut branch = |node: Option<&Node>, word| {
            node.map(|node| self.list(node, &format!("{place}.{word}."), depth + 1, report)).unwrap_or_default()
        };
        let (then, otherwise) = (branch(then, "then"), branch(otherwise, "else"));
        (None, condition.map(|condition| Action::When(WhenStep { condition, then, otherwise })))
    }
}

/// One channel or several, in order of preference.
fn channels(node: &Node, report: &mut Report<'_>) -> Option<Vec<Channel>> {
    let mut channels = Vec::new();
    let mut sound = true;
    for item in one_or_many(node) {
        let text = text(item, "a channel", report)?;
        let Some(channel) = Channel::ALL.into_iter().find(|channel| channel.name() == text) else {
            let help = suggest::help(text, Channel::ALL.map(Channel::name)).unwrap_or_default();
            report.error_with_help(item.at, format!("there is no channel `{}`", shortened(text)), help);
            sound = false;
            continue;
        };
        if channels.contains(&channel) {
            report.error(item.at, format!("the channel `{text}` stands here twice"));
            sound = false;
        }
        channels.push(channel);
    }
    if sound && !channels.iter().any(|channel| channel.available()) {
        let named: Vec<_> = channels.iter().map(|channel| channel.name()).collect();
        let named = if named.is_empty() { "no channel".to_owned() } else { format!("`{}`", named.join("`, `")) };
        report.error_with_help(node.at, format!("sending by {named} {LATER}"), "add `email` to the list");
        return None;
    }
    sound.then_some(channels)
}

fn outcomes(node: &Node, report: &mut Report<'_>) -> Vec<Arc<str>> {
    let mut outcomes = Vec::new();
    for item in one_or_many(node) {
        match text(item, "`outcome`", report) {
            Some("any") | None => {}
            Some(outcome) if OUTCOMES.contains(&outcome) => outcomes.push(outcome.into()),
            Some(outcome) => {
                let help = suggest::help(outcome, OUTCOMES.iter().copied().chain(["any"])).unwrap_or_default();
                report.error_with_help(item.at, format!("there is no outcome `{}`", shortened(outcome)), help);
            }
        }
    }
    outcomes
}

/// Zero is allowed where nothing has to pass.
pub(crate) fn reentry(node: &Node, report: &mut Report<'_>) -> Option<HumanDuration> {
    if let Content::Scalar(_) = &node.content {
        return duration(node, "`reentry`", report);
    }
    let mut fields = Fields::of(node, "`reentry`", report)?;
    let after = fields.require("after", report).and_then(|node| duration(node, "`reentry.after`", report));
    fields.finish(report);
    after
}
