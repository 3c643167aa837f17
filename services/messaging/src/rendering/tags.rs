//! Where a template's tags are, and what the parser can't be trusted with: it goes down by recursion, and some of it takes
//! the square of the time that the text is long.
//!
//! Wanted property: what the parser takes for a tag is exactly what is taken for one here. So whatever could be read in
//! two ways (a `%}` in quotes, a `{{` within a tag) is refused rather than read.

use super::compile::Mistake;

/// A range in a loop has numbers in it, and no greater ones.
const MAX_RANGE_END: u32 = 1_000;
/// Blocks lie no deeper in each other; each `elsif` counts, as it lies in what is before it.
const MAX_DEPTH: usize = 40;
/// A longer tag is refused: conditions and values in it lie in each other.
const MAX_TAG_BYTES: usize = 1_000;
/// An index is a value, which may have an index.
const MAX_INDEXES: usize = 16;
/// A number with more digits is none that a computer can hold.
const MAX_DIGITS: usize = 18;
/// The parser looks at each space of a row once for each space before it.
const MAX_SPACES: usize = 100;

const OPENERS: [&str; 2] = ["{{", "{%"];
const BLOCKS: [&str; 6] = ["if", "unless", "for", "case", "capture", "comment"];

/// A tag or an output.
#[derive(Debug)]
pub(super) struct Tag<'a> {
    /// Where it begins in the text.
    pub(super) start: usize,
    /// With its braces.
    pub(super) source: &'a str,
}

impl<'a> Tag<'a> {
    /// What stands between the braces, without what trims spaces around them.
    fn inner(&self) -> &'a str {
        let inner = &self.source[2..self.source.len() - 2];
        let inner = inner.strip_prefix('-').unwrap_or(inner);
        inner.strip_suffix('-').unwrap_or(inner).trim_matches([' ', '\n', '\r'])
    }

    pub(super) fn is_output(&self) -> bool {
        self.source.starts_with("{{")
    }

    /// Its first word, as the parser cuts it; of an output, nothing.
    pub(super) fn word(&self) -> &'a str {
        let inner = if self.is_output() { "" } else { self.inner() };
        let end = inner.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '-')).unwrap_or(inner.len());
        &inner[..end]
    }

    fn refused(&self, text: &str, message: impl Into<String>) -> Mistake {
        Mistake::at(text, self.start, message)
    }
}

/// The text's tags, if the parser may see it.
pub(super) fn check(text: &str) -> Result<Vec<Tag<'_>>, Mistake> {
    check_spaces(text)?;
    let tags = tags(text)?;
    for tag in &tags {
        check_tag(text, tag)?;
    }
    check_blocks(text, &tags)?;
    Ok(tags)
}

fn check_spaces(text: &str) -> Result<(), Mistake> {
    let mut spaces = 0;
    for (at, byte) in text.bytes().enumerate() {
        spaces = if matches!(byte, b' ' | b'\n' | b'\r') { spaces + 1 } else { 0 };
        if spaces > MAX_SPACES {
            let message = format!("more than {MAX_SPACES} spaces and line ends in a row: leave some out");
            return Err(Mistake::at(text, at, message));
        }
    }
    Ok(())
}

fn tags(text: &str) -> Result<Vec<Tag<'_>>, Mistake> {
    let mut tags = Vec::new();
    let mut from = 0;
    while let Some(start) = first_of(&text[from..], &OPENERS).map(|at| from + at) {
        let (opener, closer) = if text[start..].starts_with("{{") { ("{{", "}}") } else { ("{%", "%}") };
        let Some(length) = text[start + 2..].find(closer) else {
            return Err(Mistake::at(text, start, format!("`{opener}` is not closed: `{closer}` is missing")));
        };
        let end = start + 2 + length;
        if first_of(&text[start + 1..end], &["{{", "{%", "}}", "%}"]).is_some() {
            let message = format!(
                "`{opener}` is not closed before the next brace: `{closer}` is missing, or a quoted text holds braces, which it can't"
            );
            return Err(Mistake::at(text, start, message));
        }
        from = end + 2;
        tags.push(Tag { start, source: &text[start..from] });
    }
    Ok(tags)
}

fn first_of(text: &str, patterns: &[&str]) -> Option<usize> {
    let bytes = text.as_bytes();
    (0..bytes.len()).find(|at| patterns.iter().any(|pattern| bytes[*at..].starts_with(pattern.as_bytes())))
}

fn check_tag(text: &str, tag: &Tag<'_>) -> Result<(), Mistake> {
    if tag.source.len() > MAX_TAG_BYTES {
        return Err(tag.refused(text, format!("a tag is longer than {MAX_TAG_BYTES} bytes: make several of it")));
    }
    let Some(code) = without_quoted(tag.inner()) else {
        return Err(tag.refused(text, "a quoted text is not closed before the tag's end, which it can't hold"));
    };
    if code.matches('[').count() > MAX_INDEXES {
        return Err(tag.refused(text, format!("a tag has more than {MAX_INDEXES} `[`: make several of it")));
    }
    if code.split(|c: char| !c.is_ascii_digit()).any(|digits| digits.len() > MAX_DIGITS) {
        return Err(tag.refused(text, format!("a number has more than {MAX_DIGITS} digits: if it is a text, quote it")));
    }
    if tag.word() == "for" && code.contains("..") && !has_small_range(&code) {
        let message = format!("a range is written with numbers, up to {MAX_RANGE_END}: `(1..5)`");
        return Err(tag.refused(text, message));
    }
    Ok(())
}

/// The code with nothing in its quotes; none if a quote is not closed.
fn without_quoted(code: &str) -> Option<String> {
    let mut kept = String::with_capacity(code.len());
    let mut quote = None;
    for c in code.chars() {
        match quote {
            Some(open) if open == c => quote = None,
            Some(_) => continue,
            None if matches!(c, '"' | '\'') => quote = Some(c),
            None => {}
        }
        kept.push(c);
    }
    quote.is_none().then_some(kept)
}

fn has_small_range(code: &str) -> bool {
    let ends =
        code.split_once('(').and_then(|(_, rest)| rest.split_once(')')).and_then(|(range, _)| range.split_once(".."));
    ends.is_some_and(|(first, last)| {
        [first, last].iter().all(|end| end.trim().parse::<u32>().is_ok_and(|number| number <= MAX_RANGE_END))
    })
}

/// Blocks that are closed by their own end, and are not too deep in each other. Nothing counts in a comment but its end.
fn check_blocks(text: &str, tags: &[Tag<'_>]) -> Result<(), Mistake> {
    let mut open: Vec<(&str, usize)> = Vec::new();
    for tag in tags {
        let word = tag.word();
        let innermost = open.last_mut();
        match innermost {
            Some(("comment", _)) if word == "comment" => {
                return Err(tag.refused(text, "a comment can't lie in a comment"));
            }
            Some(("comment", _)) if word != "endcomment" => continue,
            Some((_, levels)) if word == "elsif" => *levels += 1,
            Some((block, _)) if word.strip_prefix("end") == Some(*block) => {
                if tag.inner() != word {
                    return Err(tag.refused(text, format!("nothing follows `{word}` in its tag")));
                }
                open.pop();
            }
            Some((block, _)) if word.starts_with("end") => {
                return Err(tag.refused(text, format!("expected `{{% end{block} %}}`, as `{block}` is still open")));
            }
            None if word.starts_with("end") => {
                return Err(tag.refused(text, format!("`{word}` closes nothing that is open")));
            }
            _ if BLOCKS.contains(&word) => open.push((word, 1)),
            _ => {}
        }
        if open.iter().map(|(_, levels)| levels).sum::<usize>() > MAX_DEPTH {
            let message =
                format!("blocks are nested more than {MAX_DEPTH} deep (each `elsif` counts, a `when` does not)");
            return Err(tag.refused(text, message));
        }
    }
    Ok(())
}
