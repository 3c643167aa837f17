//! The report of rejected rows: JSON, an object for each row or order that was not taken.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::units::Rejected;

/// It holds what the rows hold.
const OURS_ALONE: u32 = 0o600;

/// The report. There is a file only once there is something in it.
#[derive(Debug)]
pub(super) struct Rejects {
    path: PathBuf,
    file: Option<BufWriter<File>>,
    bytes: u64,
}

impl Rejects {
    /// Begins it anew, or goes on behind so many bytes of it: what was written after the last place that is known to be done is
    /// written again.
    pub(super) fn open(path: &Path, bytes: u64) -> anyhow::Result<Self> {
        let name = || path.display().to_string();
        let mut rejects = Self { path: path.to_owned(), file: None, bytes };
        if bytes == 0 {
            remove_report(path)?;
            return Ok(rejects);
        }
        let file = OpenOptions::new().write(true).open(path).with_context(|| {
            format!("{}: the report of what was rejected so far is not there any more; begin anew without the progress file", name())
        })?;
        let found = file.metadata().with_context(name)?.len();
        ensure!(
            found >= bytes,
            "{}: it has {found} bytes, and had {bytes} before; begin anew without the progress file",
            name()
        );
        file.set_len(bytes).with_context(name)?;
        let mut file = BufWriter::new(file);
        file.seek(SeekFrom::Start(bytes)).with_context(name)?;
        rejects.file = Some(file);
        Ok(rejects)
    }

    /// How many bytes it has.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds what was rejected.
    pub(super) fn add(&mut self, rejected: &Rejected, unit: &str) -> anyhow::Result<()> {
        let line = line(rejected, unit);
        if self.file.is_none() {
            let opened = OpenOptions::new().write(true).create_new(true).mode(OURS_ALONE).open(&self.path);
            self.file = Some(BufWriter::new(opened.with_context(|| self.told())?));
        }
        if let Some(file) = &mut self.file {
            let written = file.write_all(line.as_bytes());
            written.with_context(|| self.told())?;
        }
        self.bytes += line.len() as u64;
        Ok(())
    }

    /// All of it is on the disk.
    pub(super) fn sync(&mut self) -> anyhow::Result<()> {
        if let Some(file) = &mut self.file {
            let synced = file.flush().and_then(|()| file.get_ref().sync_data());
            synced.with_context(|| self.told())?;
        }
        Ok(())
    }

    fn told(&self) -> String {
        format!("{}: the report of rejected rows can't be written (--rejects names another place)", self.path.display())
    }
}

/// In this order, so that a report is known by how it begins.
fn line(rejected: &Rejected, unit: &str) -> String {
    let mut members: Vec<(&str, Value)> = vec![(unit, rejected.number.into())];
    if rejected.rows.len() > 1 {
        members.push(("rows", rejected.rows.len().into()));
    }
    members.push(("reason", rejected.broken.reason.into()));
    members.push(("problem", rejected.broken.problem.as_str().into()));
    let (raw, objects) = rejected.stands();
    members.push(match String::from_utf8(raw) {
        Ok(text) if !text.is_empty() => ("text", text.trim_end_matches(['\r', '\n']).into()),
        Err(error) => ("base64", STANDARD.encode(error.as_bytes()).into()),
        Ok(_) => ("columns", Value::Array(objects)),
    });
    let members: Vec<String> = members.into_iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}\n", members.join(","))
}

/// Removes a report of before; what is none stays where it is.
fn remove_report(path: &Path) -> anyhow::Result<()> {
    let name = || path.display().to_string();
    let mut first = Vec::new();
    match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened.and_then(|file| file.take(16).read_to_end(&mut first)).with_context(name)?,
    };
    let is_report =
        first.is_empty() || [r#"{"line":"#, r#"{"row":"#].iter().any(|begin| first.starts_with(begin.as_bytes()));
    ensure!(
        is_report,
        "{}: this is there already and is no report of rejected rows; --rejects names another place",
        name()
    );
    fs::remove_file(path).with_context(name)
}
