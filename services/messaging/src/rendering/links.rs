//! The links of a page, and the picture that tells that it was opened.
//!
//! Wanted properties:
//! - a link that is replaced is told exactly as whoever follows it would read it, and nothing else of the page changes;
//! - what could be read in two ways, or is marked `rel="untracked"`, stays as it is.

use std::fmt::Write as _;

use super::escape::{self, Part};
use super::markup::{Markup, Piece, Pieces, attribute};

/// A page grows to no more: mail programs cut off what is longer (Gmail at 102 kB). Links beyond that stay as they are.
const MAX_PAGE_BYTES: usize = 96 * 1024;
/// The mark of a link that is to stay as it is. In `rel`, because MJML hands that on from its buttons and pictures.
const UNTRACKED: &str = "untracked";

/// Puts other addresses in the place of those that the page's links lead to. `other` gives one, or none where a link is to stay
/// as it is.
pub fn with_links(html: &str, mut other: impl FnMut(&str) -> Option<String>) -> String {
    let mut page = String::with_capacity(html.len());
    let mut copied = 0;
    let mut pieces = Pieces::of(html, Markup::Html);
    while let Some(Ok(piece)) = pieces.next() {
        let Piece::Start { name, attributes, .. } = piece else { continue };
        if ["script", "style", "title"].iter().any(|skipped| name.eq_ignore_ascii_case(skipped)) {
            pieces.skip_element(name);
            continue;
        }
        let leads = name.eq_ignore_ascii_case("a") || name.eq_ignore_ascii_case("area");
        let Some(value) = attribute(attributes, "href").filter(|_| leads && !is_untracked(attributes)) else {
            continue;
        };
        let at = offset(value, html);
        // Without quotes it is not certain where it ends.
        if !html[..at].ends_with(['"', '\'']) {
            continue;
        }
        let Some(url) = address(value).and_then(|url| other(&url)) else { continue };
        if page.len() + url.len() + (html.len() - copied) > MAX_PAGE_BYTES {
            break;
        }
        page.push_str(&html[copied..at]);
        page.push_str(&escape::escape(&url, Part::Html));
        copied = at + value.len();
    }
    page.push_str(&html[copied..]);
    page
}

/// Puts a picture of one pixel at the end of the page.
pub fn with_picture(html: &str, url: &str) -> String {
    let at = html.rfind("</body>").unwrap_or(html.len());
    let url = escape::escape(url, Part::Html);
    let style = "display:block;border:0;width:1px;height:1px";
    format!(r#"{}<img src="{url}" width="1" height="1" alt="" style="{style}">{}"#, &html[..at], &html[at..])
}

fn is_untracked(attributes: &str) -> bool {
    let rel = attribute(attributes, "rel").unwrap_or_default();
    rel.split_whitespace().any(|word| word.eq_ignore_ascii_case(UNTRACKED))
}

/// Where a part of a text begins in it.
fn offset(part: &str, whole: &str) -> usize {
    part.as_ptr().addr() - whole.as_ptr().addr()
}

/// The address that an attribute's value stands for, as a browser reads it: entities read, blanks around it left out, and what
/// is no ASCII after the host in percents. None where it has an entity that we don't know.
fn address(value: &str) -> Option<String> {
    let text = decoded(value)?;
    let text = text.trim_matches(|c: char| c.is_ascii_whitespace());
    let path = text.find("://").and_then(|scheme| text[scheme + 3..].find(['/', '?', '#']).map(|at| scheme + 3 + at));
    let (before, after) = text.split_at(path.unwrap_or(text.len()));
    let mut address = before.to_owned();
    for c in after.chars() {
        if c.is_ascii() {
            address.push(c);
        } else {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                // Writing to a String can't fail.
                let _ = write!(address, "%{byte:02X}");
            }
        }
    }
    Some(address)
}

fn decoded(value: &str) -> Option<String> {
    let mut text = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(at) = rest.find('&') {
        text.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '#').unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        match after.strip_prefix(';') {
            Some(after) => {
                text.push(character(name)?);
                rest = after;
            }
            None if name.starts_with('#') => return None,
            // An ampersand that nobody escaped.
            None => text.push('&'),
        }
    }
    text.push_str(rest);
    Some(text)
}

/// The character that an entity stands for.
fn character(name: &str) -> Option<char> {
    match name {
        "amp" => return Some('&'),
        "lt" => return Some('<'),
        "gt" => return Some('>'),
        "quot" => return Some('"'),
        "apos" => return Some('\''),
        _ => {}
    }
    let number = name.strip_prefix('#')?;
    let code = match number.strip_prefix(['x', 'X']) {
        Some(hexadecimal) => u32::from_str_radix(hexadecimal, 16),
        None => number.parse(),
    };
    char::from_u32(code.ok()?)
}
