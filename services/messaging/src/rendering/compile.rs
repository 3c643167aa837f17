//! A template's texts, compiled; with what is wrong told by line and column.

use domain::Locale;
use liquid_core::runtime::Template as Liquid;

use super::escape::Part;
use super::language::language;

/// A range in a loop has numbers in it, and no greater ones.
const MAX_RANGE_END: u32 = 1_000;
/// Blocks lie no deeper in each other.
const MAX_DEPTH: usize = 40;

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
struct Mistake {
    line: usize,
    column: usize,
    message: String,
}

fn liquid(source: &str, part: Part) -> Result<Liquid, Mistake> {
    check_tags(source)?;
    liquid_core::parser::parse(source, language(part)).map(Liquid::new).map_err(|error| mistake(&error.to_string()))
}

/// What the parser says: `liquid: --> 3:14`, some lines that show the place, and ` = expected …`.
fn mistake(said: &str) -> Mistake {
    let place = said.split_once("--> ").and_then(|(_, rest)| {
        let (line, rest) = rest.split_once(':')?;
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        Some((line.parse().ok()?, rest[..digits].parse().ok()?))
    });
    let (line, column) = place.unwrap_or((1, 1));
    let expected = said.lines().find_map(|line| line.trim().strip_prefix("= "));
    let plain = said.lines().next().unwrap_or(said).trim_start_matches("liquid:").trim();
    let detail = said.lines().skip(1).map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ");
    let message = match expected {
        Some(expected) => expected.to_owned(),
        None if detail.is_empty() => plain.to_owned(),
        None => format!("{plain} ({detail})"),
    };
    Mistake { line, column, message }
}

/// What the parser lets through, though it could take memory or the stack without end: ranges whose ends are not written
/// as small numbers, and blocks too deep in each other.
fn check_tags(source: &str) -> Result<(), Mistake> {
    let mut depth = 0_usize;
    let mut from = 0;
    while let Some(start) = source[from..].find("{%").map(|at| from + at) {
        let end = source[start..].find("%}").map_or(source.len(), |at| start + at);
        let tag = source[start + 2..end].trim_matches(['-', ' ', '\t', '\r', '\n']);
        let word = tag.split_whitespace().next().unwrap_or_default();
        let refuse = |message: String| {
            let before = &source[..start];
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            Err(Mistake { line, column, message })
        };
        if matches!(word, "if" | "unless" | "for" | "tablerow" | "case" | "capture" | "ifchanged" | "comment" | "raw") {
            depth += 1;
        } else if word.starts_with("end") {
            depth = depth.saturating_sub(1);
        }
        if depth > MAX_DEPTH {
            return refuse(format!("blocks are nested more than {MAX_DEPTH} deep"));
        }
        if matches!(word, "for" | "tablerow") && tag.contains("..") && !has_small_range(tag) {
            return refuse(format!("a range is written with numbers, up to {MAX_RANGE_END}: `(1..5)`"));
        }
        from = (end + 2).min(source.len());
    }
    Ok(())
}

fn has_small_range(tag: &str) -> bool {
    let ends =
        tag.split_once('(').and_then(|(_, rest)| rest.split_once(')')).and_then(|(range, _)| range.split_once(".."));
    ends.is_some_and(|(first, last)| {
        [first, last].iter().all(|end| end.trim().parse::<u32>().is_ok_and(|number| number <= MAX_RANGE_END))
    })
}
