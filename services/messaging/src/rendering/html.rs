//! From MJML to HTML, and from HTML to text.

use domain::Locale;
use mrml::prelude::render::RenderOptions;

use super::RenderError;
use super::escape::{self, Part};
use super::markup::{Markup, Piece, Pieces, attribute};

/// Elements lie no deeper in each other: readers of markup go down by recursion.
const MAX_DEPTH: usize = 200;
/// More elements of MJML make a page that is too large.
const MAX_MJML_ELEMENTS: usize = 5_000;
/// A carousel has styles for each image with each other.
const MAX_CAROUSEL_IMAGES: usize = 50;
/// Some elements give others their attributes: these, so many times as there are elements that may get them.
const MAX_GIVEN_BYTES: usize = 8 * 1024 * 1024;
/// How wide the text part is.
const TEXT_COLUMNS: usize = 78;
/// Elements that the MJML parser knows to have no end tag.
const VOID: [&str; 14] =
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"];
/// Elements that give what is in them their attributes; what is in `mj-attributes` gives them to all.
const GIVING: [&str; 5] = ["mj-accordion", "mj-accordion-element", "mj-carousel", "mj-navbar", "mj-social"];

/// The HTML of an MJML document.
pub(super) fn html(mjml: &str, locale: Locale) -> Result<String, RenderError> {
    check(mjml)?;
    let parsed = mrml::parse(mjml).map_err(|error| RenderError::Mjml(error.to_string()))?;
    let html =
        parsed.element.render(&RenderOptions::default()).map_err(|error| RenderError::Mjml(error.to_string()))?;
    Ok(html.replacen(r#"lang="und""#, &format!(r#"lang="{}""#, locale.tag()), 2))
}

/// Refuses what the parser would panic on, go too deep into, or make too large a page of.
fn check(mjml: &str) -> Result<(), RenderError> {
    let wrong = |at: usize, why: &str| {
        let line = mjml[..at].matches('\n').count() + 1;
        Err(RenderError::Mjml(format!("{why}, in line {line} of what Liquid makes of the body")))
    };
    let mut open: Vec<&str> = Vec::new();
    let (mut elements, mut images, mut given_bytes) = (0, 0, 0);
    let mut pieces = Pieces::of(mjml, Markup::Mjml);
    loop {
        let at = pieces.position();
        match pieces.next() {
            None => break,
            Some(Err(unreadable)) => return wrong(unreadable.at, unreadable.why),
            // The parser looks two bytes back, and panics if a character begins before them.
            Some(Ok(Piece::Text(text))) => {
                if text.match_indices('>').any(|(at, _)| !text.is_char_boundary(at.saturating_sub(2))) {
                    return wrong(at, "a `>` that ends no tag is written `&gt;`");
                }
            }
            Some(Ok(Piece::End(name))) => {
                if open.pop() != Some(local(name)) {
                    return wrong(at, "an end tag closes what is not open, or not what was opened last");
                }
            }
            Some(Ok(Piece::Start { name, attributes, is_empty })) => {
                let name = local(name);
                elements += usize::from(name.starts_with("mj-"));
                images += usize::from(name == "mj-carousel-image");
                if GIVING.contains(&name) || open.contains(&"mj-attributes") {
                    given_bytes += attributes.len();
                }
                if !is_empty && !VOID.contains(&name) {
                    open.push(name);
                }
                if open.len() > MAX_DEPTH {
                    return Err(RenderError::TooDeep);
                }
            }
        }
    }
    if elements > MAX_MJML_ELEMENTS {
        return wrong(0, &format!("there are more than {MAX_MJML_ELEMENTS} elements of MJML"));
    }
    if images > MAX_CAROUSEL_IMAGES {
        return wrong(0, &format!("there are more than {MAX_CAROUSEL_IMAGES} images in carousels"));
    }
    if elements.saturating_mul(given_bytes) > MAX_GIVEN_BYTES {
        return wrong(0, "the attributes in `mj-attributes`, and of elements that give them to others, are too long");
    }
    Ok(())
}

/// The name without its prefix: the parser looks at nothing else.
fn local(name: &str) -> &str {
    name.rsplit(':').next().unwrap_or(name)
}

/// The text that a reader of the HTML would see.
pub(super) fn text(html: &str) -> Result<String, RenderError> {
    let config = html2text::config::plain().no_table_borders().allow_width_overflow().link_footnotes(true);
    let readable = readable(html);
    let text = config.string_from_read(readable.as_bytes(), TEXT_COLUMNS).map_err(|_| RenderError::Text)?;
    let mut lines: Vec<&str> = Vec::new();
    for line in text.lines().map(str::trim_end) {
        // Layout leaves many empty lines; one says as much.
        if !line.is_empty() || lines.last().is_some_and(|last| !last.is_empty()) {
            lines.push(line);
        }
    }
    Ok(lines.join("\n").trim().to_owned())
}

/// The page with what a text shows, and nothing else: no tables, whose columns take memory by what their attributes say, no
/// styles, and of attributes those of links and images.
fn readable(html: &str) -> String {
    let mut readable = String::with_capacity(html.len());
    let mut pieces = Pieces::of(html, Markup::Html);
    while let Some(Ok(piece)) = pieces.next() {
        match piece {
            Piece::Text(text) => readable.push_str(&text.replace('<', "&lt;")),
            Piece::Start { name, attributes, .. } => {
                let name = name.to_ascii_lowercase();
                let quoted =
                    |name| attribute(attributes, name).map(|value| value.replace('<', "&lt;").replace('"', "&quot;"));
                match (&*name, quoted("href"), quoted("alt")) {
                    ("script" | "style" | "title", ..) => pieces.skip_element(&name),
                    ("a", Some(href), _) => readable.extend(["<a href=\"", &href, "\">"]),
                    ("img", _, Some(alt)) if !alt.is_empty() => readable.extend(["<img src=\"-\" alt=\"", &alt, "\">"]),
                    ("br" | "hr", ..) => readable.extend(["<", &name, ">"]),
                    _ => readable.extend(block(&name).into_iter().flat_map(|block| ["<", block, ">"])),
                }
            }
            Piece::End(name) => {
                let name = name.to_ascii_lowercase();
                match &*name {
                    "a" => readable.push_str("</a>"),
                    "td" | "th" => readable.push(' '),
                    _ => readable.extend(block(&name).into_iter().flat_map(|block| ["</", block, ">"])),
                }
            }
        }
    }
    readable
}

/// The block that shows an element in a text, if it is one.
fn block(name: &str) -> Option<&str> {
    match name {
        "p" | "h1" | "h2" | "h3" | "h4" | "h5" | "h6" | "ul" | "ol" | "li" | "blockquote" | "pre" => Some(name),
        "div" | "table" | "tr" | "caption" | "center" | "section" | "article" | "header" | "footer" => Some("div"),
        _ => None,
    }
}

/// Puts what mail programs show after the subject in front of the page, where nobody sees it otherwise.
pub(super) fn with_preheader(html: &str, preheader: &str) -> String {
    let body = html.find("<body").and_then(|body| html[body..].find('>').map(|end| body + end + 1));
    let Some(at) = body else { return html.to_owned() };
    let hidden = "display:none;font-size:1px;line-height:1px;max-height:0;max-width:0;opacity:0;overflow:hidden";
    let preheader = escape::escape(preheader, Part::Html);
    format!(r#"{}<div style="{hidden}">{preheader}</div>{}"#, &html[..at], &html[at..])
}
