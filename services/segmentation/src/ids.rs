//! Ids that a replay and a restart make again: hashes of what they stand for.

use sha2::{Digest, Sha256};

/// Thirty-two hex digits of SHA-256 over the parts, each with its length, so that no two lists of parts meet.
pub(crate) fn hash(parts: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().iter().take(16).fold(String::with_capacity(32), |mut hex, byte| {
        // Writing to a String can't fail.
        let _ = std::fmt::Write::write_fmt(&mut hex, format_args!("{byte:02x}"));
        hex
    })
}
