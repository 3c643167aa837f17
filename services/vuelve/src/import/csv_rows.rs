//! CSV: rows with the lines that they begin on, and their bytes.
//!
//! As RFC 4180 has it, and with any delimiter of one byte: a field in quotes may hold delimiters, line ends and doubled quotes. The
//! splitting is our own, because a row that is refused has to be told with its line and its bytes, and because a quote that
//! is not closed must not take the rest of the file into memory.

use std::collections::HashMap;
use std::io::BufRead;

use anyhow::{Context, bail, ensure};
use ingestion::mapping::past::MAX_ROW_BYTES;

use super::input::Input;
use super::rows::{Broken, Place, Row, Rows};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
const MAX_COLUMNS: usize = 2_000;

/// The rows of a CSV file.
pub(super) struct CsvRows {
    lines: Box<dyn BufRead + Send>,
    file: String,
    delimiter: u8,
    /// The columns' names, as JSON.
    names: Vec<String>,
    at: Place,
}

/// A row that was split.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Split {
    pub(crate) raw: Vec<u8>,
    pub(crate) fields: Vec<Vec<u8>>,
    pub(crate) line_ends: u64,
    /// The field in which a quote stands that closes too early.
    pub(crate) stray: Option<usize>,
    /// The file ends within quotes.
    pub(crate) unclosed: bool,
    /// It is longer than a row may be: the rest of it is still to come.
    pub(crate) endless: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    Beginning,
    Plain,
    Quotes,
    /// Behind a quote within quotes: it closes them, or is the first of two that stand for one.
    Closing,
}

impl CsvRows {
    /// Reads the header, and goes to a place. Returns the columns, too.
    pub(super) fn open(input: &Input, delimiter: u8, from: Place) -> anyhow::Result<(Self, Vec<String>)> {
        let file = input.path.display().to_string();
        let mut lines = input.from(0)?;
        let mark = if lines.fill_buf()?.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
        lines.consume(mark);
        let header = split(&mut lines, delimiter, MAX_ROW_BYTES).with_context(|| file.clone())?;
        let header =
            header.with_context(|| format!("{file}: it is empty; a line with the names of the columns is expected"))?;
        ensure!(!header.endless && !header.unclosed, "{file}:1: the line with the names of the columns does not end");
        let columns = columns(&header, delimiter).with_context(|| format!("{file}:1"))?;
        let begin = Place { byte: (mark + header.raw.len()) as u64, line: header.line_ends, row: 0 };
        let mut at = begin;
        if from.byte > begin.byte {
            (lines, at) = (input.from(from.byte)?, from);
        }
        let names = columns.iter().map(|name| serde_json::Value::from(name.as_str()).to_string()).collect();
        Ok((Self { lines, file, delimiter, names, at }, columns))
    }

    /// The fields as a JSON object; those that are empty are not there.
    fn json(&self, split: &Split) -> Result<String, Broken> {
        if split.unclosed {
            return Err(Broken::new(
                "quote_not_closed",
                "a quote that begins in this row is not closed until the end of the file",
            ));
        }
        if let Some(field) = split.stray {
            let problem = format!(
                "field {}: behind a quote that closes something else stands than a delimiter; a quote within quotes is doubled",
                field + 1
            );
            return Err(Broken::new("stray_quote", problem));
        }
        if split.fields.len() != self.names.len() {
            let problem = format!("{} fields, and the header names {} columns", split.fields.len(), self.names.len());
            return Err(Broken::new("wrong_number_of_fields", problem));
        }
        self.object(split)
    }

    /// What of a row can be read, each field by its place.
    fn partial(&self, split: &Split) -> String {
        let fields = split.fields.iter().map(|field| String::from_utf8_lossy(field).into_owned().into_bytes());
        let readable = Split { fields: fields.collect(), ..Split::default() };
        self.object(&readable).unwrap_or_default()
    }

    fn object(&self, split: &Split) -> Result<String, Broken> {
        let mut json = String::with_capacity(split.raw.len() * 2);
        for (name, field) in self.names.iter().zip(&split.fields).filter(|(_, field)| !field.is_empty()) {
            let text = std::str::from_utf8(field).map_err(|error| {
                let at = error.valid_up_to() + 1;
                Broken::new(
                    "not_utf8",
                    format!("column {name}: byte {at} is no UTF-8; `iconv -t utf-8` makes it of other encodings"),
                )
            })?;
            json.push(if json.is_empty() { '{' } else { ',' });
            json.push_str(name);
            json.push(':');
            json.push_str(&serde_json::Value::from(text).to_string());
        }
        json.push_str(if json.is_empty() { "{}" } else { "}" });
        Ok(json)
    }
}

impl Rows for CsvRows {
    fn next(&mut self) -> anyhow::Result<Option<Row>> {
        loop {
            let number = self.at.line + 1;
            let split = split(&mut self.lines, self.delimiter, MAX_ROW_BYTES);
            let Some(split) = split.with_context(|| format!("{}:{number}", self.file))? else { return Ok(None) };
            if split.endless {
                bail!(
                    "{}:{number}: the row that begins here has no end within {MAX_ROW_BYTES} bytes; is a quote not closed?",
                    self.file
                );
            }
            self.at.byte += split.raw.len() as u64;
            self.at.line += split.line_ends;
            if split.raw.trim_ascii().is_empty() {
                continue;
            }
            self.at.row += 1;
            let json = self.json(&split).map_err(|broken| Broken { partial: Some(self.partial(&split)), ..broken });
            return Ok(Some(Row { number, json, raw: Some(split.raw), end: self.at }));
        }
    }
}

fn columns(header: &Split, delimiter: u8) -> anyhow::Result<Vec<String>> {
    let mut columns = Vec::with_capacity(header.fields.len());
    let mut places = HashMap::new();
    ensure!(
        header.fields.len() <= MAX_COLUMNS,
        "there are {} columns; at most {MAX_COLUMNS} are read",
        header.fields.len()
    );
    for (index, field) in header.fields.iter().enumerate() {
        let name =
            std::str::from_utf8(field).with_context(|| format!("the name of column {} is no UTF-8", index + 1))?;
        let name = name.trim();
        let name = if name.is_empty() { format!("column_{}", index + 1) } else { name.to_owned() };
        if let Some(before) = places.insert(name.clone(), index + 1) {
            bail!(
                "the column `{name}` is there twice, as column {before} and as column {}: give one another name",
                index + 1
            );
        }
        columns.push(name);
    }
    if let [only] = &columns[..]
        && let Some(other) =
            [b';', b'\t', b',', b'|'].into_iter().find(|other| *other != delimiter && only.as_bytes().contains(other))
    {
        let shown = if other == b'\t' { "tab".to_owned() } else { char::from(other).to_string() };
        bail!("there is one column, `{only}`; if that is several, say --delimiter '{shown}'");
    }
    Ok(columns)
}

/// The next row, of at most so many bytes; none at the end.
pub(crate) fn split(lines: &mut impl BufRead, delimiter: u8, most_bytes: usize) -> std::io::Result<Option<Split>> {
    let mut split = Split::default();
    let mut field = Vec::new();
    let mut within = Within::Beginning;
    loop {
        let buffer = lines.fill_buf()?;
        if buffer.is_empty() {
            if split.raw.is_empty() {
                return Ok(None);
            }
            split.unclosed = within == Within::Quotes;
            split.end(field, within);
            return Ok(Some(split));
        }
        let mut taken = 0;
        let mut ended = false;
        for byte in buffer {
            taken += 1;
            split.line_ends += u64::from(*byte == b'\n');
            within = match (within, *byte) {
                (Within::Beginning, b'"') => Within::Quotes,
                (Within::Quotes, b'"') => Within::Closing,
                (Within::Closing, b'"') => {
                    field.push(b'"');
                    Within::Quotes
                }
                (Within::Quotes, other) => {
                    field.push(other);
                    Within::Quotes
                }
                (_, b'\n') => {
                    ended = true;
                    break;
                }
                (_, other) if other == delimiter => {
                    split.fields.push(std::mem::take(&mut field));
                    Within::Beginning
                }
                (Within::Closing, b'\r') => Within::Closing,
                (Within::Closing, other) => {
                    split.stray = split.stray.or(Some(split.fields.len()));
                    field.push(other);
                    Within::Plain
                }
                (_, other) => {
                    field.push(other);
                    Within::Plain
                }
            };
        }
        split.raw.extend_from_slice(&buffer[..taken]);
        lines.consume(taken);
        if ended {
            split.end(field, within);
            return Ok(Some(split));
        }
        if split.raw.len() > most_bytes {
            split.endless = true;
            return Ok(Some(split));
        }
    }
}

impl Split {
    /// The last field ends. A line may end in two bytes.
    fn end(&mut self, mut field: Vec<u8>, within: Within) {
        if within == Within::Plain && field.last() == Some(&b'\r') {
            field.pop();
        }
        self.fields.push(field);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by it")]
mod tests {
    use std::io::BufReader;

    use super::*;

    /// Through a buffer of so many bytes.
    fn rows(text: &[u8], capacity: usize) -> Vec<Split> {
        let mut lines = BufReader::with_capacity(capacity, text);
        std::iter::from_fn(|| split(&mut lines, b',', 1_000_000).unwrap()).collect()
    }

    fn fields(split: &Split) -> Vec<&str> {
        split.fields.iter().map(|field| std::str::from_utf8(field).unwrap()).collect()
    }

    #[test]
    fn quotes_hold_delimiters_line_ends_and_quotes_and_lines_are_counted() {
        let text = b"a,\"b,\"\"c\"\"\nd\",e\r\n5\" pipe,,\r\n\"x\"\r\nlast";
        for capacity in 1..9 {
            let rows = rows(text, capacity);
            assert_eq!(fields(&rows[0]), ["a", "b,\"c\"\nd", "e"]);
            assert_eq!(fields(&rows[1]), ["5\" pipe", "", ""]);
            assert_eq!((fields(&rows[2]), fields(&rows[3])), (vec!["x"], vec!["last"]));
            assert_eq!(rows.iter().map(|row| row.line_ends).collect::<Vec<_>>(), [2, 1, 1, 0]);
            assert_eq!(rows.iter().flat_map(|row| row.raw.clone()).collect::<Vec<_>>(), text);
            assert!(rows.iter().all(|row| row.stray.is_none() && !row.unclosed));
        }
    }

    #[test]
    fn what_is_wrong_with_quotes_is_known_by_its_field_and_costs_one_row() {
        let rows_of = rows(b"a,\"b\"c,d\nx,y,z\n1,\"2\n3", 4);
        assert_eq!((rows_of[0].stray, fields(&rows_of[1])), (Some(1), vec!["x", "y", "z"]));
        assert!(rows_of[2].unclosed && rows_of.len() == 3);
    }

    #[test]
    fn a_row_without_an_end_is_not_read_to_the_end_of_the_file() {
        let text = vec![b'"'; 1].into_iter().chain(vec![b'a'; 10_000]).collect::<Vec<_>>();
        let mut lines = BufReader::with_capacity(100, &text[..]);
        let split = split(&mut lines, b',', 500).unwrap().unwrap();
        assert!(split.endless && split.raw.len() <= 600);
    }

    #[test]
    fn what_the_usual_writer_writes_is_read_as_it_was() {
        let values = ["", "a", "\"", "\r\n", "a,b", "é\"\"x", " ", "\n\n,\"", "\r"];
        let mut chance = 7_u32;
        for width in 1..5_usize {
            let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
            let mut written = Vec::new();
            for _ in 0..200 {
                let mut value = || {
                    chance = chance.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    values[(chance >> 16) as usize % values.len()]
                };
                let row: Vec<&str> = (0..width).map(|_| value()).collect();
                writer.write_record(&row).unwrap();
                written.push(row);
            }
            let text = writer.into_inner().unwrap();
            let read = rows(&text, 13);
            assert_eq!(read.iter().map(fields).collect::<Vec<_>>(), written);
        }
    }
}
