//! Text in HTML and text as it is.

use std::borrow::Cow;

/// Which part of a message a text is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Part {
    /// The HTML body, and what stands in it.
    Html,
    /// A header: plain text.
    Plain,
}

const ENTITIES: [(char, &str); 5] = [('&', "&amp;"), ('<', "&lt;"), ('>', "&gt;"), ('"', "&quot;"), ('\'', "&#39;")];

/// The text with what HTML and MJML would take for markup escaped, inside and outside of attributes. What no page may
/// hold (control characters but for line ends and tabs) is left out in either part.
pub(super) fn escape(text: &str, part: Part) -> Cow<'_, str> {
    let is_banned = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    let is_markup = |c: char| part == Part::Html && ENTITIES.iter().any(|(markup, _)| *markup == c);
    if !text.contains(|c| is_banned(c) || is_markup(c)) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars().filter(|c| !is_banned(*c)) {
        match ENTITIES.iter().find(|(markup, _)| is_markup(c) && *markup == c) {
            Some((_, entity)) => escaped.push_str(entity),
            None => escaped.push(c),
        }
    }
    Cow::Owned(escaped)
}

/// The text as an HTML page may show it, inside and outside of attributes: as messages have it.
pub fn escape_html(text: &str) -> Cow<'_, str> {
    escape(text, Part::Html)
}

/// The text that [`escape`] made this of.
pub(super) fn unescape(escaped: &str) -> String {
    let mut text = String::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some(at) = rest.find('&') {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        let entity = ENTITIES.iter().find(|(_, entity)| rest.starts_with(entity));
        let (c, length) = entity.map_or(('&', 1), |(c, entity)| (*c, entity.len()));
        text.push(c);
        rest = &rest[length..];
    }
    text.push_str(rest);
    text
}

/// The text on one line, as a header may hold it: line ends and what else is no character become a single space.
pub(super) fn one_line(text: &str) -> String {
    let is_break = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    text.split(is_break).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}
