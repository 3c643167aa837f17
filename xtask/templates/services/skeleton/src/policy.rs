//! What is in force: the settings.

use domain::HumanDuration;
use schemas::Schemas;
use stream::{Poison, RecordRef};

/// What an installation sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// A customer of whom nothing is heard for so long is forgotten.
    pub forget_after: HumanDuration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { forget_after: HumanDuration::from_hours(90 * 24) }
    }
}

/// What is in force.
#[derive(Debug, Default)]
pub struct Policy {
    /// What the installation sets.
    pub(crate) settings: Settings,
}

impl Policy {
    /// With these settings.
    pub fn new(settings: Settings) -> Self {
        Self { settings }
    }

    /// Applies a record of a table; it follows none.
    #[allow(clippy::unused_self, reason = "as every policy has it")]
    pub(crate) fn apply(&mut self, _: &Schemas, _: &RecordRef<'_>) -> Result<bool, Poison> {
        Err(Poison { reason: "no_table", detail: "skeleton follows no table".to_owned() })
    }
}
