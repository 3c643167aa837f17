//! Looking for bytes on disks and in Redis.

use std::collections::BTreeSet;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// What is looked for, in each form in which it may be written.
pub(crate) struct Patterns(Vec<(String, Vec<u8>)>);

impl Patterns {
    pub(crate) fn of(markers: &[&str]) -> Self {
        let mut patterns = Vec::new();
        for marker in markers {
            let percent = |upper: bool| {
                let of = |byte: u8| match byte {
                    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => char::from(byte).to_string(),
                    _ if upper => format!("%{byte:02X}"),
                    _ => format!("%{byte:02x}"),
                };
                marker.bytes().map(of).collect::<String>()
            };
            let mut forms = BTreeSet::from([(*marker).to_owned(), percent(true), percent(false)]);
            // In base64 it looks different at each of three places; its first and last characters depend on what is beside it.
            for before in 0..3 {
                let padded = [&vec![b'x'; before][..], marker.as_bytes()].concat();
                for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
                    let text = engine.encode(&padded);
                    forms.insert(text[4.min(text.len())..text.len() - 2].to_owned());
                }
            }
            patterns.extend(forms.into_iter().map(|form| ((*marker).to_owned(), form.into_bytes())));
        }
        Self(patterns)
    }

    pub(crate) fn in_bytes(&self, bytes: &[u8]) -> impl Iterator<Item = &str> {
        let holds = |pattern: &Vec<u8>| {
            let first = pattern[0];
            let mut from = 0;
            while let Some(at) = bytes[from..].iter().position(|byte| *byte == first) {
                if bytes[from + at..].starts_with(pattern) {
                    return true;
                }
                from += at + 1;
            }
            false
        };
        self.0.iter().filter(move |(_, pattern)| holds(pattern)).map(|(marker, _)| marker.as_str())
    }
}

/// Which markers are in files of a folder, and where.
pub(crate) fn in_folder(patterns: &Patterns, folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            // A file may be deleted while it is looked for.
            } else if let Ok(bytes) = std::fs::read(&path) {
                found.extend(patterns.in_bytes(&bytes).map(|marker| format!("{marker} in {}", shown(&path))));
            }
        }
    }
    found
}

fn shown(path: &Path) -> String {
    path.iter().rev().take(2).map(|part| part.to_string_lossy()).collect::<Vec<_>>().join(" of ")
}
