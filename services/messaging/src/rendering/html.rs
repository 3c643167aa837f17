//! From MJML to HTML, and from HTML to text.

use domain::Locale;
use mrml::prelude::render::RenderOptions;

use super::RenderError;
use super::escape::{self, Part};

/// Elements lie no deeper in each other: readers of markup go down by recursion.
const MAX_DEPTH: usize = 200;
/// How wide the text part is.
const TEXT_COLUMNS: usize = 78;
/// Elements that have no end tag.
const VOID: [&str; 8] = ["br", "hr", "img", "input", "link", "meta", "source", "wbr"];

/// The HTML of an MJML document.
pub(super) fn html(mjml: &str, locale: Locale) -> Result<String, RenderError> {
    if depth(mjml) > MAX_DEPTH {
        return Err(RenderError::TooDeep);
    }
    let parsed = mrml::parse(mjml).map_err(|error| RenderError::Mjml(error.to_string()))?;
    let html =
        parsed.element.render(&RenderOptions::default()).map_err(|error| RenderError::Mjml(error.to_string()))?;
    Ok(html.replacen(r#"lang="und""#, &format!(r#"lang="{}""#, locale.tag()), 2))
}

/// The text that a reader of the HTML would see.
pub(super) fn text(html: &str) -> Result<String, RenderError> {
    let config = html2text::config::plain().no_table_borders().allow_width_overflow().link_footnotes(true);
    let text = config.string_from_read(html.as_bytes(), TEXT_COLUMNS).map_err(|_| RenderError::Text)?;
    let mut lines: Vec<&str> = Vec::new();
    for line in text.lines().map(str::trim_end) {
        // Layout leaves many empty lines; one says as much.
        if !line.is_empty() || lines.last().is_some_and(|last| !last.is_empty()) {
            lines.push(line);
        }
    }
    Ok(lines.join("\n").trim().to_owned())
}

/// Puts what mail programs show after the subject in front of the page, where nobody sees it otherwise.
pub(super) fn with_preheader(html: &str, preheader: &str) -> String {
    let body = html.find("<body").and_then(|body| html[body..].find('>').map(|end| body + end + 1));
    let Some(at) = body else { return html.to_owned() };
    let hidden = "display:none;font-size:1px;line-height:1px;max-height:0;max-width:0;opacity:0;overflow:hidden";
    let preheader = escape::escape(preheader, Part::Html);
    format!(r#"{}<div style="{hidden}">{preheader}</div>{}"#, &html[..at], &html[at..])
}

/// How deep the elements of a document lie in each other, at most; an end tag that is missing counts as deep.
fn depth(markup: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0_usize);
    let mut rest = markup;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        let tag = &rest[..rest.find('>').unwrap_or(rest.len())];
        let name = tag.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').next().unwrap_or_default();
        if tag.starts_with('/') {
            depth = depth.saturating_sub(1);
        } else if !name.is_empty() && !tag.ends_with('/') && !VOID.iter().any(|void| name.eq_ignore_ascii_case(void)) {
            depth += 1;
            deepest = deepest.max(depth);
        }
    }
    deepest
}
