//! The spool: a log that is away, a process that is killed, bytes that are torn or damaged, a disk that is full.

use std::fs;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ingestion::shell::{EventLog, LogError, LogRecord, Spool, SpoolError, SpoolState, SpooledLog};
use tokio::task::JoinHandle;

use crate::support::{Mood, RecordingLog};

const PLENTY: u64 = 1 << 30;
const PATIENCE: Duration = Duration::from_millis(50);
/// Longer than anything here takes; only a hang meets it.
const LIMIT: Duration = Duration::from_secs(20);

fn record(number: usize) -> LogRecord {
    LogRecord {
        dataset: "storefront.received",
        key: (!number.is_multiple_of(3)).then(|| format!("customer-{}", number % 3)),
        value: format!("value {number}").into(),
        headers: [("traceparent".into(), format!("00-{number}").into())].into(),
    }
}

/// A log before which there is a spool in this directory, and what drains it.
struct Shop {
    log: RecordingLog,
    spooled: SpooledLog<RecordingLog>,
    draining: JoinHandle<()>,
}

impl Shop {
    fn open(directory: &Path, mood: Mood, max_bytes: u64) -> Self {
        let log = RecordingLog::default();
        log.is(mood);
        let spooled = SpooledLog::new(log.clone(), Spool::open(directory, max_bytes).unwrap(), PATIENCE);
        let drain = spooled.clone();
        let draining = tokio::spawn(async move { drain.drain().await });
        Self { log, spooled, draining }
    }

    /// Everything that is left when the process is killed is the directory.
    async fn kill(self) {
        self.draining.abort();
        let _aborted = self.draining.await;
    }

    async fn append(&self, number: usize) -> Result<(), LogError> {
        self.spooled.append(vec![record(number)]).await
    }

    async fn is(&self, state: SpoolState) {
        let reached = async {
            while self.spooled.state() != state {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(LIMIT, reached).await.unwrap_or_else(|_| panic!("{:?}", self.spooled.state()));
    }
}

fn records(numbers: impl IntoIterator<Item = usize>) -> Vec<LogRecord> {
    numbers.into_iter().map(record).collect()
}

fn segments(directory: &Path) -> Vec<PathBuf> {
    let all = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut segments: Vec<PathBuf> = all.filter(|path| path.extension().is_some_and(|end| end == "spool")).collect();
    segments.sort();
    segments
}

/// What each frame of a segment begins with, as its name says it.
fn salt(segment: &Path) -> [u8; 8] {
    let (_, salt) = segment.file_stem().unwrap().to_str().unwrap().rsplit_once('-').unwrap();
    u64::from_str_radix(salt, 16).unwrap().to_le_bytes()
}

/// Where the frames of a segment begin.
fn starts(segment: &Path) -> Vec<usize> {
    let (bytes, salt) = (fs::read(segment).unwrap(), salt(segment));
    bytes.windows(salt.len()).enumerate().filter(|(_, window)| *window == salt).map(|(at, _)| at).collect()
}

/// The head of a frame, right at this place of a segment.
fn head(salt: [u8; 8], place: usize, length: usize, sum: u32) -> Vec<u8> {
    let words = [(length as u32).to_le_bytes(), sum.to_le_bytes()].concat();
    let own = crc32c::crc32c_append(crc32c::crc32c(&(place as u64).to_le_bytes()), &words);
    [&salt[..], &words, &own.to_le_bytes()].concat()
}

/// A directory in which these records wait.
async fn filled(count: usize) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let shop = Shop::open(directory.path(), Mood::Fails(LogError::Unavailable), PLENTY);
    for number in 0..count {
        shop.append(number).await.unwrap();
    }
    shop.kill().await;
    directory
}

/// What a process that starts on this directory brings to the log.
async fn drained(directory: &Path) -> Vec<LogRecord> {
    let shop = Shop::open(directory, Mood::Stores, PLENTY);
    shop.is(SpoolState::Idle).await;
    let records = shop.log.records();
    shop.kill().await;
    records
}

#[tokio::test]
async fn a_drained_segment_that_a_kill_left_behind_is_gone_after_the_next_start() {
    let directory = filled(3).await;
    let segment = segments(directory.path()).remove(0);
    let bytes = fs::read(&segment).unwrap();
    assert_eq!(drained(directory.path()).await, records(0..3));
    // As it lay there just before it was removed.
    fs::write(&segment, &bytes).unwrap();
    let name = segment.file_stem().unwrap().display();
    fs::write(directory.path().join("drained"), format!("{name} {}\n", bytes.len())).unwrap();
    assert_eq!(drained(directory.path()).await, [], "how far it was drained is noted");
    assert_eq!(segments(directory.path()), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn while_the_log_answers_nothing_is_written_to_disk() {
    let directory = tempfile::tempdir().unwrap();
    let shop = Shop::open(directory.path(), Mood::Stores, PLENTY);
    for number in 0..10 {
        shop.append(number).await.unwrap();
    }
    assert_eq!(shop.log.records(), records(0..10));
    assert_eq!(shop.spooled.state(), SpoolState::Idle);
    assert_eq!(segments(directory.path()), Vec::<PathBuf>::new());
    // What the log refuses for good would be refused later, too.
    shop.log.is(Mood::Fails(LogError::Refused("too large".to_owned())));
    assert!(matches!(shop.append(10).await, Err(LogError::Refused(_))));
}

#[tokio::test]
async fn what_comes_while_the_log_is_away_is_taken_and_comes_to_it_in_order_before_all_that_comes_later() {
    for away in [Mood::Fails(LogError::Unavailable), Mood::Fails(LogError::Overloaded), Mood::NeverAnswers] {
        let directory = tempfile::tempdir().unwrap();
        let shop = Shop::open(directory.path(), Mood::Stores, PLENTY);
        shop.append(0).await.unwrap();
        shop.log.is(away.clone());
        for number in 1..20 {
            shop.append(number).await.unwrap();
        }
        assert!(matches!(shop.spooled.state(), SpoolState::Keeps { bytes } if bytes > 0), "{away:?}");
        shop.log.is(Mood::Stores);
        // A draining that waits for an answer that never comes has its client's time-out; here it is none.
        let shop = if matches!(away, Mood::NeverAnswers) {
            let log = shop.log.clone();
            shop.kill().await;
            let again = Shop::open(directory.path(), Mood::NeverAnswers, PLENTY);
            again.log.holds(log.records());
            again.log.is(Mood::Stores);
            again
        } else {
            shop
        };
        for number in 20..40 {
            shop.append(number).await.unwrap();
        }
        shop.is(SpoolState::Idle).await;
        shop.append(40).await.unwrap();
        assert_eq!(shop.log.records(), records(0..41), "{away:?}");
    }
}

/// Customers' data lies in it, and the next outage may be years away.
#[tokio::test]
async fn of_a_spool_that_is_drained_no_byte_stays_on_the_disk() {
    let directory = tempfile::tempdir().unwrap();
    let shop = Shop::open(directory.path(), Mood::Stores, PLENTY);
    for outage in 0..3 {
        shop.log.is(Mood::Fails(LogError::Unavailable));
        shop.append(outage).await.unwrap();
        assert_eq!(segments(directory.path()).len(), 1);
        shop.log.is(Mood::Stores);
        shop.is(SpoolState::Idle).await;
        let gone = async {
            while !segments(directory.path()).is_empty() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(LIMIT, gone).await.unwrap();
    }
    assert_eq!(shop.log.records(), records(0..3));
}

/// Whoever drains is never done where something has come each time that it looks.
#[tokio::test]
async fn a_spool_ends_though_calls_come_all_the_time_and_the_log_takes_its_time() {
    let directory = tempfile::tempdir().unwrap();
    let shop = Shop::open(directory.path(), Mood::Fails(LogError::Unavailable), PLENTY);
    shop.append(0).await.unwrap();
    shop.log.is(Mood::AnswersAfter(PATIENCE / 4));
    let mut number = 1;
    let calling = async {
        while shop.spooled.state() != SpoolState::Idle {
            shop.append(number).await.unwrap();
            number += 1;
        }
    };
    tokio::time::timeout(LIMIT, calling).await.unwrap();
    assert_eq!(shop.log.records(), records(0..number));
}

/// What is drained while they wait would come twice, each time that it takes too long.
#[tokio::test]
async fn calls_do_not_wait_for_the_end_of_a_spool_whose_log_is_slow() {
    let directory = tempfile::tempdir().unwrap();
    let shop = Shop::open(directory.path(), Mood::AnswersAfter(PATIENCE * 2), PLENTY);
    for number in 0..20 {
        shop.append(number).await.unwrap();
    }
    assert!(matches!(shop.spooled.state(), SpoolState::Keeps { .. }));
    shop.log.is(Mood::Stores);
    shop.is(SpoolState::Idle).await;
    // The first went to the log itself, which said so too late.
    assert_eq!(shop.log.records(), records(std::iter::once(0).chain(0..20)));
}

#[tokio::test]
async fn a_call_whose_caller_has_gone_away_is_not_left_in_the_spool() {
    for _ in 0..50 {
        let directory = tempfile::tempdir().unwrap();
        let shop = Shop::open(directory.path(), Mood::Fails(LogError::Unavailable), PLENTY);
        shop.append(0).await.unwrap();
        shop.log.is(Mood::Stores);
        let gone = tokio::time::timeout(Duration::from_micros(20), shop.append(1)).await;
        shop.is(SpoolState::Idle).await;
        let stored = shop.log.records();
        shop.kill().await;
        assert_eq!(drained(directory.path()).await, [], "{gone:?}: nothing is left behind");
        assert!(stored == records(0..1) || stored == records(0..2), "{stored:?}");
    }
}

#[tokio::test]
async fn what_was_taken_outlives_a_kill_whichever_part_of_it_was_drained() {
    let directory = filled(100).await;
    assert_eq!(drained(directory.path()).await, records(0..100));
    assert_eq!(drained(directory.path()).await, [], "it does not come again");
    let shop = Shop::open(directory.path(), Mood::Fails(LogError::Unavailable), PLENTY);
    shop.append(100).await.unwrap();
    shop.kill().await;
    assert_eq!(drained(directory.path()).await, records([100]));
}

#[tokio::test]
async fn the_last_record_torn_at_any_byte_costs_nothing_but_itself() {
    let whole = filled(5).await;
    let segment = segments(whole.path()).remove(0);
    let bytes = fs::read(&segment).unwrap();
    let last = starts(&segment)[4];
    for length in last..bytes.len() {
        fs::write(&segment, &bytes[..length]).unwrap();
        // It goes on behind what is whole.
        let shop = Shop::open(whole.path(), Mood::Fails(LogError::Unavailable), PLENTY);
        shop.append(7).await.unwrap();
        shop.kill().await;
        assert_eq!(drained(whole.path()).await, records([0, 1, 2, 3, 7]), "cut at {length}");
        for segment in segments(whole.path()) {
            fs::remove_file(segment).unwrap();
        }
        let _stale = fs::remove_file(whole.path().join("drained"));
    }
}

#[tokio::test]
async fn a_byte_that_is_damaged_costs_nothing_but_its_record_and_the_segment_is_set_aside() {
    let whole = filled(3).await;
    let segment = segments(whole.path()).remove(0);
    let bytes = fs::read(&segment).unwrap();
    let starts = starts(&segment);
    for at in starts[1]..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x5a;
        fs::write(&segment, &damaged).unwrap();
        let left = if at < starts[2] { [0, 2] } else { [0, 1] };
        assert_eq!(drained(whole.path()).await, records(left), "damaged at {at}");
        let aside = segment.with_extension("damaged");
        assert_eq!(fs::read(&aside).unwrap(), damaged, "damaged at {at}");
        fs::remove_file(aside).unwrap();
        let _stale = fs::remove_file(whole.path().join("drained"));
    }
}

#[tokio::test]
async fn a_full_spool_tells_callers_to_come_again_and_takes_them_once_it_is_drained() {
    let directory = tempfile::tempdir().unwrap();
    let shop = Shop::open(directory.path(), Mood::Fails(LogError::Unavailable), 400);
    let mut taken = 0;
    while shop.append(taken).await.is_ok() {
        taken += 1;
    }
    assert!(taken > 2, "{taken}");
    assert_eq!(shop.append(taken).await, Err(LogError::Unavailable));
    assert_eq!(shop.spooled.state(), SpoolState::Refuses);
    shop.log.is(Mood::Stores);
    shop.is(SpoolState::Idle).await;
    assert_eq!(shop.log.records(), records(0..taken));
    shop.append(taken).await.unwrap();
    assert_eq!(shop.log.records(), records([taken]));
}

#[tokio::test]
async fn a_note_of_what_was_drained_that_makes_no_sense_costs_a_repeat_and_nothing_else() {
    for note in ["", "nonsense", "NAME 999999999", "NAME", "OTHER 70", "7 0", "-1 -1"] {
        let directory = filled(4).await;
        let name = segments(directory.path())[0].file_stem().unwrap().to_str().unwrap().to_owned();
        let other = format!("{}-{:016x}", name.rsplit_once('-').unwrap().0, 7);
        let text = note.replace("NAME", &name).replace("OTHER", &other);
        fs::write(directory.path().join("drained"), text).unwrap();
        assert_eq!(drained(directory.path()).await, records(0..4), "{note}");
    }
}

#[tokio::test]
async fn a_spool_has_one_door_and_nobody_else_reads_it() {
    let directory = filled(1).await;
    let open = Shop::open(directory.path(), Mood::NeverAnswers, PLENTY);
    assert!(matches!(Spool::open(directory.path(), PLENTY), Err(SpoolError::InUse(_))));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&segments(directory.path())[0]), 0o600);
    open.kill().await;
    let made = directory.path().join("made");
    drop(Spool::open(&made, PLENTY).unwrap());
    assert_eq!(mode(&made), 0o700);
}

#[tokio::test]
async fn a_call_that_this_version_does_not_know_stays_where_it_is() {
    let directory = filled(2).await;
    let segment = segments(directory.path()).remove(0);
    let bytes = fs::read(&segment).unwrap();
    // Another data set, with the right sum over it.
    let payload = bytes.windows(19).position(|window| window == b"storefront.received").unwrap();
    let file = fs::OpenOptions::new().write(true).open(&segment).unwrap();
    file.write_all_at(b"storefront.tomorrow", payload as u64).unwrap();
    let changed = fs::read(&segment).unwrap();
    let length = starts(&segment)[1] - 20;
    let sum = crc32c::crc32c(&changed[20..20 + length]);
    file.write_all_at(&head(salt(&segment), 0, length, sum), 0).unwrap();
    let shop = Shop::open(directory.path(), Mood::Stores, PLENTY);
    shop.append(2).await.unwrap();
    assert!(matches!(shop.spooled.state(), SpoolState::Keeps { .. }));
    shop.kill().await;
    file.write_all_at(&bytes, 0).unwrap();
    assert_eq!(drained(directory.path()).await, records([0, 1, 2]));
}

#[tokio::test]
async fn what_looks_like_a_call_within_a_callers_record_is_none_wherever_a_portion_ends() {
    let forged = fs::read(&segments(filled(1).await.path())[0]).unwrap();
    let long = vec![b'x'; 600 << 10];
    // What is read at once (1 MiB) ends within the second, behind what looks like a call.
    let within = [&long[..200 << 10], &forged, &long].concat();
    let calls: Vec<LogRecord> =
        [long, within].into_iter().map(|value| LogRecord { value: value.into(), ..record(1) }).collect();
    let directory = holding(&calls).await;
    assert!(drained(directory.path()).await == calls, "these calls, and nothing that one of them says");
}

/// A directory in which these calls of one record wait.
async fn holding(calls: &[LogRecord]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let shop = Shop::open(directory.path(), Mood::Fails(LogError::Unavailable), PLENTY);
    for call in calls {
        shop.spooled.append(vec![call.clone()]).await.unwrap();
    }
    shop.kill().await;
    directory
}

#[tokio::test]
async fn what_looks_like_a_call_within_a_callers_record_is_none_wherever_that_is_damaged() {
    // What a caller may know of another door's spool, or of this one's of yesterday; with a bare beginning of a frame.
    let forged = fs::read(&segments(filled(2).await.path())[0]).unwrap();
    let value = [&forged[..], &forged[..30]].concat();
    let calls = [record(1), LogRecord { value: value.into(), ..record(2) }, record(3)];
    let whole = holding(&calls).await;
    let segment = segments(whole.path()).remove(0);
    let (bytes, starts) = (fs::read(&segment).unwrap(), starts(&segment));
    for at in starts[1]..starts[2] {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x5a;
        fs::write(&segment, damaged).unwrap();
        assert_eq!(drained(whole.path()).await, records([1, 3]), "damaged at {at}");
        let _stale = fs::remove_file(whole.path().join("drained"));
    }
}

#[tokio::test]
async fn what_a_damaged_segment_costs_is_bounded_by_its_length_whatever_is_in_it() {
    const BYTES: usize = 16 << 20;
    let whole = filled(1).await;
    let segment = segments(whole.path()).remove(0);
    let (salt, call) = (salt(&segment), fs::read(&segment).unwrap());
    let heads = |head_of: &dyn Fn(usize) -> Vec<u8>| -> Vec<u8> { (0..BYTES).step_by(20).flat_map(head_of).collect() };
    // Each says that all behind it is its own; each is right but for its place; each is the salt alone.
    let rest = |place: usize| BYTES.saturating_sub(place + 20);
    let long = heads(&|place| head(salt, place, rest(place), 7));
    let misplaced = heads(&|place| head(salt, place + 1, rest(place), 7));
    let salted = salt.repeat(BYTES / 8);
    for (what, damage) in [("long", long), ("misplaced", misplaced), ("salted", salted)] {
        // With what waits behind it, where it is: a call that is moved is none.
        let length = call.len() - 20;
        let behind = [head(salt, damage.len(), length, crc32c::crc32c(&call[20..])), call[20..].to_vec()].concat();
        fs::write(&segment, [&call[..], &damage[call.len()..], &behind].concat()).unwrap();
        let began = Instant::now();
        let came = drained(whole.path()).await;
        assert!(began.elapsed() < LIMIT, "{what}");
        assert_eq!(came, records([0, 0]), "{what}");
        let _stale = fs::remove_file(whole.path().join("drained"));
    }
}

#[tokio::test]
async fn a_segment_of_another_format_is_not_opened_and_stays_as_it_is() {
    for name in ["00000000000000000001.spool", "00000000000000000001-3-0123456789abcdef.spool"] {
        let directory = filled(1).await;
        let other = directory.path().join(name);
        fs::write(&other, "of another format").unwrap();
        let refused = Spool::open(directory.path(), PLENTY).unwrap_err();
        assert!(matches!(&refused, SpoolError::Format(path) if *path == other), "{refused}");
        assert_eq!(fs::read(&other).unwrap(), b"of another format");
        fs::rename(&other, other.with_extension("elsewhere")).unwrap();
        assert_eq!(drained(directory.path()).await, records([0]));
    }
}

#[tokio::test]
async fn files_and_notes_of_no_spool_keep_it_neither_from_opening_nor_from_taking_calls() {
    let directory = filled(1).await;
    for name in ["7.spool", "+7.spool", "+0000000000000000007.spool"] {
        fs::write(directory.path().join(name), "not ours").unwrap();
    }
    fs::write(directory.path().join("drained"), "18446744073709551615-2-0000000000000000 0").unwrap();
    let shop = Shop::open(directory.path(), Mood::Fails(LogError::Unavailable), PLENTY);
    shop.append(1).await.unwrap();
    shop.kill().await;
    assert_eq!(drained(directory.path()).await, records(0..2));
}
