//! The file that is imported: what it is, and its bytes from any place on.

use std::fs::{File, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3Default;

/// So much of both ends of a file tells it from others.
const ENDS_BYTES: u64 = 1 << 20;
const BUFFER_BYTES: usize = 256 << 10;

/// What a file is told by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Digest {
    /// Its size.
    bytes: u64,
    /// A hash of both its ends.
    ends: String,
}

/// A file that is there, and that no other import reads.
#[derive(Debug)]
pub(super) struct Input {
    pub(super) path: PathBuf,
    pub(super) digest: Digest,
    /// How many of its bytes have been read.
    read_bytes: Arc<AtomicU64>,
    gzip: bool,
    /// It holds the lock.
    file: File,
}

impl Input {
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let name = path.display();
        let mut file = File::open(path).with_context(|| name.to_string())?;
        let metadata = file.metadata().with_context(|| name.to_string())?;
        ensure!(
            metadata.is_file(),
            "{name}: this is no file; what comes by a pipe can't be gone on with, so save it first"
        );
        // Some file systems have no locks: that is no reason not to read.
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            bail!("{name}: another import of this file is under way");
        }
        let digest = digest(&mut file, metadata.len()).with_context(|| name.to_string())?;
        let mut magic = Vec::new();
        file.seek(SeekFrom::Start(0))?;
        file.by_ref().take(4).read_to_end(&mut magic).with_context(|| name.to_string())?;
        if magic.starts_with(&[0xff, 0xfe]) || magic.starts_with(&[0xfe, 0xff]) {
            bail!("{name}: this is UTF-16, and UTF-8 is read: `iconv -f utf-16 -t utf-8` makes it of it");
        }
        let gzip = magic.starts_with(&[0x1f, 0x8b]);
        Ok(Self { path: path.to_owned(), digest, read_bytes: Arc::default(), gzip, file })
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
            // A handle of its own: clones share their place.
            let mut file = File::open(&self.path)?;
            let skipped = if self.gzip { 0 } else { file.seek(SeekFrom::Start(byte))? };
            self.read_bytes.store(skipped, Ordering::Relaxed);
            let counted = BufReader::with_capacity(BUFFER_BYTES, Counted { file, bytes: Arc::clone(&self.read_bytes) });
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

/// Counts what is read of a file.
struct Counted {
    file: File,
    bytes: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.bytes.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

fn digest(file: &mut File, bytes: u64) -> io::Result<Digest> {
    let mut hash = Xxh3Default::new();
    for start in [0, bytes.saturating_sub(ENDS_BYTES)] {
        file.seek(SeekFrom::Start(start))?;
        let mut end = Vec::new();
        file.by_ref().take(ENDS_BYTES).read_to_end(&mut end)?;
        hash.update(&end);
    }
    Ok(Digest { bytes, ends: format!("{:032x}", hash.digest128()) })
}
