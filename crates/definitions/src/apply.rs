//! What applying definitions would change.

use crate::diagnostic::{Diagnostic, Severity};
use crate::document::{Definition, Document, Kind, parse_document};
use crate::load::Definitions;

/// What applying a document would change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// Nothing: it is in force, letter by letter.
    None,
    /// It is not there yet.
    New,
    /// Its text: what it says stays the same.
    Text,
    /// What it says.
    Meaning,
}

/// What applying each document would change. `current` finds the body that is in force under a record key.
///
/// A version of a journey that is in force can't come to say something else: runs end on the version that they began with,
/// and their places in it are kept.
pub fn changes<'d>(
    definitions: &'d Definitions,
    current: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<(&'d Document, Change)>, Vec<Diagnostic>> {
    let mut changes = Vec::new();
    let mut refused = Vec::new();
    for document in &definitions.documents {
        let change = change(document, current(&document.key()).as_deref());
        if document.kind == Kind::Journey && change == Change::Meaning {
            refused.push(refusal(document));
        }
        changes.push((document, change));
    }
    if refused.is_empty() { Ok(changes) } else { Err(refused) }
}

fn change(document: &Document, current: Option<&str>) -> Change {
    match current {
        None => Change::New,
        Some(body) if body == document.body => Change::None,
        Some(body) => match parse_document(document.kind, &document.name, body) {
            Ok(current) if same(&current, &document.definition) => Change::Text,
            _ => Change::Meaning,
        },
    }
}

/// Whether both say the same. Where a body was written plays no part.
fn same(current: &Definition, new: &Definition) -> bool {
    match (current, new) {
        (Definition::Template(current), Definition::Template(new)) => {
            let without_files = |template: &crate::template::Template| {
                let mut template = template.clone();
                template.texts.values_mut().for_each(|text| text.body_file = None);
                template
            };
            without_files(current) == without_files(new)
        }
        _ => current == new,
    }
}

fn refusal(document: &Document) -> Diagnostic {
    Diagnostic {
        file: document.file.to_string(),
        line: document.at.line,
        column: document.at.column,
        severity: Severity::Error,
        message: format!(
            "version {} of the journey `{}` is in force and says something else",
            document.version, document.name
        ),
        help: Some("raise `version`: runs end on the version that they began with".to_owned()),
    }
}
