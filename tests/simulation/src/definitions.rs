//! What is in force in a run: a cart recovery with three reminders and the segments, as the basic preset has them.

use std::sync::LazyLock;

use definitions::{Folder, SourceFile, load};
use schemas::{Definition, DefinitionStatus};

use crate::SCHEMAS;
use crate::world::World;

const JOURNEY: &str = include_str!("../../../presets/basic/cart-recovery.yaml");
const SEGMENTS: &str = include_str!("../../../presets/basic/segments.yaml");
const MESSAGING: &str = include_str!("../../../presets/basic/messaging.yaml");

/// Who is in it may go: by what the shop's own model scores of her.
pub(crate) const RISKY: &str = "risky";
/// From this score on.
pub(crate) const CHURNS: i64 = 50;

/// Key and value of each record.
static RECORDS: LazyLock<Vec<(String, Vec<u8>)>> = LazyLock::new(|| {
    let template = |number: u32| {
        let text = format!(
            "template: cart-reminder-{number}\nversion: 1\nen:\n  subject: Your cart\n  body: '<mjml><mj-body></mj-body></mjml>'\n"
        );
        SourceFile { path: format!("template-{number}.yaml"), text }
    };
    let mut files: Vec<SourceFile> = (1..=3).map(template).collect();
    files.push(SourceFile { path: "cart-recovery.yaml".to_owned(), text: JOURNEY.to_owned() });
    files.push(SourceFile { path: "segments.yaml".to_owned(), text: SEGMENTS.to_owned() });
    let risky = format!("segment: {RISKY}\nversion: 1\nenter: customer.scores.churn >= {CHURNS}\n");
    files.push(SourceFile { path: "scores.yaml".to_owned(), text: risky });
    files.push(SourceFile { path: "messaging.yaml".to_owned(), text: MESSAGING.to_owned() });
    let folder = Folder { name: "simulation".to_owned(), files };
    let documents = load(&folder, &|_| None).map(|loaded| loaded.documents).unwrap_or_default();
    let record = |document: &definitions::Document| {
        let definition = Definition {
            kind: document.kind.name().to_owned(),
            name: document.name.to_string(),
            version: document.version,
            body: document.body.clone(),
            digest: document.digest.clone(),
            status: DefinitionStatus::Active,
            applied_at: 0,
        };
        let mut value = Vec::new();
        SCHEMAS.encode("platform.definitions", &definition, &mut value).ok()?;
        Some((document.key(), value))
    };
    documents.iter().filter_map(record).collect()
});

/// Key and value of each, as they lie on their topic.
pub(crate) fn records() -> &'static [(String, Vec<u8>)] {
    &RECORDS
}

/// Puts them on their topic.
pub(crate) fn append(world: &mut World) {
    if RECORDS.len() < 5 {
        world.breach("the_simulation_is_sound", "its definitions are not valid".to_owned());
    }
    for (key, value) in RECORDS.iter() {
        world.append("platform.definitions", 0, key.as_bytes(), value);
    }
}
