//! What went wrong with a part, said so that the reader of a test log need not look further.

use std::fmt;
use std::path::{Path, PathBuf};

/// The result of everything that touches a part.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// How many lines of a part's log an error quotes.
const TAIL_LINES: usize = 30;
/// How much of a log's end is read to find them.
const TAIL_BYTES: u64 = 16 * 1024;

/// A part that failed: its name, what was expected of it, why, and the end of its log.
///
/// Tests can only print it, so there is one shape for all causes; `Debug` prints what `Display` prints, because
/// that is what `unwrap` shows.
pub struct Error(Box<Inner>);

struct Inner {
    part: String,
    problem: String,
    log: Option<(PathBuf, String)>,
}

impl Error {
    /// `part` failed in the way that `problem` says.
    pub fn new(part: impl Into<String>, problem: impl Into<String>) -> Self {
        Self(Box::new(Inner { part: part.into(), problem: problem.into(), log: None }))
    }

    /// Adds the last lines of the part's log file.
    #[must_use]
    pub fn with_log(mut self, path: &Path) -> Self {
        self.0.log = Some((path.to_owned(), tail(path)));
        self
    }

    /// The name of the part.
    pub fn part(&self) -> &str {
        &self.0.part
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.part, self.0.problem)?;
        match &self.0.log {
            Some((path, text)) if text.is_empty() => write!(f, "\n({} is empty)", path.display()),
            Some((path, text)) => write!(f, "\n--- the last lines of {} ---\n{text}", path.display()),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Error {}

/// Gives an I/O error the name of the part and of what was being done.
pub(crate) trait Context<T> {
    fn context(self, part: &str, doing: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: fmt::Display> Context<T> for std::result::Result<T, E> {
    fn context(self, part: &str, doing: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| Error::new(part, format!("{}: {error}", doing())))
    }
}

/// The last lines of a file; empty if it can't be read.
pub(crate) fn tail(path: &Path) -> String {
    use std::io::{Read as _, Seek as _, SeekFrom};
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = std::fs::File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}
