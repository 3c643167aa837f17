//! YAML as a tree in which every node knows its place.
//!
//! Only what definitions need: no anchors, aliases, merge keys or tags (they make a text mean something elsewhere), a
//! key at most once, and limits on size and depth.

use std::ops::Range;

use granit_parser::{Event, Parser, ScalarStyle, Span};

use crate::diagnostic::{Position, Report};

/// The largest file that is read.
pub(crate) const MAX_FILE_BYTES: usize = 1 << 20;
const MAX_DEPTH: usize = 40;
const MAX_NODES: usize = 50_000;

/// A value and where it begins.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) at: Position,
    pub(crate) content: Content,
}

#[derive(Debug)]
pub(crate) enum Content {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

#[derive(Debug)]
pub(crate) struct Scalar {
    pub(crate) text: String,
    pub(crate) style: ScalarStyle,
}

#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) at: Position,
    pub(crate) name: String,
}

impl Node {
    /// What it is, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.content {
            Content::Scalar(scalar) if scalar.is_null() => "nothing",
            Content::Scalar(_) => "a single value",
            Content::List(_) => "a list",
            Content::Map(_) => "a map of keys and values",
        }
    }

    /// The text of a scalar that is not null.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Scalar(scalar) if !scalar.is_null() => Some(&scalar.text),
            _ => None,
        }
    }
}

impl Scalar {
    pub(crate) fn is_null(&self) -> bool {
        self.style == ScalarStyle::Plain && matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }
}

/// One document of a file.
#[derive(Debug)]
pub(crate) struct RawDocument {
    pub(crate) root: Node,
    /// Where its text lies in the file, without the `---` before it.
    pub(crate) range: Range<usize>,
}

/// The documents of a file; what can't be read is reported, and reading goes on with the next document.
pub(crate) fn parse(report: &mut Report<'_>) -> Vec<RawDocument> {
    let source = report.source;
    if source.len() > MAX_FILE_BYTES {
        report.error(Position::START, format!("the file is larger than {MAX_FILE_BYTES} bytes"));
        return Vec::new();
    }
    let mut reader = Reader { parser: Parser::new_from_str(source), nodes: 0, complaints: Vec::new() };
    let mut documents = Vec::new();
    loop {
        let document = reader.document();
        for (at, message) in reader.complaints.drain(..) {
            report.error(at, message);
        }
        match document {
            Ok(Some(document)) => documents.push(document),
            Ok(None) => return documents,
            Err(fault) => {
                report.error(fault.at, fault.message);
                // Several documents may be wrong: the person wants to hear of all.
                if !fault.recoverable || !matches!(reader.parser.proceed_next_document(), Ok(true)) {
                    return documents;
                }
            }
        }
    }
}

enum Next {
    Document(RawDocument),
    Empty,
    End,
}

struct Fault {
    at: Position,
    message: String,
    recoverable: bool,
}

impl Fault {
    fn new(at: Position, message: impl Into<String>) -> Self {
        Self { at, message: message.into(), recoverable: true }
    }
}

struct Reader<'s> {
    parser: Parser<'s, granit_parser::StrInput<'s>>,
    nodes: usize,
    /// What is wrong, but does not keep us from reading on.
    complaints: Vec<(Position, String)>,
}

fn start(span: &Span) -> Position {
    Position { line: span.start.line().max(1), column: span.start.col() + 1 }
}

impl<'s> Reader<'s> {
    /// The next document that has something in it; none at the end of the file.
    fn document(&mut self) -> Result<Option<RawDocument>, Fault> {
        loop {
            match self.next_document()? {
                Next::Document(document) => return Ok(Some(document)),
                Next::Empty => {}
                Next::End => return Ok(None),
            }
        }
    }

    fn next_document(&mut self) -> Result<Next, Fault> {
        let begin = loop {
            match self.next()? {
                None | Some((Event::StreamEnd, _)) => return Ok(Next::End),
                Some((Event::DocumentStart(..), span)) => break span.end.byte_offset().unwrap_or(0),
                Some(_) => {}
            }
        };
        let root = self.node(0)?;
        let end = loop {
            match self.next()? {
                Some((Event::DocumentEnd, span)) => break span.start.byte_offset().unwrap_or(begin),
                Some((Event::StreamEnd, _)) | None => return Ok(Next::End),
                Some(_) => {}
            }
        };
        if matches!(&root.content, Content::Scalar(scalar) if scalar.is_null()) {
            return Ok(Next::Empty);
        }
        Ok(Next::Document(RawDocument { root, range: begin..end.max(begin) }))
    }

    fn next(&mut self) -> Result<Option<(Event<'s>, Span)>, Fault> {
        self.parser.next_event().transpose().map_err(|error| {
            let marker = error.marker();
            let at = Position { line: marker.line().max(1), column: marker.col() + 1 };
            Fault::new(at, format!("this is not valid YAML: {}", error.info()))
        })
    }

    fn node(&mut self, depth: usize) -> Result<Node, Fault> {
        loop {
            match self.next()? {
                Some((event, span)) => {
                    if let Some(node) = self.node_of(event, &span, depth)? {
                        return Ok(node);
                    }
                }
                None => return Err(Fault::new(Position::START, "this is not valid YAML: it ends too early")),
            }
        }
    }

    fn node_of(&mut self, event: Event<'s>, span: &Span, depth: usize) -> Result<Option<Node>, Fault> {
        let at = start(span);
        if event.anchor_id().is_some() {
            self.complain(at, "anchors (`&name`) are not supported: write the value out where it is used");
        }
        if event.tag().is_some() {
            self.complain(at, "tags (`!name`) are not supported");
        }
        self.nodes += 1;
        if self.nodes > MAX_NODES || depth > MAX_DEPTH {
            let message = format!("more than {MAX_NODES} values, or {MAX_DEPTH} levels deep");
            return Err(Fault { recoverable: false, ..Fault::new(at, message) });
        }
        let content = match event {
            Event::Scalar(text, style, ..) => Content::Scalar(Scalar { text: text.into_owned(), style }),
            Event::SequenceStart(..) => Content::List(self.list(depth)?),
            Event::MappingStart(..) => Content::Map(self.map(depth)?),
            Event::Alias(_) => {
                self.complain(at, "aliases (`*name`) are not supported: write the value out");
                Content::Scalar(Scalar { text: String::new(), style: ScalarStyle::DoubleQuoted })
            }
            _ => return Ok(None),
        };
        Ok(Some(Node { at, content }))
    }

    fn complain(&mut self, at: Position, message: impl Into<String>) {
        self.complaints.push((at, message.into()));
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Node>, Fault> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                Some((Event::SequenceEnd, _)) | None => return Ok(items),
                Some((event, span)) => items.extend(self.node_of(event, &span, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Vec<(Key, Node)>, Fault> {
        let mut entries: Vec<(Key, Node)> = Vec::new();
        loop {
            match self.next()? {
                Some((Event::MappingEnd, _)) | None => return Ok(entries),
                Some((event, span)) => {
                    let Some(key) = self.node_of(event, &span, depth + 1)? else { continue };
                    let at = key.at;
                    let Content::Scalar(Scalar { text: name, .. }) = key.content else {
                        return Err(Fault::new(at, format!("a key is a single word, not {}", key.kind())));
                    };
                    let value = self.node(depth + 1)?;
                    if name == "<<" {
                        self.complain(at, "merge keys (`<<`) are not supported: write the keys out");
                    } else if let Some((first, _)) = entries.iter().find(|(other, _)| other.name == name) {
                        let message = format!("`{name}` stands here twice; the first is on line {}", first.at.line);
                        self.complain(at, message);
                    } else {
                        entries.push((Key { at, name }, value));
                    }
                }
            }
        }
    }
}
