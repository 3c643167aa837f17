//! The spool: a log that is away, a process that is killed, bytes that are torn or damaged, a disk that is full.

use std::fs;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

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
    let last = bytes.windows(4).rposition(|window| window == b"VSF1").unwrap();
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
    let starts: Vec<usize> = (0..bytes.len() - 3).filter(|at| &bytes[*at..at + 4] == b"VSF1").collect();
    // The length of the last one tells it from one that a crash tore off: but for that, it is no different.
    let last = (starts[2]..bytes.len()).filter(|at| !(starts[2] + 4..starts[2] + 8).contains(at));
    for at in (starts[1]..starts[2]).chain(last) {
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
    for note in ["", "nonsense", "1 999999999", "7 0", "-1 -1"] {
        let directory = filled(4).await;
        fs::write(directory.path().join("drained"), note).unwrap();
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
    let payload = String::from_utf8_lossy(&bytes[12..]).find("storefront.received").unwrap() + 12;
    let file = fs::OpenOptions::new().write(true).open(&segment).unwrap();
    file.write_all_at(b"storefront.tomorrow", payload as u64).unwrap();
    let changed = fs::read(&segment).unwrap();
    let length = u32::from_le_bytes(changed[4..8].try_into().unwrap()) as usize;
    file.write_all_at(&crc32c::crc32c(&changed[12..12 + length]).to_le_bytes(), 8).unwrap();
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
    let directory = tempfile::tempdir().unwrap();
    let shop = Shop::open(directory.path(), Mood::Fails(LogError::Unavailable), PLENTY);
    for call in &calls {
        shop.spooled.append(vec![call.clone()]).await.unwrap();
    }
    shop.kill().await;
    assert!(drained(directory.path()).await == calls, "these calls, and nothing that one of them says");
}

#[tokio::test]
async fn files_and_notes_of_no_spool_keep_it_neither_from_opening_nor_from_taking_calls() {
    let directory = filled(1).await;
    for name in ["7.spool", "+7.spool", "18446744073709551615.spool"] {
        fs::write(directory.path().join(name), "not ours").unwrap();
    }
    fs::write(directory.path().join("drained"), "18446744073709551615 0").unwrap();
    let shop = Shop::open(directory.path(), Mood::Fails(LogError::Unavailable), PLENTY);
    shop.append(1).await.unwrap();
    shop.kill().await;
    assert_eq!(drained(directory.path()).await, records(0..2));
}
