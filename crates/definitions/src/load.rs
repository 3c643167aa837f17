//! Loads a folder of definitions: all files, what it extends, and what they name of each other.
//!
//! Wanted properties:
//! - everything that is wrong is told at once, each with its file, line and column;
//! - what is loaded is consistent: every template, category and segment that a journey names is there, and every name is
//!   one definition's;
//! - the order of the files plays no part.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Position, Report, Severity};
use crate::document::{Definition, Document, Kind, definition, digest};
use crate::fields::Fields;
use crate::journey::{Action, Journey, MessageStep, Trigger};
use crate::messaging::Messaging;
use crate::segment::Segment;
use crate::suggest;
use crate::template::Template;
use crate::values::{name, phrase};
use crate::yaml::{self, Content, RawDocument};

/// The file of a folder that names the preset which it extends.
pub const PRESET_FILE: &str = "preset.yaml";
const MAX_FILES: usize = 2_000;
const MAX_EXTENDS: usize = 8;
/// Each of them is judged at each event of a customer.
const MAX_SEGMENTS: usize = 200;
/// At most so many dates are waited for, by all journeys together.
pub const MAX_DATES: usize = 32;
/// At most so many journeys and segments let in who is there already.
pub const MAX_EXISTING: usize = 32;

/// A file: its path as it is shown to people, and its text. Paths have `/` between their parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// The path.
    pub path: String,
    /// The text.
    pub text: String,
}

/// A directory of definitions: `*.yaml` and `*.yml`, and the files that templates name by `body_file`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folder {
    /// Its name: what `extends` calls it by.
    pub name: String,
    /// Its files.
    pub files: Vec<SourceFile>,
}

/// A consistent set of definitions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Definitions {
    /// All documents, by kind, name and version.
    pub documents: Vec<Document>,
    /// What is probably not what was meant.
    pub warnings: Vec<Diagnostic>,
}

impl Definitions {
    /// The journeys.
    pub fn journeys(&self) -> impl Iterator<Item = &Journey> {
        self.documents.iter().filter_map(|document| match &document.definition {
            Definition::Journey(journey) => Some(journey),
            _ => None,
        })
    }

    /// The segments.
    pub fn segments(&self) -> impl Iterator<Item = &Segment> {
        self.documents.iter().filter_map(|document| match &document.definition {
            Definition::Segment(segment) => Some(&**segment),
            _ => None,
        })
    }

    /// The templates.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        self.documents.iter().filter_map(|document| match &document.definition {
            Definition::Template(template) => Some(template),
            _ => None,
        })
    }

    /// How messages are treated.
    pub fn messaging(&self) -> Option<&Messaging> {
        self.documents.iter().find_map(|document| match &document.definition {
            Definition::Messaging(messaging) => Some(messaging),
            _ => None,
        })
    }
}

/// Loads `folder`. `presets` finds the folder that `extends` names (a neighbour, or one that is built in).
pub fn load(folder: &Folder, presets: &dyn Fn(&str) -> Option<Folder>) -> Result<Definitions, Vec<Diagnostic>> {
    let mut load = Load { presets, diagnostics: Vec::new(), declared: BTreeSet::new() };
    let documents = load.chain(folder);
    load.cross_check(&documents);
    let Load { mut diagnostics, .. } = load;
    diagnostics.sort_by(|left, right| {
        (&left.file, left.line, left.column, &left.message).cmp(&(
            &right.file,
            right.line,
            right.column,
            &right.message,
        ))
    });
    diagnostics.dedup();
    if diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error) {
        return Err(diagnostics);
    }
    Ok(Definitions { documents: documents.into_values().collect(), warnings: diagnostics })
}

type Documents = BTreeMap<(Kind, Arc<str>, i32), Document>;

struct Load<'p> {
    presets: &'p dyn Fn(&str) -> Option<Folder>,
    diagnostics: Vec<Diagnostic>,
    /// Every name that a document says it has.
    declared: BTreeSet<(Kind, String)>,
}

/// `extends: basic`, and where it says so.
struct Extends {
    name: Arc<str>,
    file: String,
    at: Position,
}

impl Load<'_> {
    fn error(&mut self, file: &str, at: Position, message: String, help: Option<String>) {
        let Position { line, column } = at;
        let severity = Severity::Error;
        self.diagnostics.push(Diagnostic { file: file.to_owned(), line, column, severity, message, help });
    }

    /// The folder's documents and those of what it extends; the nearer one replaces the farther one of the same name.
    fn chain(&mut self, folder: &Folder) -> Documents {
        let (mut documents, mut extends) = self.folder(folder);
        let mut seen = vec![folder.name.clone()];
        while let Some(Extends { name, file, at }) = extends.take() {
            if seen.iter().any(|seen| **seen == *name) {
                let message = format!("`extends` goes in a circle: {} → {name}", seen.join(" → "));
                self.error(&file, at, message, None);
                break;
            }
            if seen.len() >= MAX_EXTENDS {
                self.error(&file, at, format!("`extends` goes on for more than {MAX_EXTENDS} folders"), None);
                break;
            }
            let Some(base) = (self.presets)(&name) else {
                let help =
                    "put a folder of that name beside this one, or use a preset that comes with Vuelve".to_owned();
                self.error(&file, at, format!("there is no preset `{name}`"), Some(help));
                break;
            };
            seen.push(name.to_string());
            let (inherited, further) = self.folder(&base);
            let own: Vec<(Kind, Arc<str>)> =
                documents.keys().map(|(kind, name, _)| (*kind, Arc::clone(name))).collect();
            let has_messaging = own.iter().any(|(kind, _)| *kind == Kind::Messaging);
            for (key, document) in inherited {
                let replaced = own.iter().any(|(kind, name)| *kind == key.0 && *name == key.1)
                    || (key.0 == Kind::Messaging && has_messaging);
                if !replaced {
                    documents.insert(key, document);
                }
            }
            extends = further;
        }
        documents
    }

    fn folder(&mut self, folder: &Folder) -> (Documents, Option<Extends>) {
        let mut documents = Documents::new();
        let mut extends = None;
        if folder.files.len() > MAX_FILES {
            self.error(&folder.name, Position::START, format!("more than {MAX_FILES} files"), None);
            return (documents, extends);
        }
        let mut files: Vec<&SourceFile> = folder.files.iter().filter(|file| is_yaml(&file.path)).collect();
        files.sort_by(|left, right| left.path.cmp(&right.path));
        for file in files {
            let mut report = Report::new(&file.path, &file.text);
            let raw = yaml::parse(&mut report);
            if base_name(&file.path) == PRESET_FILE {
                extends = preset(&raw, &mut report).or(extends);
            } else {
                for raw in &raw {
                    self.read(raw, file, folder, &mut documents, &mut report);
                }
            }
            self.diagnostics.extend(report.into_diagnostics());
        }
        let has_errors = self.diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error);
        if documents.is_empty() && extends.is_none() && !has_errors {
            let help = "journeys, segments, templates and messaging settings are files ending in .yaml".to_owned();
            self.error(&folder.name, Position::START, "there are no definitions here".to_owned(), Some(help));
        }
        (documents, extends)
    }

    /// What documents name of each other.
    fn cross_check(&mut self, documents: &Documents) {
        let messaging: Vec<&Document> =
            documents.values().filter(|document| document.kind == Kind::Messaging).collect();
        if let [first, second, ..] = messaging[..] {
            let message = format!("messaging is set here and in {}:{}", first.file, first.at.line);
            self.error(&second.file, second.at, message, Some("keep one `messaging:` document".to_owned()));
        }
        self.check_segments(documents);
        self.check_occasions(documents);
        for document in documents.values() {
            let Definition::Journey(journey) = &document.definition else { continue };
            self.check_segment_names(document, journey);
            for step in journey.all_steps() {
                let Action::Message(message) = &step.action else { continue };
                self.check_template(document, message);
                self.check_category(document, message, &messaging);
            }
        }
    }

    /// How many segments there are, and that of each group it is known which wins.
    fn check_segments(&mut self, documents: &Documents) {
        let segments = documents.values().filter_map(|document| match &document.definition {
            Definition::Segment(segment) => Some((document, segment)),
            _ => None,
        });
        let mut of_rank: BTreeMap<(&str, i32), &Document> = BTreeMap::new();
        for (index, (document, segment)) in segments.enumerate() {
            if index == MAX_SEGMENTS {
                let message = format!("there are more than {MAX_SEGMENTS} segments");
                self.error(&document.file, document.at, message, None);
            }
            let Some(group) = &segment.group else { continue };
            let Some(other) = of_rank.insert((group, segment.priority), document) else { continue };
            let message = format!(
                "the segment `{}` has priority {} in the group `{group}`, and so has `{}` in {}:{}",
                segment.name, segment.priority, other.name, other.file, other.at.line
            );
            let help = "give one of them another `priority`: the highest of a group wins".to_owned();
            self.error(&document.file, document.at, message, Some(help));
        }
    }

    /// Segmentation keeps each date and each turn that there may be with each customer.
    fn check_occasions(&mut self, documents: &Documents) {
        let (mut dates, mut existing) = (0, 0);
        for document in documents.values() {
            let Definition::Journey(journey) = &document.definition else { continue };
            for trigger in &journey.triggers {
                let (count, limit, what) = match trigger {
                    Trigger::Date(_) => (&mut dates, MAX_DATES, "dates that journeys wait for"),
                    Trigger::Entered { existing_per_hour: Some(_), .. } => {
                        (&mut existing, MAX_EXISTING, "triggers with `existing`")
                    }
                    Trigger::Event(_) | Trigger::Entered { .. } | Trigger::Left(_) => continue,
                };
                *count += 1;
                if *count == limit + 1 {
                    self.error(&document.file, document.at, format!("there are more than {limit} {what}"), None);
                }
            }
        }
    }

    fn check_segment_names(&mut self, document: &Document, journey: &Journey) {
        let segments: Vec<&str> = self.declared_names(Kind::Segment).collect();
        let unknown = journey.segments().into_iter().filter(|segment| !segments.contains(&&*segment.name));
        let errors: Vec<_> = unknown
            .map(|segment| {
                let help = suggest::help(&segment.name, segments.iter().copied());
                (segment.at.0, format!("there is no segment `{}`", segment.name), help)
            })
            .collect();
        for (at, message, help) in errors {
            self.error(&document.file, at, message, help);
        }
    }

    fn check_template(&mut self, document: &Document, message: &MessageStep) {
        let templates: Vec<&str> = self.declared_names(Kind::Template).collect();
        if !templates.contains(&&*message.template) {
            let help = suggest::help(&message.template, templates);
            let text = format!("there is no template `{}`", message.template);
            self.error(&document.file, message.template_at.0, text, help);
        }
    }

    fn check_category(&mut self, document: &Document, message: &MessageStep, messaging: &[&Document]) {
        if messaging.is_empty() && self.declared_names(Kind::Messaging).next().is_some() {
            // It is there, but could not be read: that is what has to be mended first.
            return;
        }
        let categories: Vec<&str> = messaging
            .iter()
            .filter_map(|document| match &document.definition {
                Definition::Messaging(messaging) => Some(messaging.categories.keys().map(|name| &**name)),
                _ => None,
            })
            .flatten()
            .collect();
        if !categories.contains(&&*message.category) {
            let help = if messaging.is_empty() {
                Some("categories are defined by a `messaging:` document, and there is none".to_owned())
            } else {
                suggest::help(&message.category, categories)
            };
            let text = format!("there is no category `{}`", message.category);
            self.error(&document.file, message.category_at.0, text, help);
        }
    }

    fn declared_names(&self, kind: Kind) -> impl Iterator<Item = &str> {
        self.declared.iter().filter(move |(declared, _)| *declared == kind).map(|(_, name)| name.as_str())
    }

    /// Reads one document and puts it with the others.
    fn read(
        &mut self,
        raw: &RawDocument,
        file: &SourceFile,
        folder: &Folder,
        documents: &mut Documents,
        report: &mut Report<'_>,
    ) {
        self.declare(raw);
        let directory = file.path.strip_suffix(base_name(&file.path)).unwrap_or_default();
        let attachments = |path: &str| {
            let path = format!("{directory}{path}");
            folder.files.iter().find(|file| file.path == path).map(|file| (path, file.text.as_str()))
        };
        let Some(definition) = definition(&raw.root, &attachments, report) else { return };
        let (kind, version) = (definition.kind(), definition.version());
        let Some(name) = definition.name().map(Arc::from) else { return };
        let key: (Kind, Arc<str>, i32) = (kind, name, version);
        // A journey may be kept in several versions; of anything else, the newest alone counts.
        let earlier = documents.iter().find(|((other_kind, other_name, other_version), _)| {
            *other_kind == kind && *other_name == key.1 && (kind != Kind::Journey || *other_version == version)
        });
        if let Some((_, earlier)) = earlier {
            let message = format!("the {kind} `{}` is also in {}:{}", key.1, earlier.file, earlier.at.line);
            report.error(raw.root.at, message);
            return;
        }
        let body = match &definition {
            Definition::Template(template) if template.texts.values().any(|text| text.body_file.is_some()) => {
                template.to_document()
            }
            _ => {
                file.text.get(raw.range.clone()).unwrap_or_default().trim_end().trim_start_matches('\n').to_owned()
                    + "\n"
            }
        };
        documents.insert(
            key.clone(),
            Document {
                kind,
                name: key.1,
                version,
                digest: digest(&body),
                body,
                definition,
                file: file.path.as_str().into(),
                at: raw.root.at,
            },
        );
    }

    /// Notes the name of a document, even of one that can't be read: what names it is not wrong.
    fn declare(&mut self, raw: &RawDocument) {
        let Content::Map(entries) = &raw.root.content else { return };
        for kind in [Kind::Journey, Kind::Segment, Kind::Template, Kind::Messaging] {
            let name = entries.iter().find(|(key, _)| key.name == kind.name()).and_then(|(_, value)| value.text());
            self.declared.extend(name.map(|name| (kind, name.to_owned())));
        }
    }
}

/// `preset.yaml`: what this folder is called and what it extends.
fn preset(documents: &[RawDocument], report: &mut Report<'_>) -> Option<Extends> {
    let document = documents.first()?;
    let mut fields = Fields::of(&document.root, "a preset", report)?;
    if let Some(node) = fields.take("preset") {
        name(node, "a preset", report);
    }
    if let Some(node) = fields.take("description") {
        phrase(node, "`description`", 2_000, report);
    }
    let extends = fields.take("extends").and_then(|node| {
        Some(Extends { name: name(node, "a preset", report)?, file: report.file.to_owned(), at: node.at })
    });
    fields.finish(report);
    extends
}

fn is_yaml(path: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(_, extension)| matches!(extension, "yaml" | "yml"))
}

fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
