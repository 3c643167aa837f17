//! Write keys: which storefront a call comes from.
//!
//! Wanted properties: looking a key up takes the same time whatever it is; no key is shown anywhere; everything that is
//! wrong with the configured keys is told at once; what is read anew takes the place of all that was, or of nothing.

use std::collections::HashSet;
use std::fmt;

use domain::Currency;
use opentelemetry::KeyValue;
use parking_lot::RwLock;
use schemas::LINKS;
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use super::key_source::KeySource;
use super::limits::{Limits, MIN_BURST_EVENTS};
use super::metrics::source_label;
use super::options::WriteKeyOptions;
use crate::ids::MAX_ID_BYTES;
use crate::mapping::Scope;

/// What a write key stands for.
#[derive(Debug)]
pub struct WriteKey {
    /// Its name in events and metrics.
    pub id: String,
    /// The shop.
    pub shop: String,
    /// The currency of amounts that name none.
    pub currency: Currency,
    /// What may come with it.
    pub scope: Scope,
    pub(crate) limits: Limits,
    pub(crate) label: KeyValue,
}

/// The keys in force, by their digests.
pub struct WriteKeys {
    options: Vec<WriteKeyOptions>,
    keys: Vec<WriteKey>,
    /// Of each text that is in force the digest, and whose it is by its place among the keys.
    digests: RwLock<Digests>,
}

type Digests = Vec<([u8; 32], u32)>;

/// What is wrong with a configured write key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteKeyProblem {
    /// No keys at all.
    #[error("write_keys: none is given, so no storefront could send anything; give at least one with id, shop and key")]
    None,
    /// Something about one of them.
    #[error("write_keys[{index}] (`{id}`): {problem}")]
    Key {
        /// Its place in the list, from 0.
        index: usize,
        /// Its id.
        id: String,
        /// What is wrong, and what to do.
        problem: String,
    },
}

impl WriteKeys {
    /// Reads the keys from where the options say: a file, or the environment (by `variable`).
    pub fn load(
        options: &[WriteKeyOptions],
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, Vec<WriteKeyProblem>> {
        let mut problems = Vec::new();
        let mut ids = HashSet::new();
        for (index, option) in options.iter().enumerate() {
            let mut problem = |problem: &str| problems.push(problem_of(index, option, problem));
            if option.id.is_empty() || option.id.len() > 64 || !ids.insert(&option.id) {
                problem("ids are 1 to 64 bytes long, each used once");
            }
            if option.id == LINKS {
                problem("`id` is the source of what links of messages tell");
            }
            if option.shop.is_empty() || option.shop.len() > MAX_ID_BYTES {
                problem("`shop` is missing or longer than 255 bytes");
            }
            if [option.burst_events, option.events_per_day].into_iter().flatten().any(|most| most < MIN_BURST_EVENTS) {
                problem(
                    "`burst_events` or `events_per_day` is less than one batch may have, 2500; such a batch could never come",
                );
            }
            if option.burst_events.is_some() && option.events_per_second.is_none() {
                problem("`burst_events` says how far `events_per_second` may be passed, which is not given");
            }
        }
        if options.is_empty() {
            problems.push(WriteKeyProblem::None);
        }
        let digests = read(options, variable).unwrap_or_else(|found| {
            problems.extend(found);
            Vec::new()
        });
        if !problems.is_empty() {
            return Err(problems);
        }
        let keys = options.iter().map(|option| WriteKey {
            id: option.id.clone(),
            shop: option.shop.clone(),
            currency: option.currency,
            scope: option.scope,
            limits: Limits::of(option),
            label: source_label(&option.id),
        });
        Ok(Self { keys: keys.collect(), options: options.to_vec(), digests: RwLock::new(digests) })
    }

    /// Reads the texts of the keys anew; returns whether they are others than before. Where something is wrong with one of
    /// them, all stay as they were.
    pub fn reload(&self, variable: impl Fn(&str) -> Option<String>) -> Result<bool, Vec<WriteKeyProblem>> {
        let digests = read(&self.options, variable)?;
        let others = *self.digests.read() != digests;
        if others {
            *self.digests.write() = digests;
        }
        Ok(others)
    }

    /// What a key stands for, in a time that does not depend on the key.
    pub fn find(&self, key: &str) -> Option<&WriteKey> {
        let wanted = digest(key);
        let mut found = u32::MAX;
        for (digest, index) in self.digests.read().iter() {
            let same: Choice = digest.ct_eq(&wanted);
            found.conditional_assign(index, same);
        }
        self.keys.get(found as usize)
    }
}

/// The digests of all texts that are in force.
fn read(
    options: &[WriteKeyOptions],
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Digests, Vec<WriteKeyProblem>> {
    let (mut digests, mut problems) = (Digests::new(), Vec::new());
    for (index, option) in options.iter().enumerate() {
        let texts = match texts_of(option, &variable) {
            Ok(texts) => texts,
            Err(error) => {
                problems.push(problem_of(index, option, &error));
                continue;
            }
        };
        for text in texts {
            let digest = digest(&text);
            if digests.iter().any(|(known, whose)| *known == digest && *whose as usize != index) {
                let problem = "another entry has the same key, so their shops could not be told apart";
                problems.push(problem_of(index, option, problem));
            }
            digests.push((digest, index as u32));
        }
    }
    if problems.is_empty() { Ok(digests) } else { Err(problems) }
}

fn texts_of(option: &WriteKeyOptions, variable: impl Fn(&str) -> Option<String>) -> Result<Vec<String>, String> {
    let source = KeySource {
        file: option.key_file.as_deref(),
        variable: option.key_env.as_deref(),
        word: "key",
        fits: (is_key, "1 to 255 printable ASCII characters without `:` and spaces"),
    };
    source.texts(variable)
}

fn is_key(text: &str) -> bool {
    text.len() <= MAX_ID_BYTES && text.bytes().all(|b| b.is_ascii_graphic() && b != b':')
}

fn problem_of(index: usize, option: &WriteKeyOptions, problem: &str) -> WriteKeyProblem {
    WriteKeyProblem::Key { index, id: option.id.clone(), problem: problem.to_owned() }
}

fn digest(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

impl fmt::Debug for WriteKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter()).finish()
    }
}
