//! The schema registry, by its Confluent-compatible API.

use std::time::Duration;

use schemas::Schemas;
use serde::Deserialize;

/// Answers larger than this are no schema of ours.
const MAX_ANSWER_BYTES: u64 = 4 << 20;

/// A Confluent-compatible schema registry.
#[derive(Clone, Debug)]
pub struct Registry {
    agent: ureq::Agent,
    url: String,
}

/// Why the registry did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// No answer, or a passing failure.
    #[error("the schema registry at {url} does not answer: {reason}")]
    Unavailable {
        /// Its address.
        url: String,
        /// What happened.
        reason: String,
    },
    /// It has another schema for the subject, and ours does not fit it.
    #[error("the schema registry refuses the schema of {subject} (HTTP {status}): {reason}")]
    Refused {
        /// Which subject, or schema.
        subject: String,
        /// The HTTP status.
        status: u16,
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

impl Registry {
    /// The registry at a URL such as `http://127.0.0.1:8081` (its path, as in `/apis/ccompat/v7`, included).
    pub fn new(url: &str, timeout: Duration) -> Self {
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            .max_redirects(0)
            .build()
            .new_agent();
        Self { agent, url: url.trim_end_matches('/').to_owned() }
    }

    /// Registers every contract under `<topic>-value` where `register` says so, else looks it up; binds what is written
    /// under which id.
    pub fn bind(&self, prefix: &str, schemas: &Schemas, register: bool) -> Result<(), RegistryError> {
        for (dataset, _, text) in schemas::contracts() {
            let subject = format!("{}-value", schemas::topic_name(prefix, dataset));
            let body = serde_json::json!({ "schemaType": "AVRO", "schema": text });
            if register {
                // Before the first version, so that no later one can break a reader.
                let compatibility = serde_json::json!({ "compatibility": "FULL_TRANSITIVE" });
                self.call("PUT", &format!("/config/{subject}"), Some(&compatibility), &subject)?;
                let answer: IdAnswer =
                    self.call_for("POST", &format!("/subjects/{subject}/versions"), Some(&body), &subject)?;
                schemas.bind(dataset, answer.id);
            } else {
                let found: Result<IdAnswer, _> =
                    self.call_for("POST", &format!("/subjects/{subject}"), Some(&body), &subject);
                let answer = found.map_err(|error| match error {
                    RegistryError::Refused { status: 404, subject, .. } => RegistryError::NotRegistered { subject },
                    other => other,
                })?;
                schemas.bind(dataset, answer.id);
            }
        }
        Ok(())
    }

    /// Fetches the schema behind an id that a record names, and remembers it.
    pub fn learn(&self, schemas: &Schemas, id: u32) -> Result<(), RegistryError> {
        let subject = format!("schema {id}");
        let answer: SchemaAnswer = self.call_for("GET", &format!("/schemas/ids/{id}"), None, &subject)?;
        schemas
            .learn(id, &answer.schema)
            .map_err(|error| RegistryError::Unreadable { subject, reason: error.to_string() })
    }

    fn call_for<T: for<'de> Deserialize<'de>>(
        &self,
        method: &str,
        path: &str,
        body: Option<&serde_json::Value>,
        subject: &str,
    ) -> Result<T, RegistryError> {
        let text = self.call(method, path, body, subject)?;
        serde_json::from_str(&text)
            .map_err(|error| RegistryError::Unreadable { subject: subject.to_owned(), reason: error.to_string() })
    }

    fn call(
        &self,
        method: &str,
        path: &str,
        body: Option<&serde_json::Value>,
        subject: &str,
    ) -> Result<String, RegistryError> {
        let unavailable = |reason: String| RegistryError::Unavailable { url: self.url.clone(), reason };
        let url = format!("{}{path}", self.url);
        let response = match (method, body) {
            ("PUT", Some(body)) => self.agent.put(&url).content_type(CONTENT_TYPE).send(body.to_string()),
            (_, Some(body)) => self.agent.post(&url).content_type(CONTENT_TYPE).send(body.to_string()),
            (_, None) => self.agent.get(&url).call(),
        };
        let mut response = response.map_err(|error| unavailable(error.to_string()))?;
        let status = response.status().as_u16();
        let text = response
            .body_mut()
            .with_config()
            .limit(MAX_ANSWER_BYTES)
            .read_to_string()
            .map_err(|error| unavailable(error.to_string()))?;
        match status {
            200..=299 => Ok(text),
            408 | 429 | 500..=599 => Err(unavailable(format!("HTTP {status}"))),
            _ => Err(RegistryError::Refused {
                subject: subject.to_owned(),
                status,
                reason: text.chars().take(300).collect(),
            }),
        }
    }
}

const CONTENT_TYPE: &str = "application/vnd.schemaregistry.v1+json";
