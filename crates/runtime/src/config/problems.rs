use std::fmt;

use super::origin::Origin;

/// One thing that is wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key, `section.key`; empty if it concerns a whole file.
    pub key: String,
    /// Where it was written.
    pub origin: Origin,
    /// What is wrong and what to do.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.origin)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", shown(&self.key))?;
        }
        f.write_str(&escaped(self.message.chars()))
    }
}

/// Everything that is wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.0.len() == 1 { "" } else { "s" };
        write!(f, "the configuration has {} problem{plural}; nothing was started", self.0.len())?;
        for problem in &self.0 {
            write!(f, "\n  {problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// So much of a name is shown: no key of ours is longer.
const SHOWN_CHARACTERS: usize = 64;

/// A name as somebody wrote it, however long and odd, fit for a line on a terminal.
pub(super) fn shown(name: &str) -> String {
    let rest = if name.chars().nth(SHOWN_CHARACTERS).is_some() { "…" } else { "" };
    escaped(name.chars().take(SHOWN_CHARACTERS)) + rest
}

/// A terminal must not obey what stands in a file.
fn escaped(text: impl Iterator<Item = char>) -> String {
    text.map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() }).collect()
}

/// The known word that was probably meant.
pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_ascii_lowercase().replace('-', "_");
    known
        .into_iter()
        .map(|candidate| (distance(&word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 4 || candidate.starts_with(&word))
        .min()
        .map(|(_, candidate)| candidate)
}

/// `, did you mean …?` or the list of what there is.
pub(super) fn hint<'a>(word: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    match nearest(word, known.clone()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => {
            format!("known are {}", known.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "))
        }
    }
}

/// Edits (insert, delete, replace, swap of neighbours) from one word to the other: optimal string alignment.
fn distance(from: &str, to: &str) -> usize {
    // Longer than any key: what somebody pasted by mistake is not worth a square of its length.
    let from: Vec<char> = from.chars().take(64).collect();
    let to: Vec<char> = to.chars().take(64).collect();
    let mut rows = vec![(0..=to.len()).collect::<Vec<_>>()];
    for (i, a) in from.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in to.iter().enumerate() {
            let mut cost = (rows[i][j] + usize::from(a != b)).min(rows[i][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == to[j - 1] && from[i - 1] == *b {
                cost = cost.min(rows[i - 1][j - 1] + 1);
            }
            row.push(cost);
        }
        rows.push(row);
    }
    rows[from.len()][to.len()]
}
