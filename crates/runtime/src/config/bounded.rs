use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use super::ByteSize;

/// Reads a file of at most `limit` bytes, or says what is wrong with it. What is read is counted, because a pipe or a device has
/// no length to ask for.
pub fn read_bytes(path: &Path, limit: ByteSize) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(limit.as_u64() + 1).read_to_end(&mut bytes));
    let size = read.map_err(|error| format!("can't be read: {error}"))?;
    if size as u64 > limit.as_u64() {
        return Err(format!("is longer than the {limit} that are read of it"));
    }
    Ok(bytes)
}

/// The same of a text.
pub fn read_text(path: &Path, limit: ByteSize) -> Result<String, String> {
    String::from_utf8(read_bytes(path, limit)?).map_err(|_| "is no text: it is not UTF-8".to_owned())
}
