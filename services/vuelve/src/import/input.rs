//! The file that is imported: what it is, and its bytes from any place on.

use std::fs::{File, TryLockError};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3Default;

const BUFFER_BYTES: usize = 256 << 10;

/// What a file is told by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Digest {
    /// Its size.
    bytes: u64,
    /// A hash of all of it.
    hash: String,
}

/// A file that is there, and that no other import reads.
#[derive(Debug)]
pub(super) struct Input {
    pub(super) path: PathBuf,
    pub(super) digest: Digest,
    /// How many of its bytes have been read.
    read_bytes: Arc<AtomicU64>,
    gzip: bool,
    /// When it was written last.
    written: SystemTime,
    /// It holds the lock, and all that is read is read through it.
    file: Arc<File>,
}

impl Input {
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let name = path.display();
        let file = File::open(path).with_context(|| name.to_string())?;
        let metadata = file.metadata().with_context(|| name.to_string())?;
        ensure!(
            metadata.is_file(),
            "{name}: this is no file; what comes by a pipe can't be gone on with, so save it first"
        );
        // Some file systems have no locks: that is no reason not to read.
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            bail!("{name}: another import of this file is under way");
        }
        // Once it is locked: who had it before may have written it.
        let metadata = file.metadata().with_context(|| name.to_string())?;
        let written = metadata.modified().with_context(|| name.to_string())?;
        let file = Arc::new(file);
        let digest = digest(&file, metadata.len()).with_context(|| name.to_string())?;
        let mut magic = Vec::new();
        let part = Part { file: Arc::clone(&file), at: 0, end: metadata.len().min(4), read: Arc::default() };
        { part }.read_to_end(&mut magic).with_context(|| name.to_string())?;
        if magic.starts_with(&[0xff, 0xfe]) || magic.starts_with(&[0xfe, 0xff]) {
            bail!("{name}: this is UTF-16, and UTF-8 is read: `iconv -f utf-16 -t utf-8` makes it of it");
        }
        let gzip = magic.starts_with(&[0x1f, 0x8b]);
        Ok(Self { path: path.to_owned(), digest, read_bytes: Arc::default(), gzip, written, file })
    }

    /// Makes sure that it is still what it was when it was opened.
    pub(super) fn check_unchanged(&self) -> anyhow::Result<()> {
        let name = || self.path.display().to_string();
        let now = self.file.metadata().with_context(name)?;
        ensure!(
            now.len() == self.digest.bytes && now.modified().with_context(name)? == self.written,
            "{}: it changed while it was read, so some of it may have been read as it was and some as it is now; import a file that \
             nobody writes to, and rows that came later as a file of their own",
            name()
        );
        Ok(())
    }

    /// How much of it has been read, of one.
    pub(super) fn share(&self) -> f64 {
        self.read_bytes.load(Ordering::Relaxed) as f64 / self.digest.bytes.max(1) as f64
    }

    /// The file itself, for who reads it in its own way.
    pub(super) fn file(&self) -> anyhow::Result<File> {
        self.file.try_clone().with_context(|| self.path.display().to_string())
    }

    /// Its bytes from a place on, which is counted in what gzip has packed.
    pub(super) fn from(&self, byte: u64) -> anyhow::Result<Box<dyn BufRead + Send>> {
        let opened = || -> io::Result<Box<dyn BufRead + Send>> {
            let at = if self.gzip { 0 } else { byte };
            self.read_bytes.store(at, Ordering::Relaxed);
            let (file, read) = (Arc::clone(&self.file), Arc::clone(&self.read_bytes));
            let counted = BufReader::with_capacity(BUFFER_BYTES, Part { file, at, end: self.digest.bytes, read });
            if !self.gzip {
                return Ok(Box::new(counted));
            }
            let mut unpacked = BufReader::with_capacity(BUFFER_BYTES, flate2::bufread::MultiGzDecoder::new(counted));
            io::copy(&mut unpacked.by_ref().take(byte), &mut io::sink())?;
            Ok(Box::new(unpacked))
        };
        opened().with_context(|| self.path.display().to_string())
    }
}

/// A part of a file, read at places of its own; what is read is counted.
struct Part {
    file: Arc<File>,
    at: u64,
    end: u64,
    read: Arc<AtomicU64>,
}

impl Read for Part {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let most = buffer.len().min(left);
        let read = self.file.read_at(&mut buffer[..most], self.at)?;
        self.at += read as u64;
        self.read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

fn digest(file: &Arc<File>, bytes: u64) -> io::Result<Digest> {
    let mut hash = Xxh3Default::new();
    let all = Part { file: Arc::clone(file), at: 0, end: bytes, read: Arc::default() };
    let mut all = BufReader::with_capacity(BUFFER_BYTES, all);
    loop {
        let buffer = all.fill_buf()?;
        if buffer.is_empty() {
            return Ok(Digest { bytes, hash: format!("{:032x}", hash.digest128()) });
        }
        hash.update(buffer);
        let taken = buffer.len();
        all.consume(taken);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by it")]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::io::Write as _;

    use super::*;

    #[test]
    fn what_is_read_is_what_was_there_when_it_began_and_a_change_is_known_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.csv");
        fs::write(&path, "id\n1\n").unwrap();
        let input = Input::open(&path).unwrap();
        input.check_unchanged().unwrap();
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"2\n").unwrap();
        let mut read = String::new();
        input.from(3).unwrap().read_to_string(&mut read).unwrap();
        assert_eq!(read, "1\n");
        let told = input.check_unchanged().unwrap_err().to_string();
        assert!(told.contains("it changed while it was read"), "{told}");

        // Another file of that name is not the one that is read and locked.
        fs::write(folder.path().join("other"), "id\n7\n").unwrap();
        fs::rename(folder.path().join("other"), &path).unwrap();
        read.clear();
        input.from(3).unwrap().read_to_string(&mut read).unwrap();
        assert_eq!(read, "1\n");
    }

    #[test]
    fn a_file_that_was_mended_in_its_middle_is_another() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (folder.path().join("one"), folder.path().join("other"));
        let mut text = vec![b'x'; 3 << 20];
        fs::write(&one, &text).unwrap();
        text[3 << 19] = b'y';
        fs::write(&other, &text).unwrap();
        assert_ne!(Input::open(&one).unwrap().digest, Input::open(&other).unwrap().digest);
    }
}
