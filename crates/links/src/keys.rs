use std::fmt;
use std::str::FromStr;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// A secret of at least 16 bytes. It is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<[u8]>);

/// A secret that is too short to keep anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a secret of {bytes} bytes is too short: at least {least} are needed (`openssl rand -hex 32` makes a good one)", least = Secret::MIN_BYTES)]
pub struct WeakSecret {
    bytes: usize,
}

impl Secret {
    /// Fewer bytes than this are refused.
    pub const MIN_BYTES: usize = 16;

    /// Takes the bytes as they are: whoever reads them from a file trims the line end.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, WeakSecret> {
        let bytes = bytes.into();
        if bytes.len() < Self::MIN_BYTES { Err(WeakSecret { bytes: bytes.len() }) } else { Ok(Self(bytes.into())) }
    }

    /// A keyed hash in progress; `purpose` keeps the uses of one secret apart.
    pub(crate) fn mac(&self, purpose: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        mac.update(purpose);
        mac
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Names a signing key inside a token: 1 to 16 of `a-z`, `0-9`, `-`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyId(Box<str>);

impl KeyId {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeyId {
    type Err = KeyRingError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = (1..=16).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if fits { Ok(Self(text.into())) } else { Err(KeyRingError::KeyId(text.chars().take(24).collect())) }
    }
}

/// The signing keys in force: the first signs, each verifies.
#[derive(Clone, Debug)]
pub struct KeyRing {
    keys: Vec<(KeyId, Secret)>,
}

/// Why keys make no ring.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyRingError {
    /// There is no key to sign with.
    #[error("no signing key is given; at least one is needed")]
    Empty,
    /// An id that can't stand in a token.
    #[error("`{0}` is not a key id: 1 to 16 of a-z, 0-9 and - are expected")]
    KeyId(String),
    /// Two keys of one id.
    #[error("the key id `{0}` is given twice")]
    Twice(String),
    /// A line that is not `id:secret`.
    #[error("line {line} of the signing keys is not `id:secret`")]
    Line {
        /// Counted from one.
        line: usize,
    },
    /// A secret that is too short.
    #[error("signing key `{id}`: {weak}")]
    Weak {
        /// The key's id.
        id: String,
        /// What is wrong with it.
        weak: WeakSecret,
    },
}

impl KeyRing {
    /// The keys, newest first.
    pub fn new(keys: Vec<(KeyId, Secret)>) -> Result<Self, KeyRingError> {
        if keys.is_empty() {
            return Err(KeyRingError::Empty);
        }
        for (index, (id, _)) in keys.iter().enumerate() {
            if keys[..index].iter().any(|(earlier, _)| earlier == id) {
                return Err(KeyRingError::Twice(id.as_str().to_owned()));
            }
        }
        Ok(Self { keys })
    }

    /// Reads the form in which the keys lie in a secret file: a line `id:secret` each, newest first; empty lines
    /// and lines that begin with `#` are passed over.
    pub fn parse(text: &str) -> Result<Self, KeyRingError> {
        let mut keys = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (id, secret) = line.split_once(':').ok_or(KeyRingError::Line { line: index + 1 })?;
            let secret =
                Secret::new(secret.trim()).map_err(|weak| KeyRingError::Weak { id: id.trim().to_owned(), weak })?;
            keys.push((id.trim().parse()?, secret));
        }
        Self::new(keys)
    }

    /// The key that signs.
    pub(crate) fn signing(&self) -> &(KeyId, Secret) {
        &self.keys[0]
    }

    /// The secret of a key id.
    pub(crate) fn secret(&self, id: &str) -> Option<&Secret> {
        self.keys.iter().find(|(known, _)| known.as_str() == id).map(|(_, secret)| secret)
    }
}
