//! The schema registry, by its Confluent-compatible API.
//!
//! Wanted properties:
//! - only the registry's own word that there is no such schema is taken for it: a proxy's page, a wrong path, a missing
//!   right or a redirect says nothing about schemas, and passes;
//! - a schema that it does not have is asked for once in a while, not for each record that names it: a producer with the ids of
//!   another registry must not keep everybody waiting;
//! - its password is shown nowhere.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemas::Schemas;
use serde::Deserialize;

use crate::http::http_client;

/// Answers larger than this are no schema of ours.
const MAX_ANSWER_BYTES: u64 = 4 << 20;

/// For so long a schema that can't be had is not asked for again.
const REFUSED_FOR: Duration = Duration::from_secs(5);
/// So many of them are remembered.
const MAX_REFUSED: usize = 10_000;

/// How much of an answer is repeated where it is none.
const MAX_TOLD_CHARS: usize = 300;

/// The numbers of Confluent's API that are for good, by what was asked. (409: our schema does not fit those before it; 42201
/// to 42203: the schema, its version or its level is not valid.)
const REGISTERING: &[u32] = &[409, 42201, 42202, 42203];
/// (40401: no such subject; 40403: the subject has no such schema.)
const LOOKING_UP: &[u32] = &[NO_SUBJECT, NO_SCHEMA, 42201];
const LEARNING: &[u32] = &[NO_SCHEMA];
const NO_SUBJECT: u32 = 40401;
const NO_SCHEMA: u32 = 40403;

/// A Confluent-compatible schema registry.
#[derive(Clone)]
pub struct Registry {
    agent: ureq::Agent,
    url: String,
    /// The header by which it knows us, if it asks for one.
    authorization: Option<String>,
    /// Which schemas can't be had, and when that was found. Clones share it.
    refused: Arc<Mutex<HashMap<u32, Instant>>>,
}

/// Without the password.
impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("url", &self.url).finish_non_exhaustive()
    }
}

/// Why the registry did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// No answer, or none that a registry gives: try again.
    #[error("the schema registry at {url} {reason}")]
    Unavailable {
        /// Its address.
        url: String,
        /// What happened.
        reason: String,
    },
    /// The registry says for good that it can't be had: there is no such schema, or ours does not fit those before it.
    #[error("the schema registry refuses {subject} ({code}): {reason}")]
    Refused {
        /// Which subject, or schema.
        subject: String,
        /// Confluent's number for it.
        code: u32,
        /// What it said.
        reason: String,
    },
    /// The subject is not registered and registering is off.
    #[error("{subject} is not registered: run `vuelve topics create`, or set kafka.auto_register")]
    NotRegistered {
        /// Which subject.
        subject: String,
    },
    /// What it answered is no schema.
    #[error("the schema registry's answer for {subject} can't be used: {reason}")]
    Unreadable {
        /// Which subject, or schema.
        subject: String,
        /// Why.
        reason: String,
    },
}

impl RegistryError {
    /// Whether the same may succeed later.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

#[derive(Deserialize)]
struct IdAnswer {
    id: u32,
}

#[derive(Deserialize)]
struct SchemaAnswer {
    schema: String,
}

/// What the registry says where it refuses.
#[derive(Deserialize)]
struct Refusal {
    error_code: u32,
    #[serde(default)]
    message: String,
}

/// What is asked of it, and which refusals of that are for good.
struct Question<'a> {
    method: &'a str,
    path: String,
    body: Option<&'a serde_json::Value>,
    subject: &'a str,
    for_good: &'a [u32],
}

impl Registry {
    /// The registry at a URL such as `http://127.0.0.1:8081` (its path, as in `/apis/ccompat/v7`, included).
    pub fn new(url: &str, timeout: Duration) -> Self {
        let url = url.trim_end_matches('/').to_owned();
        Self { agent: http_client(timeout), url, authorization: None, refused: Arc::default() }
    }

    /// The same, for a user with a password (HTTP Basic).
    #[must_use]
    pub fn with_login(mut self, user: &str, password: &str) -> Self {
        self.authorization = Some(format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))));
        self
    }

    /// Registers every contract under `<topic>-value` where `register` says so, else looks it up; binds what is written
    /// under which id.
    pub fn bind(&self, prefix: &str, schemas: &Schemas, register: bool) -> Result<(), RegistryError> {
        for (dataset, _, text) in schemas::contracts() {
            let subject = format!("{}-value", schemas::topic_name(prefix, dataset));
            let schema = serde_json::json!({ "schemaType": "AVRO", "schema": text });
            let answer = if register { self.register(&subject, &schema) } else { self.look_up(&subject, &schema) };
            schemas.bind(dataset, answer?.id);
        }
        Ok(())
    }

    fn register(&self, subject: &str, schema: &serde_json::Value) -> Result<IdAnswer, RegistryError> {
        // Before the first version, so that no later one can break a reader.
        let compatibility = serde_json::json!({ "compatibility": "FULL_TRANSITIVE" });
        self.call(&Question {
            method: "PUT",
            path: format!("/config/{subject}"),
            body: Some(&compatibility),
            subject,
            for_good: REGISTERING,
        })?;
        self.call_for(&Question {
            method: "POST",
            path: format!("/subjects/{subject}/versions"),
            body: Some(schema),
            subject,
            for_good: REGISTERING,
        })
    }

    fn look_up(&self, subject: &str, schema: &serde_json::Value) -> Result<IdAnswer, RegistryError> {
        let question = Question {
            method: "POST",
            path: format!("/subjects/{subject}"),
            body: Some(schema),
            subject,
            for_good: LOOKING_UP,
        };
        self.call_for(&question).map_err(|error| match error {
            RegistryError::Refused { code: NO_SUBJECT | NO_SCHEMA, subject, .. } => {
                RegistryError::NotRegistered { subject }
            }
            other => other,
        })
    }

    /// Fetches the schema behind an id that a record names, and remembers it. Where it was told a moment ago that it can't be
    /// had, nothing is asked and nothing learnt.
    pub fn learn(&self, schemas: &Schemas, id: u32) -> Result<(), RegistryError> {
        if self.was_refused(id) {
            return Ok(());
        }
        let learnt = self.fetch(schemas, id);
        if learnt.as_ref().is_err_and(|error| !error.is_passing()) {
            let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
            refused.retain(|_, at| at.elapsed() < REFUSED_FOR);
            if refused.len() < MAX_REFUSED {
                refused.insert(id, Instant::now());
            }
        }
        learnt
    }

    fn was_refused(&self, id: u32) -> bool {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.get(&id).is_some_and(|at| at.elapsed() < REFUSED_FOR)
    }

    fn fetch(&self, schemas: &Schemas, id: u32) -> Result<(), RegistryError> {
        let subject = format!("schema {id}");
        let question = Question {
            method: "GET",
            path: format!("/schemas/ids/{id}"),
            body: None,
            subject: &subject,
            for_good: LEARNING,
        };
        let answer: SchemaAnswer = self.call_for(&question)?;
        schemas
            .learn(id, &answer.schema)
            .map_err(|error| RegistryError::Unreadable { subject, reason: error.to_string() })
    }

    fn call_for<T: for<'de> Deserialize<'de>>(&self, question: &Question<'_>) -> Result<T, RegistryError> {
        let text = self.call(question)?;
        // Whoever answers something else is no registry, whatever the status: a proxy's page, a log-in form.
        serde_json::from_str(&text)
            .map_err(|_| self.unavailable(format!("gives no answer of a registry: {}", told(&text))))
    }

    fn call(&self, question: &Question<'_>) -> Result<String, RegistryError> {
        let away = |error: ureq::Error| self.unavailable(format!("does not answer: {error}"));
        let url = format!("{}{}", self.url, question.path);
        let response = match (question.method, question.body) {
            ("PUT", Some(body)) => self.known(self.agent.put(&url)).content_type(CONTENT_TYPE).send(body.to_string()),
            (_, Some(body)) => self.known(self.agent.post(&url)).content_type(CONTENT_TYPE).send(body.to_string()),
            (_, None) => self.known(self.agent.get(&url)).call(),
        };
        let mut response = response.map_err(away)?;
        let status = response.status().as_u16();
        let text = response.body_mut().with_config().limit(MAX_ANSWER_BYTES).read_to_string().map_err(away)?;
        if (200..=299).contains(&status) {
            return Ok(text);
        }
        match serde_json::from_str(&text) {
            Ok(Refusal { error_code: code, message }) if question.for_good.contains(&code) => {
                Err(RegistryError::Refused { subject: question.subject.to_owned(), code, reason: told(&message) })
            }
            _ => Err(self.unavailable(format!("answers HTTP {status}{}: {}", advice(status), told(&text)))),
        }
    }

    /// A request that says who asks.
    fn known<Body>(&self, request: ureq::RequestBuilder<Body>) -> ureq::RequestBuilder<Body> {
        match &self.authorization {
            Some(authorization) => request.header("authorization", authorization),
            None => request,
        }
    }

    fn unavailable(&self, reason: String) -> RegistryError {
        RegistryError::Unavailable { url: self.url.clone(), reason }
    }
}

/// What to do about a status.
fn advice(status: u16) -> &'static str {
    match status {
        401 | 403 => " (kafka.registry_user and its password say who asks)",
        300..=399 => " (it sends us elsewhere: kafka.registry_url must be its own address)",
        404 => " (kafka.registry_url must lead to the API, path included)",
        _ => "",
    }
}

/// The beginning of what was said, in one line.
fn told(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(MAX_TOLD_CHARS).collect()
}

const CONTENT_TYPE: &str = "application/vnd.schemaregistry.v1+json";
