//! Where a secret text is read from: a file or an environment variable, each line of which is one that is in force.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// More than one text is in force while one takes the place of another.
const MAX_TEXTS: usize = 16;
const MAX_SOURCE_BYTES: u64 = 4 << 10;

/// A place that holds texts, and what these are.
pub(super) struct KeySource<'a> {
    pub(super) file: Option<&'a Path>,
    pub(super) variable: Option<&'a str>,
    /// `key` or `secret`: the options are named after it.
    pub(super) word: &'static str,
    /// What a text has to be, in code and in words.
    pub(super) fits: (fn(&str) -> bool, &'static str),
}

impl KeySource<'_> {
    /// The texts that the source holds now; or what is wrong with it, without them.
    pub(super) fn texts(&self, variable: impl Fn(&str) -> Option<String>) -> Result<Vec<String>, String> {
        let Self { word, fits: (fits, wanted), .. } = *self;
        let all = match (self.file, self.variable) {
            // Of what is longer than any keys no more is read than shows it.
            (Some(path), None) => File::open(path)
                .and_then(|file| io::read_to_string(file.take(MAX_SOURCE_BYTES)))
                .map_err(|error| format!("its {word}_file {} can't be read: {error}", path.display()))?,
            (None, Some(name)) => variable(name)
                .ok_or_else(|| format!("the environment variable {name} that is to hold its {word} is not set"))?,
            _ => return Err(format!("exactly one of {word}_file and {word}_env is needed")),
        };
        let texts: Vec<&str> = all.lines().map(str::trim).filter(|text| !text.is_empty()).collect();
        if texts.is_empty() || texts.len() > MAX_TEXTS || all.len() as u64 >= MAX_SOURCE_BYTES {
            return Err(format!(
                "its source holds no {word}, or more than {MAX_TEXTS} or 4 KiB of them; one {word} a line"
            ));
        }
        if texts.iter().all(|text| fits(text)) {
            Ok(texts.into_iter().map(str::to_owned).collect())
        } else {
            Err(format!("its {word} is not {wanted}"))
        }
    }
}
