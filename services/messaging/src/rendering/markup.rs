//! The pieces of markup: tags, and text between them.
//!
//! Wanted property: in MJML, a tag is exactly what the MJML parser takes for one, and whatever that could read in another way
//! is refused. HTML comes from that parser, so what is strange in it is text.

/// In which markup, by what comments are: MJML's parser reads what is in a conditional comment, HTML's does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Markup {
    Mjml,
    Html,
}

/// A piece of markup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    Text(&'a str),
    /// A start tag, or one that is both.
    Start {
        name: &'a str,
        /// What follows the name.
        attributes: &'a str,
        is_empty: bool,
    },
    End(&'a str),
}

/// What can't be read, and where.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unreadable {
    pub(super) at: usize,
    pub(super) why: &'static str,
}

/// The pieces of a text.
#[derive(Debug)]
pub(super) struct Pieces<'a> {
    markup: Markup,
    source: &'a str,
    at: usize,
}

impl<'a> Pieces<'a> {
    pub(super) fn of(source: &'a str, markup: Markup) -> Self {
        Self { markup, source, at: 0 }
    }

    /// Where the next piece begins.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// Goes behind the next end tag of that name.
    pub(super) fn skip_element(&mut self, name: &str) {
        for piece in self.by_ref() {
            if matches!(piece, Ok(Piece::End(end)) if end.eq_ignore_ascii_case(name)) {
                break;
            }
        }
    }

    fn take(&mut self, length: usize) -> &'a str {
        let (taken, _) = self.source[self.at..].split_at(length);
        self.at += length;
        taken
    }

    fn unreadable<T>(&self, why: &'static str) -> Result<T, Unreadable> {
        Err(Unreadable { at: self.at, why })
    }

    /// Goes behind a comment, if one begins here.
    fn skip_comment(&mut self) -> Result<bool, Unreadable> {
        let rest = &self.source[self.at..];
        let is_conditional =
            ["<!--[if", "<![if", "<![endif", "<!--<![endif"].iter().any(|start| rest.starts_with(start));
        let length = if is_conditional && self.markup == Markup::Mjml {
            rest.find(']').and_then(|end| {
                let closers = [">-->", "><!-->", "-->", ">"];
                let closer = closers.iter().find(|closer| rest[end + 1..].starts_with(**closer))?;
                Some(end + 1 + closer.len())
            })
        } else if let Some(comment) = rest.strip_prefix("<!--") {
            comment.find("-->").map(|end| 4 + end + 3)
        } else if rest.starts_with("<!") && self.markup == Markup::Html {
            rest.find('>').map(|end| end + 1)
        } else if rest.starts_with("<!") || rest.starts_with("<?") {
            return self.unreadable("`<!` and `<?` begin nothing but comments here");
        } else {
            return Ok(false);
        };
        match length {
            None if self.markup == Markup::Mjml => return self.unreadable("a comment is not closed"),
            _ => self.at += length.unwrap_or(rest.len()),
        }
        Ok(true)
    }

    fn tag(&mut self) -> Result<Piece<'a>, Unreadable> {
        let rest = &self.source[self.at..];
        let is_end = rest.starts_with("</");
        let name_at = if is_end { 2 } else { 1 };
        let ends_name = |c: char| c.is_whitespace() || matches!(c, '/' | '>' | '<' | '=' | '"' | '\'');
        let name_end = name_at + rest[name_at..].find(ends_name).unwrap_or(rest.len() - name_at);
        let Some(end) = end_of_tag(rest, name_end) else {
            return self.unreadable("a tag is not closed: `>` is missing, or `<` is not written `&lt;`");
        };
        if name_end == name_at {
            return self.unreadable("a tag has no name: `<` that begins no tag is written `&lt;`");
        }
        self.at += end + 1;
        let inside = &rest[name_end..end];
        let name = &rest[name_at..name_end];
        if is_end {
            return Ok(Piece::End(name));
        }
        let is_empty = inside.ends_with('/');
        Ok(Piece::Start { name, attributes: inside.strip_suffix('/').unwrap_or(inside), is_empty })
    }
}

/// Where the `>` is that is not in quotes; quotes begin nowhere but after `=`.
fn end_of_tag(tag: &str, from: usize) -> Option<usize> {
    let (mut quote, mut is_value) = (None, false);
    for (at, c) in tag.char_indices().skip_while(|(at, _)| *at < from) {
        match (quote, c) {
            (Some(open), _) if open == c => quote = None,
            (None, '>') => return Some(at),
            (None, '"' | '\'') if is_value => quote = Some(c),
            (None, '"' | '\'' | '<') => return None,
            _ => {}
        }
        is_value = c == '=' || (is_value && c.is_whitespace());
    }
    None
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Result<Piece<'a>, Unreadable>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.source[self.at..].starts_with('<') {
            let skipped = self.skip_comment();
            let piece = match skipped {
                Ok(true) => continue,
                Ok(false) => self.tag(),
                Err(error) => Err(error),
            };
            match (piece, self.markup) {
                (Err(error), Markup::Mjml) => {
                    self.at = self.source.len();
                    return Some(Err(error));
                }
                (Err(_), Markup::Html) => return Some(Ok(Piece::Text(self.take(1)))),
                (Ok(piece), _) => return Some(Ok(piece)),
            }
        }
        let rest = &self.source[self.at..];
        let length = rest.find('<').unwrap_or(rest.len());
        (length > 0).then(|| Ok(Piece::Text(self.take(length))))
    }
}

/// The value of an attribute, as it is written; empty if it has none.
pub(super) fn attribute<'a>(attributes: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = attributes.trim_start();
    while !rest.is_empty() {
        let end = rest.find(|c: char| c.is_whitespace() || c == '=').unwrap_or(rest.len());
        let (found, after) = rest.split_at(end);
        let after = after.trim_start();
        let Some(value) = after.strip_prefix('=').map(str::trim_start) else {
            rest = after;
            continue;
        };
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
        let (value, after) = match quote {
            Some(quote) => value[1..].split_once(quote).unwrap_or((&value[1..], "")),
            None => value.split_once(char::is_whitespace).unwrap_or((value, "")),
        };
        if found.eq_ignore_ascii_case(name) {
            return Some(value);
        }
        rest = after.trim_start();
    }
    None
}
