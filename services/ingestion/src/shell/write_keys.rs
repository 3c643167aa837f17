//! Write keys: which storefront a call comes from.
//!
//! Wanted properties: looking a key up takes the same time whatever it is; no key is shown anywhere; everything that is
//! wrong with the configured keys is told at once.

use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};

use domain::Currency;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use super::options::WriteKeyOptions;
use crate::ids::MAX_ID_BYTES;

/// What a write key stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteKey {
    /// Its name in events and metrics.
    pub id: String,
    /// The shop.
    pub shop: String,
    /// The currency of amounts that name none.
    pub currency: Currency,
}

/// The keys in force, by their digests.
pub struct WriteKeys {
    keys: Vec<([u8; 32], WriteKey)>,
}

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
    /// Reads the keys from where the options say: the text itself, a file, or the environment (by `variable`).
    pub fn load(
        options: &[WriteKeyOptions],
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, Vec<WriteKeyProblem>> {
        let mut keys = Vec::new();
        let mut problems = Vec::new();
        let (mut ids, mut digests) = (HashSet::new(), HashSet::new());
        for (index, option) in options.iter().enumerate() {
            let mut problem = |problem: &str| {
                problems.push(WriteKeyProblem::Key { index, id: option.id.clone(), problem: problem.to_owned() });
            };
            if option.id.is_empty() || option.id.len() > 64 || !ids.insert(&option.id) {
                problem("ids are 1 to 64 bytes long, each used once");
            }
            if option.shop.is_empty() || option.shop.len() > MAX_ID_BYTES {
                problem("`shop` is missing or longer than 255 bytes");
            }
            match text_of(option, &variable) {
                Ok(key) => {
                    let digest = digest(&key);
                    if !digests.insert(digest) {
                        problem("another entry has the same key, so their shops could not be told apart");
                    }
                    let key = WriteKey { id: option.id.clone(), shop: option.shop.clone(), currency: option.currency };
                    keys.push((digest, key));
                }
                Err(error) => problem(&error),
            }
        }
        if options.is_empty() {
            problems.push(WriteKeyProblem::None);
        }
        if problems.is_empty() { Ok(Self { keys }) } else { Err(problems) }
    }

    /// What a key stands for, in a time that does not depend on the key.
    pub fn find(&self, key: &str) -> Option<&WriteKey> {
        let wanted = digest(key);
        let mut found = u32::MAX;
        for (index, (digest, _)) in self.keys.iter().enumerate() {
            let same: Choice = digest.ct_eq(&wanted);
            found.conditional_assign(&(index as u32), same);
        }
        self.keys.get(found as usize).map(|(_, key)| key)
    }
}

const MAX_FILE_BYTES: u64 = 4 << 10;

fn text_of(option: &WriteKeyOptions, variable: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let text = match (&option.key_file, &option.key_env) {
        // Of what is longer than any key no more is read than shows it.
        (Some(path), None) => File::open(path)
            .and_then(|file| io::read_to_string(file.take(MAX_FILE_BYTES)))
            .map_err(|error| format!("its key_file {} can't be read: {error}", path.display()))?,
        (None, Some(name)) => variable(name)
            .ok_or_else(|| format!("the environment variable {name} that is to hold its key is not set"))?,
        _ => return Err("exactly one of key_file and key_env is needed".to_owned()),
    };
    let text = text.trim();
    let fits = (1..=MAX_ID_BYTES).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic() && b != b':');
    if fits {
        Ok(text.to_owned())
    } else {
        Err("its key is not 1 to 255 printable ASCII characters without `:`".to_owned())
    }
}

fn digest(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

impl fmt::Debug for WriteKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|(_, key)| key)).finish()
    }
}
