//! The configuration: documented defaults, then a file, then the environment, then flags.
//!
//! Wanted properties:
//! - every key has a documented default, or says in the defaults what its absence means;
//! - an unknown key is an error wherever it was written, with the key that was probably meant;
//! - everything that is wrong is told at once, each thing with its origin, before any port is bound;
//! - a secret comes from the environment or a file of its own; it can't be printed or serialised;
//! - a value that was read is valid: its type refuses bad ones.
//!
//! Services add sections of their own ([`Layout::section`]); one layout serves every process of an installation, so that
//! they can share one file.

mod bounded;
mod effective;
mod layout;
mod origin;
mod problems;
mod properties;
mod read;
mod secret;
mod sections;
mod size;
mod sources;
mod tree;
mod words;

use std::any::{Any, TypeId, type_name};
use std::collections::BTreeMap;
use std::sync::Arc;

pub use bounded::{read_bytes, read_text};
pub use effective::Effective;
pub use layout::{Findings, Layout};
pub use origin::Origin;
pub use problems::{Problem, Problems};
pub use properties::ClientProperties;
pub use secret::{MAX_SECRET_SIZE, Secret};
pub use sections::{
    AdminOptions, GrpcOptions, HostOptions, InstallationOptions, KafkaOptions, LogFormat, Mode, StoreKind,
    StoreOptions, TelemetryOptions, layout,
};
pub use size::{ByteSize, ParseByteSizeError};
pub use sources::Sources;
pub use words::{HostPort, LogFilter, Partitions, Prefix, Ratio, Slot, Url};

/// A configuration without a problem.
#[derive(Clone, Debug)]
pub struct Config {
    sections: BTreeMap<TypeId, Arc<dyn Any + Send + Sync>>,
    effective: Effective,
}

impl Config {
    /// A section, by its type.
    ///
    /// # Panics
    /// If the layout has no section of that type: a mistake in the program, seen at its first start.
    #[track_caller]
    pub fn get<T: Send + Sync + 'static>(&self) -> &T {
        let section = self.sections.get(&TypeId::of::<T>()).and_then(|section| section.downcast_ref());
        match section {
            Some(section) => section,
            None => panic!("the configuration's layout has no section of type {}", type_name::<T>()),
        }
    }

    /// What is in force, with where it was written.
    pub const fn effective(&self) -> &Effective {
        &self.effective
    }
}
