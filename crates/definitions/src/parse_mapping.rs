//! Reads a `mapping:` file.

use domain::HumanDuration;

use crate::diagnostic::{Diagnostic, Position, Report, Severity};
use crate::expression::{Expression, Vocabulary};
use crate::fields::Fields;
use crate::mapping::{COMPUTED, Encoding, EventMapping, Mapping, Name, Otherwise, PARTS, SecretForm, Signature};
use crate::suggest;
use crate::values::{name, one_or_many, phrase, positive_duration, shortened, text};
use crate::yaml::{self, Content, Node};

/// No mapping is larger.
pub const MAX_MAPPING_BYTES: usize = yaml::MAX_FILE_BYTES;
const MAX_EVENTS: usize = 100;
const MAX_NAME_BYTES: usize = 255;
/// The kinds of calls of the Segment specification.
const CALLS: [&str; 6] = ["track", "identify", "page", "screen", "group", "alias"];
/// How old a signed time may be where nothing else is said.
const TOLERANCE: HumanDuration = HumanDuration::from_millis(5 * 60 * 1_000);

/// Reads a mapping file; `file` is its name in the diagnostics.
pub fn parse_mapping(file: &str, source: &str) -> Result<Mapping, Vec<Diagnostic>> {
    one_document(file, source, mapping)
}

/// Reads a file that holds one mapping; or tells all that is wrong with it.
pub(crate) fn one_document<T>(
    file: &str,
    source: &str,
    read: impl FnOnce(&Node, &mut Report<'_>) -> Option<T>,
) -> Result<T, Vec<Diagnostic>> {
    let mut report = Report::new(file, source);
    let documents = yaml::parse(&mut report);
    let mapping = match &documents[..] {
        [document] => read(&document.root, &mut report),
        _ if report.has_errors() => None,
        _ => {
            report.error(Position::START, format!("one mapping is expected, not {} documents", documents.len()));
            None
        }
    };
    match mapping {
        Some(mapping) if !report.has_errors() => Ok(mapping),
        _ => {
            let mut diagnostics = report.into_diagnostics();
            diagnostics.retain(|diagnostic| diagnostic.severity == Severity::Error);
            Err(diagnostics)
        }
    }
}

// What is wrong is left out of what is read, and told: a report with errors has no mapping.

fn mapping(node: &Node, report: &mut Report<'_>) -> Option<Mapping> {
    let mut fields = Fields::of(node, "a mapping", report)?;
    let own_name = fields.require("mapping", report).and_then(|node| name(node, "a mapping", report));
    let signature = fields.require("signature", report).and_then(|node| signature(node, report));
    let delivery = fields.take("delivery").and_then(|node| expression(node, false, report));
    let words = [("dead_letter", Otherwise::DeadLetter), ("ignore", Otherwise::Ignore)];
    let otherwise = fields.take("otherwise").and_then(|node| word(node, "`otherwise`", &words, report));
    let events = fields.require("events", report).map(|node| events(node, report)).unwrap_or_default();
    fields.finish(report);
    let (signature, standard) = signature?;
    let delivery = delivery.or_else(|| standard.then(|| Expression::of_header("webhook-id")));
    let otherwise = otherwise.unwrap_or(Otherwise::DeadLetter);
    Some(Mapping { name: own_name?, signature, otherwise, delivery, events })
}

/// The signature, and whether it is that of Standard Webhooks (standardwebhooks.com, "Webhook scheme").
fn signature(node: &Node, report: &mut Report<'_>) -> Option<(Signature, bool)> {
    if let Some(scheme) = node.text() {
        if scheme != "standard-webhooks" {
            let help = "write `standard-webhooks`, or a map with the `header` of the signature";
            report.error_with_help(node.at, format!("there is no signature `{}`", shortened(scheme)), help);
            return None;
        }
        let header = |name: &str| format!("webhook-{name}");
        let signature = Signature {
            header: header("signature"),
            encoding: Encoding::Base64,
            prefix: "v1,".to_owned(),
            before_body: vec![header("id"), header("timestamp")],
            timestamp: Some((header("timestamp"), TOLERANCE)),
            secret: SecretForm::StandardWebhooks,
        };
        return Some((signature, true));
    }
    let mut fields = Fields::of(node, "a signature", report)?;
    let own_header = fields.require("header", report).and_then(|node| header(node, report));
    let words = [("hex", Encoding::Hex), ("base64", Encoding::Base64)];
    let encoding = fields.take("encoding").and_then(|node| word(node, "`encoding`", &words, report));
    let words = [("text", SecretForm::Text), ("whsec", SecretForm::StandardWebhooks)];
    let secret = fields.take("secret").and_then(|node| word(node, "`secret`", &words, report));
    let prefix = fields.take("prefix").and_then(|node| {
        let prefix = phrase(node, "`prefix`", 64, report)?;
        if prefix.contains(char::is_whitespace) {
            report.error(node.at, "`prefix` has a space, and spaces stand between signatures");
        }
        Some(prefix)
    });
    let before_body = fields.take("before_body").map(one_or_many).unwrap_or_default();
    let before_body: Vec<String> = before_body.into_iter().filter_map(|node| header(node, report)).collect();
    let timestamp = fields.take("timestamp").and_then(|node| Some((node.at, header(node, report)?)));
    let tolerance = fields.take("tolerance");
    if let (Some(tolerance), false) = (tolerance, fields.has("timestamp")) {
        report.error(tolerance.at, "`tolerance` needs `timestamp`: the header that says when it was signed");
    }
    let tolerance = tolerance.and_then(|node| positive_duration(node, "`tolerance`", report)).unwrap_or(TOLERANCE);
    fields.finish(report);
    if let Some((at, header)) = timestamp.as_ref().filter(|(_, header)| !before_body.contains(header)) {
        let help = format!("add it: `before_body: [{header}]`");
        let message = "whoever sends an old webhook again could give a time that is not signed anew";
        report.error_with_help(*at, message, help);
    }
    let signature = Signature {
        header: own_header?,
        encoding: encoding.unwrap_or(Encoding::Hex),
        prefix: prefix.map_or_else(String::new, |prefix| prefix.to_string()),
        before_body,
        timestamp: timestamp.map(|(_, header)| (header, tolerance)),
        secret: secret.unwrap_or(SecretForm::Text),
    };
    Some((signature, false))
}

/// The name of a header, in lower case.
fn header(node: &Node, report: &mut Report<'_>) -> Option<String> {
    let name = text(node, "the name of a header", report)?;
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if name.is_empty() || name.len() > 64 || !name.bytes().all(fits) {
        report.error(node.at, format!("`{}` is no name of a header", shortened(name)));
        return None;
    }
    Some(name.to_ascii_lowercase())
}

fn word<T: Copy>(node: &Node, what: &str, words: &[(&str, T)], report: &mut Report<'_>) -> Option<T> {
    let given = text(node, what, report)?;
    let found = words.iter().find(|(word, _)| *word == given);
    if found.is_none() {
        let help = suggest::help(given, words.iter().map(|(word, _)| *word)).unwrap_or_default();
        report.error_with_help(node.at, format!("{what} can't be `{}`", shortened(given)), help);
    }
    found.map(|(_, value)| *value)
}

fn events(node: &Node, report: &mut Report<'_>) -> Vec<EventMapping> {
    let Content::List(items) = &node.content else {
        report.error(node.at, format!("`events` is a list, not {}", node.kind()));
        return Vec::new();
    };
    if items.is_empty() || items.len() > MAX_EVENTS {
        report.error(node.at, format!("a mapping has 1 to {MAX_EVENTS} events, not {}", items.len()));
    }
    items.iter().filter_map(|item| event(item, report)).collect()
}

fn event(node: &Node, report: &mut Report<'_>) -> Option<EventMapping> {
    let mut fields = Fields::of(node, "an event of a mapping", report)?;
    let item = fields.has("each");
    let each = fields.take("each").and_then(|node| expression(node, false, report));
    let condition = Vocabulary::Mapping { item, condition: true };
    let when = fields.take("when").and_then(|node| Expression::parse(node, condition, report));
    let call =
        fields.take("call").map_or(Some("track"), |node| word(node, "`call`", &CALLS.map(|call| (call, call)), report));
    let (fixed, from) = (fields.take("event"), fields.take("event_from"));
    match (call, fixed.or(from)) {
        (Some("track"), None) => {
            report.error(node.at, "a track call needs `event`: the name of what happened, such as `Order Completed`");
        }
        (Some(other), Some(_)) if other != "track" => {
            report.error(node.at, format!("`event` is of track calls; a {other} call has none"));
        }
        _ => {}
    }
    if let (Some(_), Some(second)) = (fixed, from) {
        let message = "`event` is the name itself, `event_from` computes it: one of them is enough";
        report.error(second.at, message);
    }
    let event = match (fixed, from) {
        (Some(node), _) => phrase(node, "`event`", MAX_NAME_BYTES, report).map(Name::Fixed),
        (None, Some(node)) => expression(node, item, report).map(Name::Computed),
        (None, None) => None,
    };
    let mut computed = Vec::new();
    for names in COMPUTED {
        let value = fields.take(names.0).and_then(|node| expression(node, item, report));
        computed.extend(value.map(|value| (names, value)));
    }
    if !fields.has("user_id") && !fields.has("anonymous_id") {
        report.error(node.at, "an event needs `user_id` or `anonymous_id`: whose it is");
    }
    let mut parts = Vec::new();
    for part in PARTS {
        let Some(mut entries) = fields.take(part).and_then(|node| Fields::of(node, "a part of an event", report))
        else {
            continue;
        };
        let values = entries.rest().into_iter();
        let values = values.filter_map(|(key, node)| Some((key.name.clone(), expression(node, item, report)?)));
        parts.push((part, values.collect()));
    }
    fields.finish(report);
    Some(EventMapping { each, when, call: call?, event, computed, parts })
}

fn expression(node: &Node, item: bool, report: &mut Report<'_>) -> Option<Expression> {
    Expression::parse(node, Vocabulary::Mapping { item, condition: false }, report)
}
