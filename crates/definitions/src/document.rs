//! A document: one definition as it travels on the definitions topic, and read from there.

use std::fmt;
use std::fmt::Write as _;
use std::str::FromStr;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::diagnostic::{Diagnostic, Position, Report, Severity};
use crate::fields::LATER;
use crate::journey::Journey;
use crate::messaging::{Messaging, messaging};
use crate::parse_journey::journey;
use crate::segment::{Segment, segment};
use crate::suggest;
use crate::template::{Attachments, Template, template};
use crate::yaml::{self, Content, Node};

/// What a document defines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A journey.
    Journey,
    /// A segment of customers.
    Segment,
    /// A template.
    Template,
    /// How messages are treated.
    Messaging,
    /// Pause, resume or stop of a journey: a record without a text, whose status says which.
    Control,
}

/// A definition, read and checked by itself.
#[derive(Clone, Debug, PartialEq)]
pub enum Definition {
    /// A journey.
    Journey(Journey),
    /// A segment of customers.
    Segment(Box<Segment>),
    /// A template.
    Template(Template),
    /// How messages are treated.
    Messaging(Messaging),
    /// Pause, resume or stop; the record's status says which.
    Control,
}

/// One definition, ready for the definitions topic.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// What it defines.
    pub kind: Kind,
    /// Its name.
    pub name: Arc<str>,
    /// Its version.
    pub version: i32,
    /// Hex SHA-256 of the body.
    pub digest: String,
    /// Its text, complete in itself: [`parse_document`] reads it again.
    pub body: String,
    /// What it says.
    pub definition: Definition,
    /// The file that it came from.
    pub file: Arc<str>,
    /// Where it begins there.
    pub at: Position,
}

/// Kinds that the design names and a later version has.
const LATER_KINDS: &[&str] = &["reward", "experiment", "model", "score"];
const KINDS: &[&str] = &["journey", "segment", "template", "messaging"];

impl Kind {
    /// Its word, as in the record and its key.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Journey => "journey",
            Self::Segment => "segment",
            Self::Template => "template",
            Self::Messaging => "messaging",
            Self::Control => "control",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Journey, Self::Segment, Self::Template, Self::Messaging, Self::Control]
            .into_iter()
            .find(|kind| kind.name() == text)
            .ok_or_else(|| format!("there is no kind of definition `{text}`"))
    }
}

impl Document {
    /// The key of its record: `kind/name/version`.
    pub fn key(&self) -> String {
        record_key(self.kind, &self.name, self.version)
    }
}

/// What the key of a definition's record says: kind, name and version. None for what is no such key; no kind for one that this
/// version does not know.
pub fn parse_record_key(key: &str) -> Option<(Option<Kind>, &str, i32)> {
    let (kind, rest) = key.split_once('/')?;
    let (name, version) = rest.rsplit_once('/')?;
    Some((kind.parse().ok(), name, version.parse().ok()?))
}

/// The key of a definition's record.
pub fn record_key(kind: Kind, name: &str, version: i32) -> String {
    format!("{kind}/{name}/{version}")
}

/// Hex SHA-256 of a body.
pub fn digest(body: &str) -> String {
    Sha256::digest(body.as_bytes()).iter().fold(String::with_capacity(64), |mut hex, byte| {
        // Writing to a String can't fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// Reads the body of a definition's record. Names of other documents are not looked up: that was done when it was
/// applied. The diagnostics' file is the record's key.
pub fn parse_document(kind: Kind, name: &str, body: &str) -> Result<Definition, Vec<Diagnostic>> {
    if kind == Kind::Control {
        return Ok(Definition::Control);
    }
    let file = format!("{kind}/{name}");
    let mut report = Report::new(&file, body);
    let documents = yaml::parse(&mut report);
    let mut found = Vec::new();
    for document in &documents {
        found.extend(definition(&document.root, &|_| None, &mut report));
    }
    if documents.len() != 1 && !report.has_errors() {
        report.error(Position::START, format!("one document is expected, not {}", documents.len()));
    }
    match found.pop() {
        Some(definition) if !report.has_errors() => {
            if definition.kind() == kind && definition.name().is_none_or(|own| own == name) {
                return Ok(definition);
            }
            report.error(Position::START, format!("this is not the {kind} `{name}` that the record's key names"));
        }
        _ => {}
    }
    let mut diagnostics = report.into_diagnostics();
    diagnostics.retain(|diagnostic| diagnostic.severity == Severity::Error);
    Err(diagnostics)
}

impl Definition {
    /// What it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Journey(_) => Kind::Journey,
            Self::Segment(_) => Kind::Segment,
            Self::Template(_) => Kind::Template,
            Self::Messaging(_) => Kind::Messaging,
            Self::Control => Kind::Control,
        }
    }

    /// Its name, where its text says it.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Journey(journey) => Some(&journey.name),
            Self::Segment(segment) => Some(&segment.name),
            Self::Template(template) => Some(&template.name),
            Self::Messaging(messaging) => Some(&messaging.name),
            Self::Control => None,
        }
    }

    /// Its version, where its text says it.
    pub fn version(&self) -> i32 {
        match self {
            Self::Journey(journey) => journey.version,
            Self::Segment(segment) => segment.version,
            Self::Template(template) => template.version,
            Self::Messaging(messaging) => messaging.version,
            Self::Control => 0,
        }
    }
}

/// Reads one document of any kind; what is wrong is in the report.
pub(crate) fn definition(root: &Node, attachments: Attachments<'_>, report: &mut Report<'_>) -> Option<Definition> {
    let Content::Map(entries) = &root.content else {
        report.error(root.at, format!("a definition is a map of keys and values, not {}", root.kind()));
        return None;
    };
    let has = |name: &str| entries.iter().any(|(key, _)| key.name == name);
    if has("journey") {
        return journey(root, report).map(Definition::Journey);
    }
    if has("segment") {
        return segment(root, report).map(|segment| Definition::Segment(Box::new(segment)));
    }
    if has("template") {
        return template(root, attachments, report).map(Definition::Template);
    }
    if has("messaging") {
        return messaging(root, report).map(Definition::Messaging);
    }
    let Some((first, _)) = entries.first() else {
        report.error(root.at, "this document says nothing");
        return None;
    };
    if LATER_KINDS.contains(&first.name.as_str()) {
        report.error(first.at, format!("a definition of kind `{}` {LATER}", first.name));
        return None;
    }
    let help = suggest::help(&first.name, KINDS.iter().copied()).unwrap_or_default();
    report.error_with_help(first.at, format!("there is no kind of definition `{}`", first.name), help);
    None
}
