//! What is registered: subjects, versions, ids, levels.
//!
//! Wanted properties:
//! - The same schema has one id, under whatever subjects and however often it is registered; an id never changes.
//! - A subject takes only what its level allows.

use std::collections::BTreeMap;

use apache_avro::Schema;
use serde::{Deserialize, Serialize};

use super::compatibility::{self, Level};

/// Schemas, over all subjects.
const MAX_SCHEMAS: usize = 10_000;

/// A refusal: Confluent's number and a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) code: u32,
    pub(crate) message: String,
}

impl Refused {
    fn new(code: u32, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    pub(crate) fn invalid_schema(message: impl Into<String>) -> Self {
        Self::new(42201, message)
    }

    fn no_subject(subject: &str) -> Self {
        Self::new(40401, format!("Subject '{subject}' not found."))
    }

    pub(crate) fn no_schema() -> Self {
        Self::new(40403, "Schema not found")
    }
}

/// A schema that another one uses.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Reference {
    pub(crate) name: String,
    pub(crate) subject: String,
    pub(crate) version: u32,
}

/// A schema as it was sent.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Submitted {
    pub(crate) schema: String,
    #[serde(default)]
    pub(crate) schema_type: Option<String>,
    #[serde(default)]
    pub(crate) references: Vec<Reference>,
}

/// One registered schema.
#[derive(Clone, Debug)]
pub(crate) struct Registered {
    pub(crate) id: u32,
    pub(crate) text: String,
    pub(crate) references: Vec<Reference>,
    parsed: Schema,
}

/// What tells two schemas apart: the JSON without its layout, and what it refers to.
type Identity = (String, Vec<Reference>);

/// Everything that is registered.
#[derive(Debug)]
pub(crate) struct Book {
    schemas: BTreeMap<u32, Registered>,
    id_by_identity: BTreeMap<Identity, u32>,
    /// Per subject: version to id.
    subjects: BTreeMap<String, BTreeMap<u32, u32>>,
    level: Level,
    levels: BTreeMap<String, Level>,
}

impl Default for Book {
    fn default() -> Self {
        Self {
            schemas: BTreeMap::new(),
            id_by_identity: BTreeMap::new(),
            subjects: BTreeMap::new(),
            level: Level::Backward,
            levels: BTreeMap::new(),
        }
    }
}

impl Book {
    pub(crate) fn subjects(&self) -> impl Iterator<Item = &String> {
        self.subjects.keys()
    }

    pub(crate) fn versions(&self, subject: &str) -> Result<Vec<u32>, Refused> {
        Ok(self.subject(subject)?.keys().copied().collect())
    }

    fn subject(&self, subject: &str) -> Result<&BTreeMap<u32, u32>, Refused> {
        self.subjects.get(subject).ok_or_else(|| Refused::no_subject(subject))
    }

    /// A version of a subject, by number, `latest` or `-1`.
    pub(crate) fn version(&self, subject: &str, version: &str) -> Result<(u32, &Registered), Refused> {
        let versions = self.subject(subject)?;
        let found = match version {
            "latest" | "-1" => versions.last_key_value(),
            number => {
                let wrong = format!(
                    "The specified version '{number}' is not a valid version id. Allowed values are between [1, \
                     2^31-1] and the string \"latest\""
                );
                let number = number.parse::<u32>().ok().filter(|number| *number > 0);
                versions.get_key_value(&number.ok_or_else(|| Refused::new(42202, wrong))?)
            }
        };
        let (number, id) = found.ok_or_else(|| Refused::new(40402, format!("Version {version} not found.")))?;
        Ok((*number, self.by_id(*id)?))
    }

    pub(crate) fn by_id(&self, id: u32) -> Result<&Registered, Refused> {
        self.schemas.get(&id).ok_or_else(Refused::no_schema)
    }

    /// Subjects and versions that an id stands under.
    pub(crate) fn uses_of(&self, id: u32) -> Result<Vec<(String, u32)>, Refused> {
        self.by_id(id)?;
        let uses = self.subjects.iter().flat_map(|(subject, versions)| {
            let of_id = versions.iter().filter(move |(_, other)| **other == id);
            of_id.map(move |(version, _)| (subject.clone(), *version))
        });
        Ok(uses.collect())
    }

    /// The version that a schema has under a subject.
    pub(crate) fn look_up(&self, subject: &str, submitted: &Submitted) -> Result<(u32, &Registered), Refused> {
        let versions = self.subject(subject)?;
        let identity = self.read(submitted)?.0;
        let id = self.id_by_identity.get(&identity).ok_or_else(Refused::no_schema)?;
        let version = versions.iter().find(|(_, other)| *other == id).ok_or_else(Refused::no_schema)?.0;
        Ok((*version, self.by_id(*id)?))
    }

    /// Registers a schema under a subject and gives its id; again gives the same.
    pub(crate) fn register(&mut self, subject: &str, submitted: &Submitted) -> Result<u32, Refused> {
        let (identity, parsed) = self.read(submitted)?;
        let known = self.id_by_identity.get(&identity).copied();
        let present = self.subjects.get(subject);
        if let Some(id) = known.filter(|id| present.is_some_and(|versions| versions.values().any(|other| other == id)))
        {
            return Ok(id);
        }
        let breaches = self.breaches(subject, &parsed, None);
        if !breaches.is_empty() {
            let level = self.level_of(subject).as_str();
            let message = format!(
                "Schema being registered is incompatible with an earlier schema for subject \"{subject}\" \
                 (compatibility {level}): {}",
                breaches.join("; ")
            );
            return Err(Refused::new(409, message));
        }
        let id = match known {
            Some(id) => id,
            None => self.add(submitted, identity, parsed)?,
        };
        let versions = self.subjects.entry(subject.to_owned()).or_default();
        let next = versions.last_key_value().map_or(1, |(version, _)| version + 1);
        versions.insert(next, id);
        Ok(id)
    }

    fn add(&mut self, submitted: &Submitted, identity: Identity, parsed: Schema) -> Result<u32, Refused> {
        if self.schemas.len() >= MAX_SCHEMAS {
            return Err(Refused::new(50001, format!("This registry holds {MAX_SCHEMAS} schemas, its limit.")));
        }
        let id = self.schemas.last_key_value().map_or(1, |(id, _)| id + 1);
        let (text, references) = (submitted.schema.clone(), submitted.references.clone());
        self.schemas.insert(id, Registered { id, text, references, parsed });
        self.id_by_identity.insert(identity, id);
        Ok(id)
    }

    /// Why a schema may not follow a subject's versions, or the given one alone; empty if it may.
    pub(crate) fn check(
        &self,
        subject: &str,
        version: Option<&str>,
        submitted: &Submitted,
    ) -> Result<Vec<String>, Refused> {
        let (_, parsed) = self.read(submitted)?;
        let against = version.map(|version| self.version(subject, version)).transpose()?;
        if against.is_none() {
            self.subject(subject)?;
        }
        Ok(self.breaches(subject, &parsed, against.map(|(_, registered)| registered)))
    }

    fn breaches(&self, subject: &str, new: &Schema, against: Option<&Registered>) -> Vec<String> {
        let level = self.level_of(subject);
        let all = self.subjects.get(subject).into_iter().flat_map(BTreeMap::values);
        let earlier: Vec<&Registered> = match against {
            Some(registered) => vec![registered],
            None => all.filter_map(|id| self.schemas.get(id)).collect(),
        };
        let looked_at = if level.is_transitive() { earlier.len() } else { 1 };
        earlier.iter().rev().take(looked_at).flat_map(|old| level.breaches(new, &old.parsed)).collect()
    }

    /// Forgets a subject and gives its versions. Ids stay readable, for records that name them.
    pub(crate) fn delete_subject(&mut self, subject: &str) -> Result<Vec<u32>, Refused> {
        let versions = self.subjects.remove(subject).ok_or_else(|| Refused::no_subject(subject))?;
        self.levels.remove(subject);
        Ok(versions.into_keys().collect())
    }

    pub(crate) fn delete_version(&mut self, subject: &str, version: &str) -> Result<u32, Refused> {
        let (number, _) = self.version(subject, version)?;
        if let Some(versions) = self.subjects.get_mut(subject) {
            versions.remove(&number);
            if versions.is_empty() {
                self.subjects.remove(subject);
            }
        }
        Ok(number)
    }

    pub(crate) fn global_level(&self) -> Level {
        self.level
    }

    /// A subject's own level.
    pub(crate) fn own_level(&self, subject: &str) -> Result<Level, Refused> {
        let missing =
            || Refused::new(40408, format!("Subject '{subject}' does not have subject-level compatibility configured"));
        self.levels.get(subject).copied().ok_or_else(missing)
    }

    /// The level that counts for a subject.
    pub(crate) fn level_of(&self, subject: &str) -> Level {
        self.levels.get(subject).copied().unwrap_or(self.level)
    }

    /// Sets a subject's level, or everybody's.
    pub(crate) fn set_level(&mut self, subject: Option<&str>, level: &str) -> Result<Level, Refused> {
        let valid = "NONE, BACKWARD, BACKWARD_TRANSITIVE, FORWARD, FORWARD_TRANSITIVE, FULL, FULL_TRANSITIVE";
        let wrong = || Refused::new(42203, format!("Invalid compatibility level '{level}'. Valid values are {valid}"));
        let level = Level::parse(level).ok_or_else(wrong)?;
        match subject {
            None => self.level = level,
            Some(subject) if self.levels.len() < MAX_SCHEMAS || self.levels.contains_key(subject) => {
                self.levels.insert(subject.to_owned(), level);
            }
            Some(_) => return Err(Refused::new(50001, "Too many subjects have a level of their own.")),
        }
        Ok(level)
    }

    /// Forgets a subject's own level and gives it.
    pub(crate) fn unset_level(&mut self, subject: &str) -> Result<Level, Refused> {
        let level = self.own_level(subject)?;
        self.levels.remove(subject);
        Ok(level)
    }

    fn read(&self, submitted: &Submitted) -> Result<(Identity, Schema), Refused> {
        if submitted.schema_type.as_deref().is_some_and(|kind| kind != "AVRO") {
            return Err(Refused::invalid_schema("Invalid schema type: this registry knows AVRO only."));
        }
        let mut referenced = Vec::new();
        self.collect_references(&submitted.references, &mut referenced, 0)?;
        let parsed = compatibility::parse(&submitted.schema, &referenced).map_err(Refused::invalid_schema)?;
        let json: serde_json::Value = serde_json::from_str(&submitted.schema)
            .map_err(|error| Refused::invalid_schema(format!("Invalid schema: {error}")))?;
        let mut references = submitted.references.clone();
        references.sort();
        Ok(((json.to_string(), references), parsed))
    }

    /// The texts of all schemas that are referred to, directly or not.
    fn collect_references(&self, from: &[Reference], into: &mut Vec<String>, depth: usize) -> Result<(), Refused> {
        if depth > 16 {
            return Err(Refused::invalid_schema("Invalid schema: references go deeper than 16 levels."));
        }
        for reference in from {
            let (_, registered) = self.version(&reference.subject, &reference.version.to_string()).map_err(|_| {
                let Reference { subject, version, .. } = reference;
                Refused::invalid_schema(format!(
                    "Invalid schema: no version {version} of subject {subject} to refer to."
                ))
            })?;
            if !into.contains(&registered.text) {
                into.push(registered.text.clone());
                self.collect_references(&registered.references, into, depth + 1)?;
            }
        }
        Ok(())
    }
}
