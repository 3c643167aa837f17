//! A template's texts, compiled; with what is wrong told by line and column.

use domain::Locale;
use liquid_core::Renderable;
use liquid_core::runtime::Template as Liquid;

use super::escape::Part;
use super::language::language;
use super::tags::{self, Tag};
use super::unless_it_panics;

/// A template in one language, ready to be rendered.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) locale: Locale,
    pub(super) subject: Liquid,
    pub(super) preheader: Option<Liquid>,
    pub(super) body: Liquid,
}

/// What is wrong with a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}, {text}, line {line}, column {column}: {message}", locale.tag())]
pub struct Problem {
    /// In which language.
    pub locale: Locale,
    /// In which of its texts.
    pub text: Text,
    /// The line within the text, from 1.
    pub line: usize,
    /// The column, from 1.
    pub column: usize,
    /// What, and what to do.
    pub message: String,
}

/// One of a template's texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Text {
    /// The subject.
    Subject,
    /// What mail programs show after the subject.
    Preheader,
    /// The body.
    Body,
}

impl Text {
    /// Its key in a template's file.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Subject => "subject",
            Self::Preheader => "preheader",
            Self::Body => "body",
        }
    }
}

impl std::fmt::Display for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Subject => "subject",
            Self::Preheader => "preheader",
            Self::Body => "body",
        })
    }
}

impl Compiled {
    /// Compiles the texts of a language.
    pub(super) fn new(locale: Locale, texts: &definitions::TemplateText) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut one = |text: Text, part: Part, source: &str| match liquid(source, part) {
            Ok(compiled) => Some(compiled),
            Err(Mistake { line, column, message }) => {
                problems.push(Problem { locale, text, line, column, message });
                None
            }
        };
        let subject = one(Text::Subject, Part::Plain, &texts.subject);
        let preheader = texts.preheader.as_deref().map(|source| one(Text::Preheader, Part::Plain, source));
        let body = one(Text::Body, Part::Html, &texts.body);
        match (subject, preheader, body) {
            (Some(subject), None, Some(body)) => Ok(Self { locale, subject, preheader: None, body }),
            (Some(subject), Some(Some(preheader)), Some(body)) => {
                Ok(Self { locale, subject, preheader: Some(preheader), body })
            }
            _ => Err(problems),
        }
    }
}

/// A mistake in a text.
#[derive(Debug)]
pub(super) struct Mistake {
    line: usize,
    column: usize,
    message: String,
}

impl Mistake {
    /// A mistake at a byte of the text.
    pub(super) fn at(text: &str, byte: usize, message: impl Into<String>) -> Self {
        let before = &text[..byte];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Self { line, column, message: message.into() }
    }
}

fn liquid(source: &str, part: Part) -> Result<Liquid, Mistake> {
    let tags = tags::check(source)?;
    parsed(source, part).map(Liquid::new).map_err(|said| {
        let message = message(&said);
        match place(&said) {
            Some((line, column)) => Mistake { line, column, message },
            None => Mistake::at(source, first_wrong(&tags, part).map_or(0, |tag| tag.start), message),
        }
    })
}

fn parsed(source: &str, part: Part) -> Result<Vec<Box<dyn Renderable>>, String> {
    let parsed = unless_it_panics(|| liquid_core::parser::parse(source, language(part)));
    parsed.map_or_else(|| Err("this can't be read".to_owned()), |parsed| parsed.map_err(|error| error.to_string()))
}

/// The parser does not say where a filter is wrong: the first tag that is wrong on its own is the place.
fn first_wrong<'a, 't>(tags: &'a [Tag<'t>], part: Part) -> Option<&'a Tag<'t>> {
    let stands_alone = |tag: &&Tag<'_>| tag.is_output() || tag.word() == "assign";
    tags.iter().filter(stands_alone).find(|tag| parsed(tag.source, part).is_err())
}

/// What Liquid says begins with `liquid: --> 3:14` if it knows the place.
fn place(said: &str) -> Option<(usize, usize)> {
    let (_, rest) = said.split_once("--> ")?;
    let (line, rest) = rest.split_once(':')?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    Some((line.parse().ok()?, rest[..digits].parse().ok()?))
}

/// What Liquid says, on one line: ` = expected …` if that is there, else what there is.
pub(super) fn message(said: &str) -> String {
    if let Some(expected) = said.lines().find_map(|line| line.trim().strip_prefix("= ")) {
        return expected.to_owned();
    }
    let plain = said.lines().next().unwrap_or(said).trim_start_matches("liquid:").trim();
    let detail = said.lines().skip(1).map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ");
    if detail.is_empty() { plain.to_owned() } else { format!("{plain} ({detail})") }
}
