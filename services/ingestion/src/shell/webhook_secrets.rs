//! Which platforms send webhooks, and what they prove themselves by.
//!
//! Wanted properties: a signature is compared in a time that depends neither on it nor on the secrets; no secret is shown
//! anywhere; everything that is wrong is told at once; what is read anew takes the place of all that was, or of nothing.

use std::collections::HashSet;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::Currency;
use hmac::{Hmac, KeyInit, Mac};
use parking_lot::RwLock;
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};

use super::key_source::KeySource;
use super::options::WebhookOptions;
use crate::ids::MAX_ID_BYTES;
use crate::mapping::webhooks::Platform;

/// A shorter secret could be guessed, and then anybody could place orders and erase customers.
const MIN_SECRET_BYTES: usize = 16;

/// A platform that sends webhooks.
pub(crate) struct WebhookSource {
    /// Its name in the path, in events and metrics.
    pub(crate) id: String,
    /// Which it is.
    pub(crate) platform: Platform,
    /// The shop.
    pub(crate) shop: String,
    /// The currency of amounts that name none.
    pub(crate) currency: Currency,
    /// Keyed by each secret that is in force.
    secrets: RwLock<Vec<Hmac<Sha256>>>,
}

/// The webhooks that are configured.
#[derive(Default)]
pub struct Webhooks {
    options: Vec<WebhookOptions>,
    sources: Vec<WebhookSource>,
    /// What the secrets were read as, to tell whether they are others later.
    read: RwLock<Vec<Vec<String>>>,
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
    /// Reads the secrets from where the options say: a file, or the environment (by `variable`). None configured is fine.
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
            if option.shop.is_empty() || option.shop.len() > MAX_ID_BYTES {
                problems.push(problem_of(index, option, "`shop` is missing or longer than 255 bytes"));
            }
        }
        let texts = read(options, variable).unwrap_or_else(|found| {
            problems.extend(found);
            Vec::new()
        });
        if !problems.is_empty() {
            return Err(problems);
        }
        let sources = options.iter().zip(&texts).map(|(option, texts)| WebhookSource {
            id: option.id.clone(),
            platform: option.kind,
            shop: option.shop.clone(),
            currency: option.currency,
            secrets: RwLock::new(keyed(texts)),
        });
        Ok(Self { sources: sources.collect(), options: options.to_vec(), read: RwLock::new(texts) })
    }

    /// Reads the secrets anew; returns whether they are others than before. Where something is wrong with one of them, all
    /// stay as they were.
    pub fn reload(&self, variable: impl Fn(&str) -> Option<String>) -> Result<bool, Vec<WebhookProblem>> {
        let texts = read(&self.options, variable)?;
        let mut known = self.read.write();
        let others = *known != texts;
        if others {
            for (source, texts) in self.sources.iter().zip(&texts) {
                *source.secrets.write() = keyed(texts);
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
    /// Whether a signature (base64 of HMAC-SHA256) is that of the body under one of the secrets. All are tried.
    pub(crate) fn has_signed(&self, body: &[u8], signature: &str) -> bool {
        // What is no base64 is no signature, and equal to none.
        let signature = STANDARD.decode(signature.trim()).unwrap_or_default();
        let mut is_one = Choice::from(0);
        for keyed in self.secrets.read().iter() {
            let mut mac = keyed.clone();
            mac.update(body);
            is_one |= mac.finalize().into_bytes().ct_eq(signature.as_slice());
        }
        is_one.into()
    }
}

fn read(
    options: &[WebhookOptions],
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Vec<Vec<String>>, Vec<WebhookProblem>> {
    let (mut texts, mut problems) = (Vec::new(), Vec::new());
    for (index, option) in options.iter().enumerate() {
        let source = KeySource {
            file: option.secret_file.as_deref(),
            variable: option.secret_env.as_deref(),
            word: "secret",
            fits: (is_secret, "16 to 255 printable characters (a longer one is harder to guess)"),
        };
        match source.texts(&variable) {
            Ok(found) => texts.push(found),
            Err(error) => problems.push(problem_of(index, option, &error)),
        }
    }
    if problems.is_empty() { Ok(texts) } else { Err(problems) }
}

fn is_secret(text: &str) -> bool {
    (MIN_SECRET_BYTES..=MAX_ID_BYTES).contains(&text.len()) && !text.contains(char::is_control)
}

fn keyed(texts: &[String]) -> Vec<Hmac<Sha256>> {
    let keyed = |text: &String| Hmac::new_from_slice(text.as_bytes()).expect("HMAC takes a key of any length");
    texts.iter().map(keyed).collect()
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
        shown.field("id", &self.id).field("platform", &self.platform).field("shop", &self.shop).finish_non_exhaustive()
    }
}
