use std::fmt;

use serde::{Deserialize, Deserializer};

use super::size::ByteSize;

/// A file with a secret that is longer than this is some other file.
pub const MAX_SECRET_SIZE: ByteSize = ByteSize::from_bytes(64 << 10);

/// The name under which a [`Secret`] asks to be read, so that the reader knows where it may come from.
pub(super) const SECRET: &str = "$vuelve::Secret";
/// The same for the path of a file that holds one.
pub(super) const SECRET_FILE: &str = "$vuelve::SecretFile";

/// A password, a key, a token. It prints as `<redacted>` and can't be serialised.
///
/// It comes from the environment (`VUELVE__GRPC__TOKEN`) or from a file that the key with `_file` at its end names
/// (`grpc.token_file`), never from the configuration file or the command line, which other people read.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret that came from somewhere else.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself: for the one call that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read_as(deserializer, SECRET)
    }
}

/// A secret, given by the path of the file that holds it.
pub(super) struct SecretFile(pub(super) Secret);

impl<'de> Deserialize<'de> for SecretFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read_as(deserializer, SECRET_FILE).map(Self)
    }
}

fn read_as<'de, D: Deserializer<'de>>(deserializer: D, name: &'static str) -> Result<Secret, D::Error> {
    struct Visitor;

    impl<'de> serde::de::Visitor<'de> for Visitor {
        type Value = Secret;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a secret")
        }

        fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Secret, D::Error> {
            String::deserialize(deserializer).map(Secret)
        }
    }

    deserializer.deserialize_newtype_struct(name, Visitor)
}
