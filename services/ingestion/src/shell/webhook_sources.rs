//! Who sends webhooks, what they prove themselves by, and what theirs become.
//!
//! Wanted properties: no secret is shown anywhere; everything that is wrong is told at once; what is read anew takes the place of
//! all that was, or of nothing.

use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;

use definitions::{Encoding, MAX_MAPPING_BYTES, Mapping, SecretForm, Signature, parse_mapping};
use domain::Currency;
use hmac::Hmac;
use opentelemetry::KeyValue;
use parking_lot::RwLock;
use sha2::Sha256;

use super::key_source::KeySource;
use super::metrics::source_label;
use super::options::{WebhookKind, WebhookOptions};
use super::signature::{WANTED, is_secret, keyed, wanted};
use crate::ids::{MAX_ID_BYTES, RESERVED_SOURCES};
use crate::mapping::webhooks::Platform;

/// Somebody who sends webhooks.
pub(crate) struct WebhookSource {
    /// Its name in the path, in events and metrics.
    pub(crate) id: String,
    /// The shop.
    pub(crate) shop: String,
    /// The currency of amounts that name none.
    pub(crate) currency: Currency,
    pub(crate) label: KeyValue,
    terms: RwLock<Arc<Terms>>,
}

/// What is in force for a sender.
pub(crate) struct Terms {
    /// How it signs.
    pub(crate) signature: Signature,
    /// Keyed by each secret.
    pub(crate) secrets: Vec<Hmac<Sha256>>,
    /// What its webhooks become.
    pub(crate) meaning: SourceMeaning,
}

/// What says what webhooks become.
pub(crate) enum SourceMeaning {
    Platform(Platform),
    Mapping(Mapping),
}

/// The webhooks that are configured.
#[derive(Default)]
pub struct Webhooks {
    options: Vec<WebhookOptions>,
    sources: Vec<WebhookSource>,
    /// What was read, to tell whether it is something else later.
    read: RwLock<Vec<Texts>>,
}

/// What was read for a webhook.
#[derive(Clone, PartialEq, Eq)]
struct Texts {
    secrets: Vec<String>,
    mapping: Option<String>,
}

/// What is wrong with a configured webhook.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("webhooks[{index}] (`{id}`): {problem}")]
pub struct WebhookProblem {
    /// Its place in the list, from 0.
    pub index: usize,
    /// Its id.
    pub id: String,
    /// What is wrong, and what to do.
    pub problem: String,
}

impl Webhooks {
    /// Reads the secrets and the mappings from where the options say: a file, or for secrets the environment (by `variable`).
    /// None configured is fine.
    pub fn load(
        options: &[WebhookOptions],
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, Vec<WebhookProblem>> {
        let mut problems = Vec::new();
        let mut ids = HashSet::new();
        for (index, option) in options.iter().enumerate() {
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            if !(1..=64).contains(&option.id.len()) || !option.id.bytes().all(fits) || !ids.insert(&option.id) {
                let problem = "ids are 1 to 64 letters, digits, - and _ (they are a part of the path), each used once";
                problems.push(problem_of(index, option, problem));
            }
            if RESERVED_SOURCES.contains(&option.id.as_str()) {
                let problem = format!("`id` is a source of our own, as are {}", RESERVED_SOURCES.join(", "));
                problems.push(problem_of(index, option, &problem));
            }
            if option.shop.is_empty() || option.shop.len() > MAX_ID_BYTES {
                problems.push(problem_of(index, option, "`shop` is missing or longer than 255 bytes"));
            }
        }
        let read = read(options, variable).unwrap_or_else(|found| {
            problems.extend(found);
            Vec::new()
        });
        if !problems.is_empty() {
            return Err(problems);
        }
        let (texts, terms): (Vec<_>, Vec<_>) = read.into_iter().unzip();
        let sources = options.iter().zip(terms).map(|(option, terms)| WebhookSource {
            id: option.id.clone(),
            shop: option.shop.clone(),
            currency: option.currency,
            label: source_label(&option.id),
            terms: RwLock::new(Arc::new(terms)),
        });
        Ok(Self { sources: sources.collect(), options: options.to_vec(), read: RwLock::new(texts) })
    }

    /// Reads the secrets and the mappings anew; returns whether they are others than before. Where something is wrong with one
    /// of them, all stay as they were.
    pub fn reload(&self, variable: impl Fn(&str) -> Option<String>) -> Result<bool, Vec<WebhookProblem>> {
        let (texts, terms): (Vec<_>, Vec<_>) = read(&self.options, variable)?.into_iter().unzip();
        let mut known = self.read.write();
        let others = *known != texts;
        if others {
            for (source, terms) in self.sources.iter().zip(terms) {
                *source.terms.write() = Arc::new(terms);
            }
            *known = texts;
        }
        Ok(others)
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// The webhook of an id, which is no secret.
    pub(crate) fn find(&self, id: &str) -> Option<&WebhookSource> {
        self.sources.iter().find(|source| source.id == id)
    }
}

impl WebhookSource {
    /// What is in force now.
    pub(crate) fn terms(&self) -> Arc<Terms> {
        Arc::clone(&self.terms.read())
    }
}

fn read(
    options: &[WebhookOptions],
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Vec<(Texts, Terms)>, Vec<WebhookProblem>> {
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    for (index, option) in options.iter().enumerate() {
        match terms(option, &variable) {
            Ok(terms) => found.push(terms),
            Err(wrong) => problems.extend(wrong.iter().map(|problem| problem_of(index, option, problem))),
        }
    }
    if problems.is_empty() { Ok(found) } else { Err(problems) }
}

/// What an entry says and what its files hold; or all that is wrong with them.
fn terms(option: &WebhookOptions, variable: impl Fn(&str) -> Option<String>) -> Result<(Texts, Terms), Vec<String>> {
    let source = KeySource {
        file: option.secret_file.as_deref(),
        variable: option.secret_env.as_deref(),
        word: "secret",
        fits: (is_secret, WANTED),
    };
    let secrets = source.texts(variable).map_err(|problem| vec![problem]);
    let mapping = mapping(option);
    let (secrets, (mapping, signature, meaning)) = match (secrets, mapping) {
        (Ok(secrets), Ok(mapping)) => (secrets, mapping),
        (secrets, mapping) => return Err([secrets.err(), mapping.err()].into_iter().flatten().flatten().collect()),
    };
    let keyed = secrets.iter().map(|secret| keyed(secret, signature.secret)).collect::<Option<Vec<_>>>();
    let Some(keyed) = keyed else {
        return Err(vec![format!("its secret is not {}", wanted(signature.secret))]);
    };
    Ok((Texts { secrets, mapping }, Terms { signature, secrets: keyed, meaning }))
}

/// The text of the mapping if there is one, how the sender signs, and what its webhooks become.
fn mapping(option: &WebhookOptions) -> Result<(Option<String>, Signature, SourceMeaning), Vec<String>> {
    let platform = match (option.kind, &option.mapping_file) {
        (WebhookKind::Mapping, Some(path)) => {
            let text = mapping_text(path).map_err(|problem| vec![problem])?;
            let told = |wrong: &definitions::Diagnostic| wrong.to_string();
            let mapping = parse_mapping(&path.display().to_string(), &text)
                .map_err(|wrong| wrong.iter().map(told).collect::<Vec<_>>())?;
            return Ok((Some(text), mapping.signature.clone(), SourceMeaning::Mapping(mapping)));
        }
        (WebhookKind::Mapping, None) => return Err(vec!["`kind = \"mapping\"` needs a `mapping_file`".to_owned()]),
        (_, Some(_)) => return Err(vec!["`mapping_file` is for `kind = \"mapping\"` alone".to_owned()]),
        (WebhookKind::Shopify, None) => Platform::Shopify,
        (WebhookKind::WooCommerce, None) => Platform::WooCommerce,
    };
    let header = match platform {
        Platform::Shopify => "x-shopify-hmac-sha256",
        Platform::WooCommerce => "x-wc-webhook-signature",
    };
    let signature = Signature {
        header: header.to_owned(),
        encoding: Encoding::Base64,
        prefix: String::new(),
        before_body: Vec::new(),
        timestamp: None,
        secret: SecretForm::Text,
    };
    Ok((None, signature, SourceMeaning::Platform(platform)))
}

fn mapping_text(path: &Path) -> Result<String, String> {
    // Of what is larger than any mapping no more is read than shows it.
    File::open(path)
        .and_then(|file| io::read_to_string(file.take(MAX_MAPPING_BYTES as u64 + 1)))
        .map_err(|error| format!("its mapping_file {} can't be read: {error}", path.display()))
}

fn problem_of(index: usize, option: &WebhookOptions, problem: &str) -> WebhookProblem {
    WebhookProblem { index, id: option.id.clone(), problem: problem.to_owned() }
}

impl fmt::Debug for Webhooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.sources.iter()).finish()
    }
}

impl fmt::Debug for WebhookSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("WebhookSource");
        shown.field("id", &self.id).field("shop", &self.shop).finish_non_exhaustive()
    }
}
