//! A `template:` document: what a message says, in the languages that it is written in.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::Locale;
use serde_json::json;

use crate::diagnostic::{Origin, Position, Report};
use crate::fields::Fields;
use crate::parse_journey::version;
use crate::values::{boolean, name, phrase, shortened, text};
use crate::yaml::Node;

/// The longest body.
const MAX_BODY_BYTES: usize = 200 * 1024;
const MAX_LINE_BYTES: usize = 998;

/// A template in one of its versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// Its name.
    pub name: Arc<str>,
    /// Its version; the newest is used.
    pub version: i32,
    /// Who the message comes from, unless a language says otherwise.
    pub from_name: Option<Arc<str>>,
    /// What may be told of those who read it.
    pub tracking: Tracking,
    /// Its texts; at least one language.
    pub texts: BTreeMap<Locale, TemplateText>,
}

/// What may be told of those who read a message, as far as the installation tells it at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tracking {
    /// That it was opened.
    pub opens: bool,
    /// That a link in it was followed.
    pub clicks: bool,
}

impl Default for Tracking {
    fn default() -> Self {
        Self { opens: true, clicks: true }
    }
}

/// A template in one language. All three texts are Liquid; the body is MJML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateText {
    /// Who the message comes from.
    pub from_name: Option<Arc<str>>,
    /// The subject.
    pub subject: Arc<str>,
    /// What mail programs show after the subject.
    pub preheader: Option<Arc<str>>,
    /// The body.
    pub body: Arc<str>,
    /// Where the subject begins in its file: for the messages of whoever compiles it.
    pub subject_at: Origin,
    /// Where the body's first line is: in `body_file` if there is one, else in the document's file.
    pub body_at: Origin,
    /// The file that the body was in, if it was not written in the document.
    pub body_file: Option<Arc<str>>,
}

impl Template {
    /// The texts in the language of the tag, else in English, else in any.
    pub fn text(&self, locale: Option<Locale>) -> Option<(Locale, &TemplateText)> {
        [locale, Some(Locale::En)]
            .into_iter()
            .flatten()
            .find_map(|locale| Some((locale, self.texts.get(&locale)?)))
            .or_else(|| self.texts.iter().next().map(|(locale, text)| (*locale, text)))
    }

    /// The document as one text, with the bodies that lay in files of their own.
    pub(crate) fn to_document(&self) -> String {
        let mut document = serde_json::Map::new();
        document.insert("template".to_owned(), json!(&*self.name));
        document.insert("version".to_owned(), json!(self.version));
        document.extend(self.from_name.iter().map(|name| ("from_name".to_owned(), json!(&**name))));
        if self.tracking != Tracking::default() {
            let Tracking { opens, clicks } = self.tracking;
            document.insert("tracking".to_owned(), json!({ "opens": opens, "clicks": clicks }));
        }
        for (locale, text) in &self.texts {
            let mut fields = serde_json::Map::new();
            fields.insert("subject".to_owned(), json!(&*text.subject));
            fields.extend(text.preheader.iter().map(|preheader| ("preheader".to_owned(), json!(&**preheader))));
            fields.extend(text.from_name.iter().map(|name| ("from_name".to_owned(), json!(&**name))));
            fields.insert("body".to_owned(), json!(&*text.body));
            document.insert(locale.tag().to_owned(), fields.into());
        }
        serde_json::Value::Object(document).to_string()
    }
}

/// The text of another file of the definitions, by its path beside the document.
pub(crate) type Attachments<'a> = &'a dyn Fn(&str) -> Option<(String, &'a str)>;

/// Reads a template; none if anything in it is wrong.
pub(crate) fn template(node: &Node, attachments: Attachments<'_>, report: &mut Report<'_>) -> Option<Template> {
    let mut fields = Fields::of(node, "a template", report)?.later(&["sms", "push", "whatsapp", "gpt", "discount"]);
    let template_name = fields.require("template", report).and_then(|node| name(node, "a template", report));
    let version = version(&mut fields, report);
    let from_name = line(&mut fields, "from_name", report);
    let tracking = fields.take("tracking").map_or(Some(Tracking::default()), |node| tracking(node, report));
    let mut texts = BTreeMap::new();
    let mut sound = true;
    for (locale, key) in [(Locale::En, "en"), (Locale::Es, "es")] {
        if let Some(node) = fields.take(key) {
            match template_text(node, attachments, report) {
                Some(text) => drop(texts.insert(locale, text)),
                None => sound = false,
            }
        }
    }
    if texts.is_empty() && sound {
        report.error_with_help(fields.at, "a template needs a text in at least one language", "add `es:` or `en:`");
    }
    fields.finish(report);
    (!texts.is_empty()).then_some(Template {
        name: template_name?,
        version: version?,
        from_name: from_name.ok()?,
        tracking: tracking?,
        texts,
    })
}

fn tracking(node: &Node, report: &mut Report<'_>) -> Option<Tracking> {
    let mut fields = Fields::of(node, "`tracking`", report)?;
    let opens = fields.take("opens").map_or(Some(true), |node| boolean(node, "`opens`", report));
    let clicks = fields.take("clicks").map_or(Some(true), |node| boolean(node, "`clicks`", report));
    fields.finish(report);
    Some(Tracking { opens: opens?, clicks: clicks? })
}

fn template_text(node: &Node, attachments: Attachments<'_>, report: &mut Report<'_>) -> Option<TemplateText> {
    let mut fields = Fields::of(node, "a language of a template", report)?;
    let subject_at = fields.require("subject", report).map(|node| (node.at, one_line(node, "`subject`", report)));
    let preheader = line(&mut fields, "preheader", report);
    let from_name = line(&mut fields, "from_name", report);
    let (body, body_file) = (fields.take("body"), fields.take("body_file"));
    let body = match (body, body_file) {
        (Some(body), None) => {
            phrase(body, "`body`", MAX_BODY_BYTES, report).map(|text| (text, crate::values::inside(body, 1, 1), None))
        }
        (None, Some(file)) => attached(file, attachments, report),
        (Some(_), Some(file)) => {
            report.error(file.at, "a text has `body` or `body_file`, not both");
            None
        }
        (None, None) => {
            report.error(fields.at, "a language of a template needs `body` or `body_file`");
            None
        }
    };
    fields.finish(report);
    let (subject_at, subject) = subject_at?;
    let (body, body_at, body_file) = body?;
    Some(TemplateText {
        from_name: from_name.ok()?,
        subject: subject?,
        preheader: preheader.ok()?,
        body,
        subject_at: Origin(subject_at),
        body_at: Origin(body_at),
        body_file,
    })
}

type Body = (Arc<str>, Position, Option<Arc<str>>);

fn attached(node: &Node, attachments: Attachments<'_>, report: &mut Report<'_>) -> Option<Body> {
    let path = text(node, "`body_file`", report)?;
    if path.starts_with('/') || path.contains('\\') || path.split('/').any(|part| part == "..") {
        report.error(node.at, "`body_file` is a path beside this file, without `..`");
        return None;
    }
    let Some((file, body)) = attachments(path) else {
        report.error(node.at, format!("there is no file `{}` beside this one", shortened(path)));
        return None;
    };
    if body.trim().is_empty() || body.len() > MAX_BODY_BYTES {
        report.error(node.at, format!("`{}` is empty or larger than {MAX_BODY_BYTES} bytes", shortened(path)));
        return None;
    }
    Some((body.into(), Position::START, Some(file.into())))
}

/// A text of one line, if it is there.
fn line(fields: &mut Fields<'_>, key: &'static str, report: &mut Report<'_>) -> Result<Option<Arc<str>>, ()> {
    match fields.take(key) {
        Some(node) => one_line(node, &format!("`{key}`"), report).map(Some).ok_or(()),
        None => Ok(None),
    }
}

/// A text that becomes a header of the message: one line, and not longer than a line may be.
fn one_line(node: &Node, what: &str, report: &mut Report<'_>) -> Option<Arc<str>> {
    let text = phrase(node, what, MAX_LINE_BYTES, report)?;
    if text.trim_end().contains(['\n', '\r']) {
        report.error(node.at, format!("{what} is a single line"));
        return None;
    }
    Some(text.trim_end().into())
}
