//! Rows as they stand in a file, whatever its format.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A header line, then a row each; gzip or plain.
    Csv,
    /// A JSON object a line; gzip or plain.
    Jsonl,
    /// Parquet.
    Parquet,
}

impl Format {
    /// By the ending of a file's name.
    pub(super) fn of(path: &std::path::Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?.to_ascii_lowercase();
        let ending = name.strip_suffix(".gz").unwrap_or(&name).rsplit_once('.')?.1;
        match ending {
            "csv" | "tsv" | "txt" => Some(Self::Csv),
            "jsonl" | "ndjson" | "json" => Some(Self::Jsonl),
            "parquet" | "pq" => Some(Self::Parquet),
            _ => None,
        }
    }
}

/// A place between two rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    /// Bytes before it, unpacked.
    pub(super) byte: u64,
    /// Line ends before it.
    pub(super) line: u64,
    /// Rows before it.
    pub(super) row: u64,
}

/// A row as it stands in a file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    /// The line that it begins on, or of Parquet its number; from 1.
    pub(super) number: u64,
    /// The row as a JSON object, or why it is none.
    pub(super) json: Result<String, Broken>,
    /// Its bytes; none where its JSON says all of it.
    pub(super) raw: Option<Vec<u8>>,
    /// Behind it.
    pub(super) end: Place,
}

impl Row {
    /// How much there is of it.
    pub(super) fn bytes(&self) -> usize {
        self.raw.as_ref().map_or(0, Vec::len).max(self.json.as_ref().map_or(0, String::len))
    }
}

/// What is wrong with how a row is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Broken {
    /// A short word.
    pub(super) reason: &'static str,
    /// What it is, and what to do.
    pub(super) problem: String,
    /// What of the row could be read all the same, as a JSON object: it may tell whose it is.
    pub(super) partial: Option<String>,
}

impl Broken {
    pub(super) fn new(reason: &'static str, problem: impl Into<String>) -> Self {
        Self { reason, problem: problem.into(), partial: None }
    }
}

/// Gives rows, one after another.
pub(super) trait Rows: Send {
    /// The next row; none at the end. An error is one after which no row can be found.
    fn next(&mut self) -> anyhow::Result<Option<Row>>;
}
