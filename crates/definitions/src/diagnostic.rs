//! What is wrong with a definition, and where.

use std::fmt;

/// A place in a text; both numbers begin at one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

impl Position {
    /// The first character of a text.
    pub const START: Self = Self { line: 1, column: 1 };
}

/// Where something was written. It plays no part in what was written: any two are equal.
#[derive(Clone, Copy, Debug, Default)]
pub struct Origin(pub Position);

impl PartialEq for Origin {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Origin {}

/// Whether a definition can be used in spite of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// It can't be used.
    Error,
    /// It can, but is probably not what was meant.
    Warning,
}

/// One thing that is wrong, for the person who wrote the file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Diagnostic {
    /// The file, as it was named by the caller.
    pub file: String,
    /// Its line, from one.
    pub line: usize,
    /// Its column, from one.
    pub column: usize,
    /// Error or warning.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
    /// What to do about it, where we know.
    pub help: Option<String>,
}

/// `cart.yaml:3:5: error: unknown key `tempate`; did you mean `template`?`
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{}:{}:{}: {severity}: {}", self.file, self.line, self.column, self.message)?;
        match &self.help {
            Some(help) => write!(f, "; {help}"),
            None => Ok(()),
        }
    }
}

/// Collects what is wrong with one file while it is read.
pub(crate) struct Report<'s> {
    pub(crate) file: &'s str,
    pub(crate) source: &'s str,
    diagnostics: Vec<Diagnostic>,
}

impl<'s> Report<'s> {
    pub(crate) fn new(file: &'s str, source: &'s str) -> Self {
        Self { file, source, diagnostics: Vec::new() }
    }

    pub(crate) fn error(&mut self, at: Position, message: impl Into<String>) {
        self.push(Severity::Error, at, message.into(), None);
    }

    pub(crate) fn error_with_help(&mut self, at: Position, message: impl Into<String>, help: impl Into<String>) {
        self.push(Severity::Error, at, message.into(), Some(help.into()));
    }

    pub(crate) fn warning(&mut self, at: Position, message: impl Into<String>, help: impl Into<String>) {
        self.push(Severity::Warning, at, message.into(), Some(help.into()));
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    pub(crate) fn into_diagnostics(self) -> Vec<Diagnostic> {
        self.diagnostics
    }

    fn push(&mut self, severity: Severity, at: Position, message: String, help: Option<String>) {
        let Position { line, column } = at;
        self.diagnostics.push(Diagnostic { file: self.file.to_owned(), line, column, severity, message, help });
    }
}
