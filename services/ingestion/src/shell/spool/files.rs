//! The files of a spool: segments of frames, written at the end, read from the beginning, each dropped once it is drained.
//!
//! Wanted properties:
//! - what [`Files::append`] has returned for is on the disk, whatever crashes afterwards;
//! - what it failed to write is not there, and the next append goes on behind what was written before;
//! - a segment with bytes that were on the disk once and are damaged now is set aside as it is, never dropped;
//! - nothing of another format is opened, so that nothing of it is lost;
//! - to open and to read costs what there is to read, whatever that is;
//! - all files together have at most so many bytes.

use std::collections::VecDeque;
use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::SpoolError;
use super::frame::{Next, Salt};

/// A segment that has so many bytes is followed by another.
const SEGMENT_BYTES: u64 = 16 << 20;
const SUFFIX: &str = "spool";
/// How frames lie in a segment; in its name, so that no damage within takes it for another. The first had no salt.
const FORMAT: &str = "2";
/// Says how far the first segment is drained.
const DRAINED: &str = "drained";
const LOCK: &str = "lock";
/// Ends the name of a segment of which something could not be read.
const DAMAGED: &str = "damaged";

/// The files of one directory.
#[derive(Debug)]
pub(super) struct Files {
    directory: PathBuf,
    max_bytes: u64,
    /// The last one is written to, unless it was there before or a write to it failed.
    segments: VecDeque<Segment>,
    open: Option<File>,
    /// How far the first one is drained.
    drained: u64,
    /// The highest number that was used.
    last: Option<Name>,
    /// Held as long as this process uses the directory.
    _lock: File,
}

/// What a segment is called: its number, the format, and its salt, which is thus not lost with a damaged byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Name {
    number: u64,
    salt: Salt,
}

#[derive(Clone, Copy, Debug)]
struct Segment {
    name: Name,
    /// All below was written and synced.
    bytes: u64,
    /// Something in it that was on the disk once can't be read any more.
    damaged: bool,
}

/// A place behind all that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    segment: Name,
    offset: u64,
}

/// Frames that were read.
#[derive(Debug, Default)]
pub(super) struct Portion {
    pub(super) payloads: Vec<Vec<u8>>,
    pub(super) until: Option<Place>,
}

impl Files {
    /// Opens a directory, which is made where there is none: what lies in it is drained first.
    pub(super) fn open(directory: &Path, max_bytes: u64) -> Result<Self, SpoolError> {
        let failed = |error| SpoolError::failed(directory, error);
        // Only this user may read what people have done.
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
        let lock = private().create(true).truncate(false).open(directory.join(LOCK)).map_err(failed)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => SpoolError::InUse(directory.to_owned()),
            TryLockError::Error(error) => failed(error),
        })?;
        let mut names = Vec::new();
        for entry in fs::read_dir(directory).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            if path.extension().is_some_and(|suffix| suffix == SUFFIX)
                && let Some(stem) = stem.filter(|stem| is_numbered(stem))
            {
                names.push(Name::parse(stem).ok_or(SpoolError::Format(path))?);
            }
        }
        names.sort_unstable();
        let mut files = Self {
            directory: directory.to_owned(),
            max_bytes,
            segments: VecDeque::new(),
            open: None,
            drained: 0,
            last: None,
            _lock: lock,
        };
        files.last = names.last().copied().max(files.noted().map(|(name, _)| name));
        for name in names {
            let segment = files.recover(name)?;
            files.segments.push_back(segment);
        }
        files.drained = files.read_drained();
        // Whoever was killed before it came to it, or did not do it yet, left a segment that is drained.
        files.ended();
        Ok(files)
    }

    /// Looks through a segment, and cuts off what a crash left of a frame at its end. Nobody was told that it is stored.
    fn recover(&self, name: Name) -> Result<Segment, SpoolError> {
        let path = self.path(name);
        let failed = |error| SpoolError::failed(&path, error);
        let bytes = fs::read(&path).map_err(failed)?;
        let (mut end, mut damaged) = (0, false);
        while end < bytes.len() {
            match name.salt.next(&bytes[end..], end as u64) {
                Next::Whole { end: next, .. } => end += next,
                Next::Damaged { until } => {
                    damaged = true;
                    end += until;
                }
                Next::Begun { .. } => break,
            }
        }
        if damaged {
            tell_of_damage(&path);
        } else if end < bytes.len() {
            tracing::warn!(path = %path.display(), at = end, bytes = bytes.len() - end, "the end of the spool was torn; it is cut off");
            let file = OpenOptions::new().write(true).open(&path).map_err(failed)?;
            file.set_len(end as u64).and_then(|()| file.sync_all()).map_err(failed)?;
        }
        Ok(Segment { name, bytes: end as u64, damaged })
    }

    /// How many bytes wait.
    pub(super) fn bytes(&self) -> u64 {
        self.on_disk().saturating_sub(self.drained)
    }

    fn on_disk(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Gives frames their places, writes them, and returns once they are on the disk.
    pub(super) fn append(&mut self, frames: &mut [u8]) -> Result<(), SpoolError> {
        if self.on_disk() + frames.len() as u64 > self.max_bytes {
            return Err(SpoolError::Full { max_bytes: self.max_bytes });
        }
        if self.open.is_none() || self.segments.back().is_some_and(|segment| segment.bytes >= SEGMENT_BYTES) {
            self.begin_segment()?;
        }
        let (Some(file), Some(segment)) = (&self.open, self.segments.back_mut()) else {
            return Err(SpoolError::failed(&self.directory, io::Error::other("there is no segment")));
        };
        segment.name.salt.seal(frames, segment.bytes);
        match file.write_all_at(frames, segment.bytes).and_then(|()| file.sync_data()) {
            Ok(()) => {
                segment.bytes += frames.len() as u64;
                Ok(())
            }
            Err(error) => {
                // What is in the file from here on nobody knows, nor whether a later sync would tell: it is cut off, and never
                // written to again.
                let cut = file.set_len(segment.bytes).and_then(|()| file.sync_all());
                if let Err(error) = cut {
                    tracing::warn!(%error, "what could not be spooled could not be cut off either");
                }
                self.open = None;
                let name = segment.name;
                Err(SpoolError::failed(&self.path(name), error))
            }
        }
    }

    fn begin_segment(&mut self) -> Result<(), SpoolError> {
        // One that a failed write has left empty is no use.
        if let Some(last) = self.segments.back().copied().filter(|last| last.bytes == 0) {
            self.segments.pop_back();
            self.remove(last);
        }
        let name = Name::after(self.last);
        let path = self.path(name);
        let failed = |error| SpoolError::failed(&path, error);
        let file = private().create(true).truncate(true).open(&path).map_err(failed)?;
        // Its name is on the disk, too.
        let synced = File::open(&self.directory).and_then(|directory| directory.sync_all());
        synced.inspect_err(|_| drop(fs::remove_file(&path))).map_err(failed)?;
        self.open = Some(file);
        self.last = Some(name);
        self.segments.push_back(Segment { name, bytes: 0, damaged: false });
        Ok(())
    }

    /// The next frames, of up to so many bytes; at least one where there is one.
    pub(super) fn next(&mut self, max_bytes: usize) -> Result<Portion, SpoolError> {
        let mut portion = Portion::default();
        let mut from = self.drained;
        for index in 0..self.segments.len() {
            let segment = self.segments[index];
            let left = usize::try_from(segment.bytes.saturating_sub(from)).unwrap_or(usize::MAX);
            if left > 0 {
                let (portion, damaged) = self.read(segment, from, left, max_bytes)?;
                if damaged && !segment.damaged {
                    tell_of_damage(&self.path(segment.name));
                    self.segments[index].damaged = true;
                }
                return Ok(portion);
            }
            portion.until = Some(Place { segment: segment.name, offset: segment.bytes });
            from = 0;
        }
        Ok(portion)
    }

    /// A portion of a segment, and whether something in it can't be read.
    fn read(&self, segment: Segment, from: u64, left: usize, max_bytes: usize) -> Result<(Portion, bool), SpoolError> {
        let path = self.path(segment.name);
        let failed = |error| SpoolError::failed(&path, error);
        let file = File::open(&path).map_err(failed)?;
        let mut bytes = vec![0; left.min(max_bytes)];
        file.read_exact_at(&mut bytes, from).map_err(failed)?;
        let next = |bytes: &[u8], at: usize| segment.name.salt.next(&bytes[at..], from + at as u64);
        // A frame may be larger than a portion.
        if let Next::Begun { bytes: all } = next(&bytes, 0) {
            bytes.resize(all.min(left), 0);
            file.read_exact_at(&mut bytes, from).map_err(failed)?;
        }
        let (mut portion, mut at, mut damaged) = (Portion::default(), 0, false);
        while at < bytes.len() {
            match next(&bytes, at) {
                Next::Whole { payload, end } => {
                    portion.payloads.push(bytes[at + payload.start..at + payload.end].to_vec());
                    at += end;
                }
                Next::Damaged { until } => {
                    damaged = true;
                    at += until;
                }
                Next::Begun { .. } if bytes.len() < left => break,
                // It was whole when it was counted.
                Next::Begun { .. } => {
                    damaged = true;
                    at = left;
                }
            }
        }
        portion.until = Some(Place { segment: segment.name, offset: from + at as u64 });
        Ok((portion, damaged))
    }

    /// All up to this place is stored elsewhere.
    pub(super) fn drained(&mut self, until: Place) {
        while let Some(first) = self.segments.front().copied() {
            let is_last = self.segments.len() == 1;
            if first.name > until.segment {
                break;
            }
            if first.name == until.segment {
                self.drained = until.offset;
                // The one that is written to is kept, unless it is long enough.
                if until.offset < first.bytes || is_last && self.open.is_some() && first.bytes < SEGMENT_BYTES {
                    break;
                }
            }
            self.segments.pop_front();
            if is_last {
                self.open = None;
            }
            self.drained = 0;
            self.remove(first);
        }
        if let Err(error) = self.write_drained() {
            // Then more is sent once more after a crash than would have to.
            tracing::warn!(%error, "how far the spool is drained could not be written down");
        }
    }

    /// Calls go elsewhere from now on. Where nothing waits, the segment that was written to goes as well: what it holds of a customer
    /// would lie there until the log is away again, whoever is erased meanwhile.
    pub(super) fn ended(&mut self) {
        if self.bytes() > 0 {
            return;
        }
        self.open = None;
        if let Some(last) = self.segments.back().copied() {
            self.drained(Place { segment: last.name, offset: last.bytes });
        }
    }

    /// A drained segment goes; one of which something could not be read is kept for people to look at, under another name:
    /// that takes no room on a disk that may be full.
    fn remove(&self, Segment { name, damaged, .. }: Segment) {
        let path = self.path(name);
        let aside = path.with_extension(DAMAGED);
        let gone = if damaged { fs::rename(&path, &aside) } else { fs::remove_file(&path) };
        match gone {
            Ok(()) if damaged => {
                tracing::error!(path = %aside.display(), "a damaged segment is set aside; look at it, and delete it");
            }
            Ok(()) => {}
            Err(error) => tracing::warn!(%error, path = %path.display(), "a drained segment could not be removed"),
        }
    }

    fn write_drained(&self) -> io::Result<()> {
        // Where none is left its number is kept, so that no other segment ever has it.
        let Some(name) = self.segments.front().map(|first| first.name).or(self.last) else { return Ok(()) };
        let (path, new) = (self.directory.join(DRAINED), self.directory.join("drained.new"));
        fs::write(&new, format!("{name} {}\n", self.drained))?;
        fs::rename(new, path)
    }

    /// How far the first segment is drained, as it was written down; where that is not to be known, nothing of it is.
    fn read_drained(&self) -> u64 {
        let Some(first) = self.segments.front() else { return 0 };
        let of_first = |(name, offset): &(Name, u64)| *name == first.name && *offset <= first.bytes;
        self.noted().filter(of_first).map_or(0, |(_, offset)| offset)
    }

    /// The segment and the offset that were written down.
    fn noted(&self) -> Option<(Name, u64)> {
        let text = fs::read_to_string(self.directory.join(DRAINED)).ok()?;
        let (name, offset) = text.trim().split_once(' ')?;
        Name::parse(name).zip(offset.parse().ok())
    }

    fn path(&self, name: Name) -> PathBuf {
        self.directory.join(format!("{name}.{SUFFIX}"))
    }
}

impl Name {
    /// Of the next segment, with a salt that nobody can guess: the standard library's hasher has keys of chance.
    fn after(last: Option<Self>) -> Self {
        let number = last.map_or(0, |last| last.number).saturating_add(1);
        Self { number, salt: Salt(RandomState::new().hash_one(number)) }
    }

    /// None where it is of another format.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let number = parts.next()?.parse().ok()?;
        let salt = parts.nth(1).map(|salt| u64::from_str_radix(salt, 16))?.ok()?;
        let name = Self { number, salt: Salt(salt) };
        (name.to_string() == text).then_some(name)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:020}-{FORMAT}-{:016x}", self.number, self.salt.0)
    }
}

/// Whether a file's name begins as that of a segment of any format.
fn is_numbered(stem: &str) -> bool {
    let number = stem.split('-').next().filter(|number| number.len() == 20 && !number.starts_with('+'));
    number.is_some_and(|number| number.parse::<u64>().is_ok())
}

fn tell_of_damage(path: &Path) {
    tracing::error!(path = %path.display(), "a segment of the spool is damaged; it is set aside once the rest of it is drained");
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    options
}
