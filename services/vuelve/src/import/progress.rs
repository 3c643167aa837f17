//! How far an import came, on disk: so that one that was killed goes on, and one that is through is not done twice.
//!
//! Wanted properties:
//! - it never says that more is done than the broker has acknowledged;
//! - a kill at any moment leaves the one from before or the new one, whole;
//! - another file, or the same to be read in another way, is refused instead of being gone on with.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};

use super::input::Digest;
use super::rows::Place;

const VERSION: u32 = 2;
/// What beginning anew does, and what else to do.
const ANEW: &str = "rows that were sent are told from new ones for 24 hours (`window` of the resolver) and among a customer's last 4,096 \
                    events, and beyond that they count twice; mended rows go as a file of their own";

/// What became of the rows so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Rows read.
    pub rows: u64,
    /// Events that the broker has.
    pub events: u64,
    /// Rows that went into them.
    pub taken: u64,
    /// Rows that the mapping does not want.
    pub passed_over: u64,
    /// Rows that were rejected.
    pub rejected: u64,
}

/// How far it came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Progress {
    version: u32,
    /// The file.
    pub(super) input: Digest,
    /// How it is read and where it goes, by names.
    pub(super) settings: Vec<(String, String)>,
    /// Everything before it is done.
    pub(super) place: Place,
    pub(super) counts: Counts,
    /// The size of the report of rejected rows.
    pub(super) rejects_bytes: u64,
    pub(super) finished: bool,
}

/// Where it is kept.
#[derive(Clone, Debug)]
pub(super) struct ProgressFile(pub(super) PathBuf);

impl Progress {
    pub(super) fn begin(input: Digest, settings: Vec<(String, String)>) -> Self {
        let (place, counts) = (Place::default(), Counts::default());
        Self { version: VERSION, input, settings, place, counts, rejects_bytes: 0, finished: false }
    }
}

impl ProgressFile {
    /// Goes on with what is there, or begins.
    pub(super) fn load(&self, begin: Progress) -> anyhow::Result<Progress> {
        let name = self.0.display();
        let text = match fs::read_to_string(&self.0) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(begin),
            Err(error) => return Err(error).with_context(|| name.to_string()),
        };
        let known: Progress = serde_json::from_str(&text).with_context(|| {
            format!("{name}: this is no progress of an import; remove it, or name another with --progress")
        })?;
        ensure!(
            known.version == VERSION,
            "{name}: it is of another version of vuelve; remove it to begin anew ({ANEW})"
        );
        ensure!(
            known.input == begin.input,
            "{name}: it is of another file, or this one has changed since (then {} rows had been read); give the file as it was, or \
             remove {name} to begin anew ({ANEW})",
            known.counts.rows
        );
        let differs = known.settings.iter().zip(&begin.settings).find(|(before, now)| before != now);
        if let Some(((setting, before), (_, now))) = differs {
            bail!(
                "{name}: the import was begun with {setting} `{before}`, and now it is `{now}`; give the same again, or remove {name} \
                 to begin anew ({ANEW})"
            );
        }
        Ok(known)
    }

    /// Keeps it: written beside, and put in place at once.
    pub(super) fn save(&self, progress: &Progress) -> anyhow::Result<()> {
        self.replace(&(serde_json::to_string(progress)? + "\n")).with_context(|| {
            format!("{}: how far the import came can't be written (--progress names another place)", self.0.display())
        })
    }

    fn replace(&self, text: &str) -> io::Result<()> {
        let mut beside = self.0.clone().into_os_string();
        beside.push(".new");
        let beside = PathBuf::from(beside);
        let mut file = File::create(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, &self.0)?;
        let folder = self.0.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()
    }
}
