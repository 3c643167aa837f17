//! The Liquid that templates are written in: the standard tags and filters, without includes, counters (`cycle`,
//! `increment`), `tablerow`, `ifchanged` and `raw`; each filter within its bounds.
//!
//! In the HTML part texts come escaped. Filters that count or cut characters, or read and write URLs, work on the text as
//! it was and escape what they give; `escape` does nothing twice.

use std::fmt;
use std::sync::LazyLock;

use liquid_core::model::Value;
use liquid_core::parser::{FilterArguments, FilterReflection, ParameterReflection};
use liquid_core::{Filter, Language, ParseBlock, ParseFilter, ParseTag, Runtime, ValueView};
use liquid_lib::stdlib;

use super::blocks::{Capture, Comment};
use super::escape::{self, Part};
use super::filters::Limited;

/// The language of a part of the message.
pub(super) fn language(part: Part) -> &'static Language {
    static HTML: LazyLock<Language> = LazyLock::new(html);
    static PLAIN: LazyLock<Language> = LazyLock::new(standard);
    match part {
        Part::Html => &HTML,
        Part::Plain => &PLAIN,
    }
}

fn html() -> Language {
    let mut language = standard();
    let on_plain_text: [Box<dyn ParseFilter>; 6] = [
        stdlib::Size.into(),
        stdlib::Slice.into(),
        stdlib::Truncate.into(),
        stdlib::TruncateWords.into(),
        stdlib::UrlDecode.into(),
        stdlib::UrlEncode.into(),
    ];
    for filter in on_plain_text {
        register_filter(&mut language, OnPlainText(filter).into());
    }
    for name in ["escape", "escape_once"] {
        language.filters.register(name.to_owned(), Box::new(Limited(stdlib::EscapeOnce.into())));
    }
    language
}

/// In a header nothing is HTML: there `escape` and `escape_once` give the text as it is.
fn standard() -> Language {
    let mut language = Language::empty();
    let blocks: [Box<dyn ParseBlock>; 6] = [
        Box::new(Capture),
        stdlib::CaseBlock.into(),
        Box::new(Comment),
        stdlib::ForBlock.into(),
        stdlib::IfBlock.into(),
        stdlib::UnlessBlock.into(),
    ];
    for block in blocks {
        let name = block.reflection().start_tag().to_owned();
        language.blocks.register(name, block);
    }
    let tags: [Box<dyn ParseTag>; 3] = [stdlib::AssignTag.into(), stdlib::BreakTag.into(), stdlib::ContinueTag.into()];
    for tag in tags {
        let name = tag.reflection().tag().to_owned();
        language.tags.register(name, tag);
    }
    for filter in filters() {
        register_filter(&mut language, filter);
    }
    language
}

fn register_filter(language: &mut Language, filter: Box<dyn ParseFilter>) {
    let name = filter.reflection().name().to_owned();
    language.filters.register(name, Box::new(Limited(filter)));
}

fn filters() -> Vec<Box<dyn ParseFilter>> {
    vec![
        stdlib::Abs.into(),
        stdlib::Append.into(),
        stdlib::AtLeast.into(),
        stdlib::AtMost.into(),
        stdlib::Capitalize.into(),
        stdlib::Ceil.into(),
        stdlib::Compact.into(),
        stdlib::Concat.into(),
        stdlib::Date.into(),
        stdlib::Default.into(),
        stdlib::DividedBy.into(),
        stdlib::Downcase.into(),
        stdlib::First.into(),
        stdlib::Floor.into(),
        stdlib::Join.into(),
        stdlib::Last.into(),
        stdlib::Lstrip.into(),
        stdlib::Map.into(),
        stdlib::Minus.into(),
        stdlib::Modulo.into(),
        stdlib::NewlineToBr.into(),
        stdlib::Plus.into(),
        stdlib::Prepend.into(),
        stdlib::Remove.into(),
        stdlib::RemoveFirst.into(),
        stdlib::Replace.into(),
        stdlib::ReplaceFirst.into(),
        stdlib::Reverse.into(),
        stdlib::Round.into(),
        stdlib::Rstrip.into(),
        stdlib::Size.into(),
        stdlib::Slice.into(),
        stdlib::Sort.into(),
        stdlib::SortNatural.into(),
        stdlib::Split.into(),
        stdlib::Strip.into(),
        stdlib::StripHtml.into(),
        stdlib::StripNewlines.into(),
        stdlib::Times.into(),
        stdlib::Truncate.into(),
        stdlib::TruncateWords.into(),
        stdlib::Uniq.into(),
        stdlib::Upcase.into(),
        stdlib::UrlDecode.into(),
        stdlib::UrlEncode.into(),
        stdlib::Where.into(),
        Same("escape").into(),
        Same("escape_once").into(),
    ]
}

/// A filter that gives what it gets.
#[derive(Clone, Copy, Debug)]
struct Same(&'static str);

impl FilterReflection for Same {
    fn name(&self) -> &str {
        self.0
    }

    fn description(&self) -> &'static str {
        "Gives what it gets: nothing is HTML here."
    }

    fn positional_parameters(&self) -> &'static [ParameterReflection] {
        &[]
    }

    fn keyword_parameters(&self) -> &'static [ParameterReflection] {
        &[]
    }
}

impl ParseFilter for Same {
    fn parse(&self, _arguments: FilterArguments<'_>) -> liquid_core::Result<Box<dyn Filter>> {
        Ok(Box::new(*self))
    }

    fn reflection(&self) -> &dyn FilterReflection {
        self
    }
}

impl fmt::Display for Same {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Filter for Same {
    fn evaluate(&self, input: &dyn ValueView, _runtime: &dyn Runtime) -> liquid_core::Result<Value> {
        Ok(input.to_value())
    }
}

/// A filter that works on the text as it was before it was escaped.
#[derive(Clone)]
struct OnPlainText(Box<dyn ParseFilter>);

impl ParseFilter for OnPlainText {
    fn parse(&self, arguments: FilterArguments<'_>) -> liquid_core::Result<Box<dyn Filter>> {
        self.0.parse(arguments).map(|filter| Box::new(PlainTextFilter(filter)) as Box<dyn Filter>)
    }

    fn reflection(&self) -> &dyn FilterReflection {
        self.0.reflection()
    }
}

#[derive(Debug)]
struct PlainTextFilter(Box<dyn Filter>);

impl fmt::Display for PlainTextFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Filter for PlainTextFilter {
    fn evaluate(&self, input: &dyn ValueView, runtime: &dyn Runtime) -> liquid_core::Result<Value> {
        if !input.is_scalar() {
            return self.0.evaluate(input, runtime);
        }
        let plain = Value::scalar(escape::unescape(&input.to_kstr()));
        let output = self.0.evaluate(&plain, runtime)?;
        Ok(match &output {
            Value::Scalar(text) if text.type_name() == "string" => {
                Value::scalar(escape::escape(&text.to_kstr(), Part::Html).into_owned())
            }
            _ => output,
        })
    }
}
