use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::problems::shown;

/// Where a value was written: what an error and the dump of the configuration point at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The documented defaults.
    Default,
    /// A line of the configuration file.
    File {
        /// The file, as it was named.
        path: Arc<Path>,
        /// The line, from 1.
        line: usize,
    },
    /// An environment variable.
    Environment(Arc<str>),
    /// `--set key=value`; holds the key.
    Flag(Arc<str>),
}

impl Origin {
    /// Whether values from there are bare text, to be read as whatever type is wanted.
    pub(super) const fn is_untyped(&self) -> bool {
        matches!(self, Self::Environment(_) | Self::Flag(_))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) => f.write_str(&shown(name)),
            Self::Flag(key) => write!(f, "--set {}", shown(key)),
        }
    }
}
