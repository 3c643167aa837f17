//! The report of rejected rows: JSON, an object for each row or order that was not taken.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::units::Rejected;
use crate::terminal::tell;

/// It holds what the rows hold.
const OURS_ALONE: u32 = 0o600;

/// The report. There is a file only once there is something in it.
#[derive(Debug)]
pub(super) struct Rejects {
    path: PathBuf,
    file: Option<BufWriter<File>>,
    bytes: u64,
    /// It is written to and nothing else: a device, a pipe, or what a link leads to.
    is_given: bool,
}

impl Rejects {
    /// Begins it anew, or goes on behind so many bytes of it: what was written after the last place that is known to be done is
    /// written again.
    pub(super) fn open(path: &Path, bytes: u64) -> anyhow::Result<Self> {
        let name = || path.display().to_string();
        let found = match fs::symlink_metadata(path) {
            Ok(found) => Some(found),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error).with_context(name),
        };
        let is_given = found.as_ref().is_some_and(|found| !found.is_file());
        let mut rejects = Self { path: path.to_owned(), file: None, bytes: 0, is_given };
        if is_given {
            return Ok(rejects);
        }
        if found.as_ref().map_or(0, Metadata::len) < bytes {
            tell(&format!(
                "{}: the report of what was rejected so far is not there any more, or not all of it; it begins anew, with what is \
                 rejected from here on\n",
                name()
            ));
        } else if bytes > 0 {
            let file = OpenOptions::new().write(true).open(path).with_context(name)?;
            file.set_len(bytes).with_context(name)?;
            let mut file = BufWriter::new(file);
            file.seek(SeekFrom::Start(bytes)).with_context(name)?;
            (rejects.file, rejects.bytes) = (Some(file), bytes);
            return Ok(rejects);
        }
        if found.is_some() {
            remove_report(path)?;
        }
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
            let mut how = OpenOptions::new();
            if self.is_given {
                how.append(true)
            } else {
                how.write(true).create_new(true).mode(OURS_ALONE)
            };
            let opened = how.open(&self.path);
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
            // What is no file can't be made to be on a disk.
            let synced = file.flush().and_then(|()| if self.is_given { Ok(()) } else { file.get_ref().sync_data() });
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
        members.push(("rows", (rejected.rows.len() as u64 + rejected.more).into()));
    }
    if rejected.more > 0 {
        members.push(("rows_left_out", rejected.more.into()));
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
    File::open(path).and_then(|file| file.take(16).read_to_end(&mut first)).with_context(name)?;
    let is_report =
        first.is_empty() || [r#"{"line":"#, r#"{"row":"#].iter().any(|begin| first.starts_with(begin.as_bytes()));
    ensure!(
        is_report,
        "{}: this is there already and is no report of rejected rows; --rejects names another place",
        name()
    );
    fs::remove_file(path).with_context(name)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by it")]
mod tests {
    use super::super::rows::{Broken, Place, Row};
    use super::*;

    fn rejected(number: u64) -> Rejected {
        let broken = Broken::new("bad_time", "no time");
        let row = Row { number, json: Ok("{}".to_owned()), raw: None, end: Place::default() };
        Rejected { number, broken, rows: vec![row], more: 0 }
    }

    #[test]
    fn a_report_is_gone_on_with_and_one_that_is_lost_or_too_short_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report");
        let mut report = Rejects::open(&path, 0).unwrap();
        report.add(&rejected(2), "line").unwrap();
        report.sync().unwrap();
        let bytes = report.bytes();
        report.add(&rejected(3), "line").unwrap();
        drop(report);

        // What came behind the last place that was kept is written again.
        let mut report = Rejects::open(&path, bytes).unwrap();
        report.add(&rejected(4), "line").unwrap();
        drop(report);
        let lines = |text: String| text.lines().map(|line| line[8..9].to_owned()).collect::<Vec<_>>();
        assert_eq!(lines(fs::read_to_string(&path).unwrap()), ["2", "4"]);

        for lost in [None, Some("{\"line\":2")] {
            fs::remove_file(&path).unwrap();
            if let Some(text) = lost {
                fs::write(&path, text).unwrap();
            }
            let mut report = Rejects::open(&path, bytes).unwrap();
            assert_eq!(report.bytes(), 0);
            report.add(&rejected(5), "line").unwrap();
            report.sync().unwrap();
            assert_eq!(lines(fs::read_to_string(&path).unwrap()), ["5"]);
        }
    }
}
