//! Any bytes whatever to three places that take bytes from outside, and what must hold of them all.
//!
//! A target is a function of bytes that panics where something does not hold. libFuzzer calls it with what it makes up
//! (`engine.rs`, started by `main.rs`), the tests with the seeds and with what was found once.

mod door;
mod fixture;
mod input;
mod records;
mod seeds;
mod spool;
mod webhooks;

use std::fs;
use std::path::{Path, PathBuf};

pub use seeds::{Seed, seeds};

/// What can be fuzzed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A request, to any path of the door.
    Door,
    /// A webhook, signed.
    Webhooks,
    /// The files of a spool.
    SpoolReader,
}

impl Target {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Door, Self::Webhooks, Self::SpoolReader];

    /// Its name, for people and for files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Door => "door",
            Self::Webhooks => "webhooks",
            Self::SpoolReader => "spool_reader",
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|target| target.name() == name)
    }

    /// Tries these bytes; panics where something does not hold.
    pub fn run(self, bytes: &[u8]) {
        match self {
            Self::Door => door::run(bytes),
            Self::Webhooks => webhooks::run(bytes),
            Self::SpoolReader => spool::run(bytes),
        }
    }

    /// What was found once: files that are kept and tried in every test.
    pub fn regressions(self) -> Vec<PathBuf> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions").join(self.name());
        let mut found: Vec<PathBuf> =
            fs::read_dir(folder).map(|files| files.flatten().map(|file| file.path()).collect()).unwrap_or_default();
        found.sort();
        found
    }
}
