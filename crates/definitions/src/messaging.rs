//! A `messaging:` document: the categories of messages.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::diagnostic::Report;
use crate::fields::Fields;
use crate::parse_journey::version;
use crate::suggest;
use crate::values::{integer, name, phrase, shortened, text};
use crate::yaml::Node;

/// How messages are treated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Messaging {
    /// Its name.
    pub name: Arc<str>,
    /// Its version.
    pub version: i32,
    /// Who messages come from, where the template does not say.
    pub from_name: Option<Arc<str>>,
    /// The categories; at least one.
    pub categories: BTreeMap<Arc<str>, Category>,
}

/// A kind of message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Category {
    /// Its name.
    pub name: Arc<str>,
    /// Which goes first: the greater.
    pub priority: i32,
    /// What the customer must have agreed to.
    pub consent: Consent,
}

/// What the customer must have agreed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Consent {
    /// Nothing: the message belongs to something that she asked for, such as a receipt.
    None,
    /// To hear from the shop. Who unsubscribed has not.
    Marketing,
}

impl Category {
    /// Whether its messages belong to something that the customer asked for: such a message is sent again when nobody
    /// knows whether it left, and an unsubscription does not concern it.
    pub fn transactional(&self) -> bool {
        self.consent == Consent::None
    }
}

/// Reads the settings; none if anything in them is wrong.
pub(crate) fn messaging(node: &Node, report: &mut Report<'_>) -> Option<Messaging> {
    let mut fields = Fields::of(node, "a messaging document", report)?.later(&["quiet_hours", "caps", "channels"]);
    let own_name = fields.require("messaging", report).and_then(|node| name(node, "messaging settings", report));
    let version = version(&mut fields, report);
    let from_name = fields.take("from_name").map(|node| phrase(node, "`from_name`", 200, report));
    let categories = fields.require("categories", report).map(|node| categories(node, report)).unwrap_or_default();
    fields.finish(report);
    Some(Messaging { name: own_name?, version: version?, from_name: from_name.flatten(), categories })
}

fn categories(node: &Node, report: &mut Report<'_>) -> BTreeMap<Arc<str>, Category> {
    let mut categories = BTreeMap::new();
    let Some(mut fields) = Fields::of(node, "`categories`", report) else { return categories };
    let entries = fields.rest();
    if entries.is_empty() {
        report.error(node.at, "`categories` is empty");
    }
    for (key, value) in entries {
        let good = key.name.len() <= 64
            && key.name.starts_with(|c: char| c.is_ascii_lowercase())
            && key.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if !good {
            let message = format!("`{}` is no name for a category", shortened(&key.name));
            report.error_with_help(key.at, message, "lower-case letters, digits and hyphens, at most 64");
            continue;
        }
        let name: Arc<str> = key.name.as_str().into();
        if let Some(category) = category(&name, value, report) {
            categories.insert(name, category);
        }
    }
    categories
}

fn category(name: &Arc<str>, node: &Node, report: &mut Report<'_>) -> Option<Category> {
    let mut fields = Fields::of(node, "a category", report)?.later(&["cap", "quiet_hours", "yields_to"]);
    let priority = fields.take("priority").map_or(Some(50), |node| integer(node, "`priority`", 0..=100, report));
    let consent = fields.take("consent").map_or(Some(Consent::Marketing), |node| consent(node, report));
    fields.finish(report);
    Some(Category { name: Arc::clone(name), priority: priority?, consent: consent? })
}

fn consent(node: &Node, report: &mut Report<'_>) -> Option<Consent> {
    match text(node, "`consent`", report)? {
        "none" => Some(Consent::None),
        "marketing" => Some(Consent::Marketing),
        other => {
            let help = suggest::help(other, ["none", "marketing"]).unwrap_or_default();
            report.error_with_help(node.at, format!("there is no consent `{}`", shortened(other)), help);
            None
        }
    }
}
