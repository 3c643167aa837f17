//! JSONL: an object a line.

use std::io::BufRead;

use anyhow::Context;
use ingestion::mapping::mend_surrogates;
use ingestion::mapping::past::MAX_ROW_BYTES;
use serde_json::value::RawValue;

use super::input::Input;
use super::rows::{Broken, Place, Row, Rows};

/// So much of a line that is too long is told.
const KEPT_BYTES: usize = 1_000;

/// The lines of a JSONL file.
pub(super) struct JsonlRows {
    lines: Box<dyn BufRead + Send>,
    file: String,
    at: Place,
}

impl JsonlRows {
    pub(super) fn open(input: &Input, from: Place) -> anyhow::Result<Self> {
        Ok(Self { lines: input.from(from.byte)?, file: input.path.display().to_string(), at: from })
    }
}

impl Rows for JsonlRows {
    fn next(&mut self) -> anyhow::Result<Option<Row>> {
        loop {
            let number = self.at.line + 1;
            let line = line(&mut self.lines, MAX_ROW_BYTES).with_context(|| format!("{}:{number}", self.file))?;
            let Some((mut raw, bytes)) = line else { return Ok(None) };
            self.at.byte += bytes;
            self.at.line += 1;
            if number == 1 && raw.starts_with(b"\xef\xbb\xbf") {
                raw.drain(..3);
            }
            if raw.trim_ascii().is_empty() {
                continue;
            }
            self.at.row += 1;
            let json = if bytes > MAX_ROW_BYTES as u64 {
                raw.truncate(KEPT_BYTES);
                Err(Broken::new("too_large", format!("the line has {bytes} bytes; at most {MAX_ROW_BYTES} are taken")))
            } else {
                json(&raw)
            };
            return Ok(Some(Row { number, json, raw: Some(raw), end: self.at }));
        }
    }
}

fn json(raw: &[u8]) -> Result<String, Broken> {
    let text = std::str::from_utf8(raw).map_err(|error| {
        Broken::new("not_utf8", format!("byte {} of the line is no UTF-8", error.valid_up_to() + 1))
    })?;
    let text = mend_surrogates(text.trim());
    match serde_json::from_str::<&RawValue>(&text) {
        Ok(_) => Ok(text.into_owned()),
        Err(error) => {
            Err(Broken::new("not_json", format!("the line is no JSON: it goes wrong at column {}", error.column())))
        }
    }
}

/// The next line, and how many bytes it has; of one with more than so many, only its beginning.
fn line(lines: &mut impl BufRead, most_bytes: usize) -> std::io::Result<Option<(Vec<u8>, u64)>> {
    let (mut kept, mut bytes) = (Vec::new(), 0);
    loop {
        let buffer = lines.fill_buf()?;
        let end = buffer.iter().position(|byte| *byte == b'\n').map(|end| end + 1);
        let taken = end.unwrap_or(buffer.len());
        if kept.len() <= most_bytes {
            kept.extend_from_slice(&buffer[..taken]);
        }
        bytes += taken as u64;
        let is_over = end.is_some() || buffer.is_empty();
        lines.consume(taken);
        if is_over {
            return Ok((bytes > 0).then_some((kept, bytes)));
        }
    }
}
