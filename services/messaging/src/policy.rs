//! What is in force: the settings, the templates and the suppressed addresses.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use definitions::{Definition, Kind, Messaging, parse_document, parse_record_key};
use domain::Timestamp;
use links::{AddressHash, Secret};
use schemas::{DefinitionStatus, Schemas, Suppression, SuppressionReason};
use stream::{Poison, RecordRef};

use crate::input::{poison, value_of};
use crate::options::Settings;
use crate::state::{BarredAddress, MessagingState};
use crate::template::Template;
use crate::topology;

/// What is in force.
#[derive(Debug)]
pub struct Policy {
    pub(crate) settings: Settings,
    pub(crate) address_secret: Secret,
    templates: Versions<Arc<Template>>,
    messaging: Versions<Messaging>,
    suppressions: HashMap<AddressHash, Held>,
}

/// What the table holds against an address.
#[derive(Clone, Copy, Debug)]
struct Held {
    reason: SuppressionReason,
    since: Timestamp,
}

/// Why a template can't be used: a reason of the outcome `render_failed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoTemplate(pub(crate) &'static str);

/// The definitions of one kind, in every version that is there.
#[derive(Debug)]
struct Versions<T> {
    by_name: BTreeMap<String, BTreeMap<i32, (DefinitionStatus, T)>>,
}

impl Policy {
    /// The settings with no template and no suppressed address; the tables bring them.
    pub fn new(settings: Settings, address_secret: Secret) -> Self {
        Self {
            settings,
            address_secret,
            templates: Versions::default(),
            messaging: Versions::default(),
            suppressions: HashMap::new(),
        }
    }

    /// Applies a record of a table.
    pub(crate) fn apply(&mut self, schemas: &Schemas, record: &RecordRef<'_>) -> Result<(), Poison> {
        if record.input == topology::DEFINITIONS {
            self.apply_definition(schemas, record)
        } else {
            self.apply_suppression(schemas, record)
        }
    }

    fn apply_definition(&mut self, schemas: &Schemas, record: &RecordRef<'_>) -> Result<(), Poison> {
        let Some((kind, name, version)) = parse_record_key(table_key(record)?) else {
            return Err(poison("malformed_key", "a definition's key is kind/name/version"));
        };
        let Some(kind @ (Kind::Template | Kind::Messaging)) = kind else { return Ok(()) };
        let definition = record.value.map(|_| value_of::<schemas::Definition>(schemas, record)).transpose()?;
        let Some(definition) = definition.filter(|definition| definition.status != DefinitionStatus::Deleted) else {
            self.templates.remove_if(kind == Kind::Template, name, version);
            self.messaging.remove_if(kind == Kind::Messaging, name, version);
            return Ok(());
        };
        match parse_document(kind, name, &definition.body) {
            Ok(Definition::Template(template)) => {
                let template = Arc::new(Template { digest: definition.digest, definition: template });
                self.templates.insert(name, version, definition.status, template);
            }
            Ok(Definition::Messaging(messaging)) => {
                self.messaging.insert(name, version, definition.status, messaging);
            }
            Ok(_) => {}
            Err(diagnostics) => {
                let detail = diagnostics.first().map(ToString::to_string).unwrap_or_default();
                return Err(Poison { reason: "malformed_definition", detail });
            }
        }
        Ok(())
    }

    fn apply_suppression(&mut self, schemas: &Schemas, record: &RecordRef<'_>) -> Result<(), Poison> {
        let hash: Result<AddressHash, _> = table_key(record)?.parse();
        let hash = hash.map_err(|error| poison("malformed_key", &error.to_string()))?;
        if record.value.is_none() {
            self.suppressions.remove(&hash);
        } else {
            let suppression: Suppression = value_of(schemas, record)?;
            let since = Timestamp::from_millis(suppression.since);
            self.suppressions.insert(hash, Held { reason: suppression.reason, since });
        }
        Ok(())
    }

    /// The newest version of a template.
    pub(crate) fn template(&self, name: &str) -> Result<&Arc<Template>, NoTemplate> {
        match self.templates.newest(name) {
            None => Err(NoTemplate("unknown_template")),
            Some((DefinitionStatus::Active, template)) => Ok(template),
            Some(_) => Err(NoTemplate("template_not_active")),
        }
    }

    /// Why a message of this category must not go to an address, as the table or this customer's own last records say;
    /// none if it may.
    pub(crate) fn suppression(
        &self,
        state: &MessagingState,
        address_hash: &str,
        category: &str,
    ) -> Option<SuppressionReason> {
        self.suppressions_of(state, address_hash).find(|reason| self.concerns(*reason, category))
    }

    /// What is held against an address.
    pub(crate) fn suppressions_of(
        &self,
        state: &MessagingState,
        address_hash: &str,
    ) -> impl Iterator<Item = SuppressionReason> {
        let own = state.barred(address_hash).map(|barred| barred.reason);
        own.into_iter().chain(self.in_table(address_hash))
    }

    /// What stands against an address, and since when; first what is not hers to lift. Other than [`Policy::suppressions_of`],
    /// by which less is sent than she asked for, it knows at once what she took back.
    pub(crate) fn standing(
        &self,
        state: &MessagingState,
        address_hash: &str,
    ) -> Option<(SuppressionReason, Timestamp)> {
        let own = state.barred(address_hash).map(|barred| (barred.reason, barred.since()));
        let subscribed = state.subscribed_since(address_hash);
        let is_past = |held: &Held| held.reason.is_wish() && subscribed.is_some_and(|at| held.since <= at);
        let table = self.held(address_hash).filter(|held| !is_past(held)).map(|held| (held.reason, held.since));
        own.into_iter().chain(table).min_by_key(|(reason, _)| reason.is_wish())
    }

    /// What the table holds against an address.
    pub(crate) fn in_table(&self, address_hash: &str) -> Option<SuppressionReason> {
        self.held(address_hash).map(|held| held.reason)
    }

    /// When an address was unsubscribed, as far as table and state tell: at the latest.
    pub(crate) fn unsubscribed_since(&self, state: &MessagingState, address_hash: &str) -> Option<Timestamp> {
        let own = state.barred(address_hash).filter(|barred| barred.reason.is_wish()).map(BarredAddress::since);
        let table = self.held(address_hash).filter(|held| held.reason.is_wish()).map(|held| held.since);
        own.max(table)
    }

    fn held(&self, address_hash: &str) -> Option<Held> {
        let hash: AddressHash = address_hash.parse().ok()?;
        self.suppressions.get(&hash).copied()
    }

    /// Whether a suppression stands against messages of a category: an unsubscription does not where no consent is asked.
    pub(crate) fn concerns(&self, reason: SuppressionReason, category: &str) -> bool {
        !reason.is_wish() || !self.is_transactional(category)
    }

    /// Whether messages of this category belong to something that the customer asked for. Such a message is sent again
    /// after an attempt whose outcome nobody knows. A category that no definition names is not transactional.
    pub(crate) fn is_transactional(&self, category: &str) -> bool {
        let categories = self.messaging.all_newest().filter_map(|messaging| messaging.categories.get(category));
        categories.map(definitions::Category::transactional).next().unwrap_or(false)
    }

    /// Who messages come from, where neither the template nor its language says so.
    pub(crate) fn sender_name(&self) -> Option<&Arc<str>> {
        self.messaging.all_newest().find_map(|messaging| messaging.from_name.as_ref())
    }
}

impl<T> Default for Versions<T> {
    fn default() -> Self {
        Self { by_name: BTreeMap::new() }
    }
}

impl<T> Versions<T> {
    fn insert(&mut self, name: &str, version: i32, status: DefinitionStatus, definition: T) {
        self.by_name.entry(name.to_owned()).or_default().insert(version, (status, definition));
    }

    fn remove_if(&mut self, concerned: bool, name: &str, version: i32) {
        if let Some(versions) = self.by_name.get_mut(name).filter(|_| concerned) {
            versions.remove(&version);
            if versions.is_empty() {
                self.by_name.remove(name);
            }
        }
    }

    fn newest(&self, name: &str) -> Option<&(DefinitionStatus, T)> {
        self.by_name.get(name)?.values().next_back()
    }

    fn all_newest(&self) -> impl Iterator<Item = &T> {
        let newest = self.by_name.values().filter_map(|versions| versions.values().next_back());
        newest.map(|(_, definition)| definition)
    }
}

fn table_key<'a>(record: &RecordRef<'a>) -> Result<&'a str, Poison> {
    let key = record.key.and_then(|key| std::str::from_utf8(key).ok());
    key.ok_or_else(|| poison("no_key", "the record has no text as its key"))
}
