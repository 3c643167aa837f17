//! Reads spans as rotel prints them.

use std::collections::BTreeMap;

use super::{Span, SpanLink};

/// Where the attributes that follow belong.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Section {
    Nothing,
    Resource,
    Span,
    Event,
    Link,
}

/// All spans in `text`; other lines are passed over.
pub(super) fn spans(text: &str) -> Vec<Span> {
    let mut reader = Reader { spans: Vec::new(), resource: BTreeMap::new(), section: Section::Nothing, last_key: None };
    for line in text.lines() {
        reader.line(line);
    }
    reader.spans
}

struct Reader {
    spans: Vec<Span>,
    resource: BTreeMap<String, String>,
    section: Section,
    /// The attribute of a span whose value may go on in the next line.
    last_key: Option<String>,
}

impl Reader {
    fn line(&mut self, line: &str) {
        if let Some(item) = line.strip_prefix("     -> ") {
            self.item(item);
        } else if let Some((name, value)) = line.strip_prefix("    ").and_then(|field| field.split_once(": ")) {
            self.last_key = None;
            self.field(name.trim_end(), value);
        } else {
            self.heading(line);
        }
    }

    fn heading(&mut self, line: &str) {
        let section = match line {
            "Resource attributes:" => {
                self.resource.clear();
                Section::Resource
            }
            "Attributes:" => Section::Span,
            "Events:" => Section::Event,
            "Links:" => Section::Link,
            "InstrumentationScope attributes:" => Section::Nothing,
            _ if line.starts_with("ResourceSpans #") => {
                self.resource.clear();
                Section::Nothing
            }
            _ if line.starts_with("Span #") => {
                self.spans.push(Span { resource: self.resource.clone(), ..Span::default() });
                Section::Nothing
            }
            _ if line.starts_with("SpanLink #") => {
                if let Some(span) = self.spans.last_mut() {
                    span.links.push(SpanLink::default());
                }
                Section::Link
            }
            _ if line.starts_with("SpanEvent #") => Section::Event,
            _ => return self.other(line),
        };
        self.section = section;
        self.last_key = None;
    }

    fn other(&mut self, line: &str) {
        let time = |prefix: &str| line.strip_prefix(prefix).and_then(|nanos| nanos.parse::<u64>().ok());
        let Some(span) = self.spans.last_mut() else { return };
        if let Some(nanos) = time("Start time: ") {
            span.start_nanos = nanos;
        } else if let Some(nanos) = time("End time: ") {
            span.end_nanos = nanos;
        } else if let Some(value) = self.last_key.as_ref().and_then(|key| span.attributes.get_mut(key)) {
            // A value of several lines.
            value.push('\n');
            value.push_str(line.strip_suffix(')').unwrap_or(line));
        }
    }

    fn field(&mut self, name: &str, value: &str) {
        let Some(span) = self.spans.last_mut() else { return };
        let bare = |prefix: &str| value.strip_prefix(prefix).unwrap_or(value).to_owned();
        match name {
            "Trace ID" => value.clone_into(&mut span.trace_id),
            "Parent ID" => span.parent_id = (!value.is_empty()).then(|| value.to_owned()),
            "ID" => value.clone_into(&mut span.span_id),
            "Name" => value.clone_into(&mut span.name),
            "Kind" => span.kind = bare("SPAN_KIND_"),
            "Status code" => span.status = bare("STATUS_CODE_"),
            "Status message" => value.clone_into(&mut span.status_message),
            _ => {}
        }
    }

    fn item(&mut self, item: &str) {
        let Some((name, value)) = item.split_once(": ") else { return };
        match self.section {
            Section::Resource => {
                self.resource.insert(name.to_owned(), plain(value));
            }
            Section::Span => {
                if let Some(span) = self.spans.last_mut() {
                    span.attributes.insert(name.to_owned(), plain(value));
                    self.last_key = Some(name.to_owned());
                }
            }
            Section::Event if name == "Name" => {
                if let Some(span) = self.spans.last_mut() {
                    span.events.push(value.to_owned());
                }
            }
            Section::Link => {
                let Some(link) = self.spans.last_mut().and_then(|span| span.links.last_mut()) else { return };
                match name {
                    "Trace ID" => value.clone_into(&mut link.trace_id),
                    "ID" => value.clone_into(&mut link.span_id),
                    _ => {}
                }
            }
            Section::Event | Section::Nothing => {}
        }
    }
}

/// `Str(text)` → `text`, `Int(5)` → `5`; a value that goes on in the next line has no closing bracket yet.
fn plain(value: &str) -> String {
    let inner = value.split_once('(').map_or(value, |(_, inner)| inner);
    inner.strip_suffix(')').unwrap_or(inner).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = r#"{"msg":"Starting Rotel.","level":30}
ResourceSpans #0
Resource SchemaURL: 
Resource attributes:
     -> service.name: Str(ingestion)
ScopeSpans #0
ScopeSpans SchemaURL: 
InstrumentationScope x 1
InstrumentationScope attributes:
     -> of.scope: Str(ope)
Span #0
    Trace ID       : 5b8efff798038103d269b633813fc60c
    Parent ID      : 
    ID             : eee19b7ec3c1b174
    Name           : POST /v1/batch: all
    Kind           : SPAN_KIND_SERVER
Start time: 1544712660000000000
End time: 1544712661000000000
    Status code    : STATUS_CODE_ERROR
    Status message : bad thing
Attributes:
     -> messaging.system: Str(kafka
and (more))
     -> messaging.batch.message_count: Int(5)
Events:
SpanEvent #0
     -> Name: exception
     -> Timestamp: 1544712660000000001
     -> DroppedAttributesCount: 0
     -> Attributes::
          -> e: Str(v)
Span #1
    Trace ID       : 5b8efff798038103d269b633813fc60c
    Parent ID      : eee19b7ec3c1b174
    ID             : eee19b7ec3c1b175
    Name           : child
    Kind           : SPAN_KIND_CLIENT
Start time: 1544712660000000000
End time: 1544712661000000000
Links:
SpanLink #0
     -> Trace ID: 5b8efff798038103d269b633813fc60d
     -> ID: eee19b7ec3c1b176
     -> TraceState: 
     -> DroppedAttributesCount: 0
     -> Attributes::
          -> la: Str(lv)
SpanLink #1
     -> Trace ID: 5b8efff798038103d269b633813fc60e
     -> ID: eee19b7ec3c1b177
"#;

    #[test]
    fn every_part_of_a_printed_span_is_read() {
        let spans = spans(PRINTED);
        assert_eq!(spans.len(), 2);
        let [root, child] = &spans[..] else { unreachable!() };
        assert_eq!(root.service(), "ingestion");
        assert_eq!((root.name.as_str(), root.kind.as_str()), ("POST /v1/batch: all", "SERVER"));
        assert_eq!((root.parent_id.as_deref(), root.span_id.as_str()), (None, "eee19b7ec3c1b174"));
        assert_eq!((root.status.as_str(), root.status_message.as_str()), ("ERROR", "bad thing"));
        assert_eq!((root.start_nanos, root.end_nanos), (1_544_712_660_000_000_000, 1_544_712_661_000_000_000));
        assert_eq!(root.attributes["messaging.system"], "kafka\nand (more)");
        assert_eq!(root.attributes["messaging.batch.message_count"], "5");
        assert_eq!(root.attributes.len(), 2);
        assert_eq!(root.events, ["exception"]);
        assert_eq!(child.service(), "ingestion");
        assert_eq!(child.parent_id.as_deref(), Some("eee19b7ec3c1b174"));
        assert_eq!(child.links[1].span_id, "eee19b7ec3c1b177");
        assert_eq!(child.links.len(), 2);
    }
}
