//! `vuelve replay`, as far as it has to do with the person who calls it; what it computes is tested in `tests/`.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::{command, err, out};

const HEAD: &str = "customer_id,product_id,unix_seconds,event\n";

/// A replay in a folder of its own.
struct Replay {
    folder: TempDir,
    format: &'static str,
    file: PathBuf,
    out: PathBuf,
}

impl Replay {
    fn of(format: &'static str, events: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let (file, out) = (folder.path().join("events"), folder.path().join("out"));
        fs::write(&file, events).unwrap();
        fs::create_dir(folder.path().join("temporary")).unwrap();
        Self { folder, format, file, out }
    }

    fn of_csv(lines: &str) -> Self {
        Self::of("retailrocket", &format!("{HEAD}{lines}"))
    }

    fn of_calls(dates: &[&str]) -> Self {
        let call = |at: &&str| format!(r#"{{"type":"track","event":"E","userId":"ana","timestamp":"{at}"}}"#);
        Self::of("segment-jsonl", &dates.iter().map(call).collect::<Vec<_>>().join("\n"))
    }

    fn command(&self) -> Command {
        self.command_with("presets/basic")
    }

    fn command_with(&self, definitions: &str) -> Command {
        let mut command = command(&["replay", "--definitions", definitions, "--format", self.format, "--file"]);
        command.arg(&self.file).arg("--out").arg(&self.out).env("TMPDIR", self.temporary());
        command
    }

    fn temporary(&self) -> PathBuf {
        self.folder.path().join("temporary")
    }

    /// The one line by which it is refused, without the folder's name.
    fn refusal(&self, command: &mut Command) -> String {
        let output = command.output().unwrap();
        assert_eq!((output.status.code(), out(&output)), (Some(1), String::new()), "{}", err(&output));
        let told = err(&output).replace(&format!("{}/", self.folder.path().display()), "");
        assert_eq!(told.lines().count(), 1, "{told}");
        told.trim_end().trim_start_matches("vuelve: ").to_owned()
    }
}

fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = entries.collect();
    names.sort_unstable();
    names
}

#[test]
fn an_event_whose_date_the_door_would_not_believe_is_refused_with_its_line() {
    for (seconds, told) in [
        ("0", "1970-01-01T00:00:00Z: before 1990-01-01T00:00:00Z only clocks that were never set are"),
        ("-86400", "1969-12-31T00:00:00Z: before 1990-01-01T00:00:00Z only clocks that were never set are"),
        ("4102444800", "2100-01-01T00:00:00Z, which is still to come"),
        ("1400000000000", "1400000000000000 ms, which is still to come"),
    ] {
        let replay = Replay::of_csv(&format!("ana,p1,1400000000,view\nana,p1,{seconds},cart\n"));
        let told = format!("events:3: the event is dated {told}; correct the date, or leave the line out");
        assert_eq!(replay.refusal(&mut replay.command()), told);
        assert!(!replay.out.exists(), "nothing was begun");
    }
    for at in ["1970-01-01T00:00:00Z", "-000001-01-01T00:00:00Z", "2100-01-01T00:00:00Z"] {
        let replay = Replay::of_calls(&["2024-05-01T10:00:00Z", at]);
        let refusal = replay.refusal(&mut replay.command());
        assert!(refusal.starts_with(&format!("events:2: the event is dated {at}")), "{refusal}");
    }
}

#[test]
fn what_is_wrong_with_a_pipe_is_told_on_the_way_and_once() {
    let mut replay = Replay::of_csv("ana,p1,0,view\n");
    let events = fs::File::open(&replay.file).unwrap();
    let mut cat = Command::new("cat").stdin(events).stdout(Stdio::piped()).spawn().unwrap();
    replay.file = "/dev/stdin".into();
    let refusal = replay.refusal(replay.command().stdin(cat.stdout.take().unwrap()));
    assert!(refusal.starts_with("/dev/stdin:2: the event is dated 1970-01-01T00:00:00Z"), "{refusal}");
    assert!(cat.wait().unwrap().success());
    assert_eq!((files(&replay.out), files(&replay.temporary())), (Vec::new(), Vec::new()));
}

#[test]
fn an_end_before_the_first_event_is_refused_with_that_events_date() {
    let replay = Replay::of_csv("ana,p1,1400000100,view\nbea,p1,1400000000,view\n");
    let told =
        "--until 2014-05-01T00:00:00Z lies before the first event of events, which is dated 2014-05-13T16:53:20Z";
    assert_eq!(replay.refusal(replay.command().args(["--until", "2014-05-01T00:00:00Z"])), told);
}

#[test]
fn a_time_as_of_which_nothing_can_be_told_is_refused_before_anything_is_sent() {
    let replay = Replay::of_csv("ana,p1,1400000000,view\nana,p1,1400000100,view\n");
    let refusal = |arguments: &[&str]| replay.refusal(replay.command().args(arguments));
    for first in ["2014-05-13T16:53:20Z", "2014-05-01T00:00Z"] {
        let told = refusal(&["--as-of", "2015-01-01T00:00Z", "--as-of", first]);
        let why = "does not lie after the first event of events, which is dated 2014-05-13T16:53:20Z: nothing had happened before";
        assert!(told.starts_with("--as-of 2014-05-") && told.ends_with(why), "{told}");
    }
    let told = refusal(&["--as-of", "2015-01-01T00:00Z", "--until", "2014-12-31T23:59:59Z"]);
    assert_eq!(told, "--as-of 2015-01-01T00:00:00Z lies after --until 2014-12-31T23:59:59Z");
    fs::create_dir_all(replay.out.join("customers-2015-01-01.csv")).unwrap();
    let told = refusal(&["--as-of", "2015-01-01T00:00Z"]);
    assert_eq!(told, "--out out has a folder customers-2015-01-01.csv, where the result's file would be");
    let output = replay.command().args(["--as-of", "2015-01-01"]).output().unwrap();
    assert!(err(&output).contains("`2015-01-01` is no time as RFC 3339 has it"), "{}", err(&output));
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn an_event_that_goes_back_behind_a_time_as_of_which_customers_are_told_is_refused_with_its_line() {
    let replay = Replay::of_csv("ana,p1,1400000000,view\nana,p1,1400000100,view\nbea,p1,1400000050,view\n");
    let told = replay.refusal(replay.command().args(["--as-of", "2014-05-13T16:54:20Z"]));
    let why =
        "events:4: the event is dated 2014-05-13T16:54:10Z, and one from 2014-05-13T16:54:20Z or later came before it;";
    assert!(told.starts_with(why), "{told}");
}

#[test]
fn who_the_customers_are_is_told_as_of_times_in_whatever_order_they_are_given() {
    let invoices = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n\
                    1,P1,\"A CUP, RED\",2,2011-06-07 10:00:00,1.25,17850.0,Spain\n\
                    2,P1,PLATE,1,2011-06-08 23:59:00,3,17851.0,Spain\n\
                    3,P1,PLATE,4,2011-06-09 00:00:00,3,17850.0,Spain\n\
                    C4,P1,PLATE,-1,2011-06-09 12:00:00,3,17850.0,Spain\n";
    let replay = Replay::of("online-retail", invoices);
    let times = ["--as-of", "2011-06-09T12:30Z", "--as-of", "2011-06-09T00:00Z"];
    let output = replay.command().args(times).output().unwrap();
    assert!(output.status.success(), "{}", err(&output));
    let names = [
        "customers-2011-06-09.csv",
        "customers-2011-06-09T123000Z.csv",
        "messages.csv",
        "quintiles-2011-06-09.json",
        "quintiles-2011-06-09T123000Z.json",
        "summary.json",
    ];
    assert_eq!(files(&replay.out), names);
    // Two customers are too few for fifths.
    let learnt: serde_json::Value = serde_json::from_slice(&fs::read(replay.out.join(names[4])).unwrap()).unwrap();
    let expected = serde_json::json!({
        "learnt_at": "2011-06-09T12:30:00Z", "customers": 2, "recency_days": [], "frequency": [], "monetary": [],
    });
    assert_eq!(learnt, expected);
    let told = names[..2].iter().map(|name| {
        let text = fs::read_to_string(replay.out.join(name)).unwrap();
        let first_fields = |line: &str| line.split(',').take(5).collect::<Vec<_>>().join(" ");
        text.lines().map(first_fields).collect::<Vec<_>>()
    });
    let head = "customer_id recency_days frequency monetary_minor currency";
    let expected =
        [[head, "17850 1 1 250 GBP", "17851 0 1 300 GBP"], [head, "17850 0 2 1150 GBP", "17851 0 1 300 GBP"]];
    assert_eq!(told.collect::<Vec<_>>(), expected);
}

#[test]
fn segments_open_journeys_and_end_them_at_their_moments() {
    // A first order; one customer at risk who comes back and one who does not; one who becomes a VIP.
    let once = |customer, day: &str, price| format!("{day},{price},{customer}");
    let mut orders = vec![
        once(17850, "2011-01-03 10:00:00", 10),
        once(17851, "2011-01-01 09:00:00", 10),
        once(17851, "2011-01-10 09:30:00", 10),
        once(17852, "2011-01-01 09:00:00", 10),
        once(17852, "2011-01-10 09:30:00", 10),
        once(17852, "2011-04-12 09:00:00", 10),
    ];
    orders.extend((1..=10).map(|day| once(17853, &format!("2011-02-{day:02} 16:00:00"), 150)));
    orders.sort();
    let mut invoices = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n".to_owned();
    for (number, order) in orders.iter().enumerate() {
        writeln!(invoices, "{number},P1,PLATE,1,{order},Spain").unwrap();
    }
    let replay = Replay::of("online-retail", &invoices);
    let mut command = replay.command_with("examples/lifecycle");
    let output = command.args(["--synthetic-addresses", "--until", "2011-08-01T00:00:00Z"]).output().unwrap();
    assert!(output.status.success(), "{}", err(&output));
    let messages = fs::read_to_string(replay.out.join("messages.csv")).unwrap();
    let told: Vec<&str> = messages.lines().filter(|row| row.contains(",sent,") || row.contains(",exited,")).collect();
    let expected = [
        "17850,welcome,2.then.1,welcome,email,2011-01-04T10:00:00Z,sent,",
        "17851,welcome,2.then.1,welcome,email,2011-01-02T09:00:00Z,sent,",
        "17851,win-back,first,win-back,email,2011-04-10T09:30:00Z,sent,",
        "17852,welcome,2.then.1,welcome,email,2011-01-02T09:00:00Z,sent,",
        "17852,win-back,2,,,2011-04-12T09:00:00Z,exited,Segment Left",
        "17852,win-back,first,win-back,email,2011-04-10T09:30:00Z,sent,",
        "17853,vip-thanks,3,vip-thanks,email,2011-02-11T10:00:00Z,sent,",
        "17853,welcome,2.then.1,welcome,email,2011-02-02T16:00:00Z,sent,",
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_byte_order_mark_is_read_over_and_a_quote_is_refused_with_what_is_expected() {
    let replay = Replay::of("retailrocket", &format!("\u{feff}{HEAD}ana,\"p1\",1400000000,view\n"));
    let told = "events:2: a quote stands here; four fields without quotes are expected, \
                customer_id,product_id,unix_seconds,event";
    assert_eq!(replay.refusal(&mut replay.command()), told);
}

#[test]
fn where_the_result_can_not_be_written_is_told_at_once() {
    let mut replay = Replay::of_csv("ana,p1,1400000000,view\n");
    let folder = replay.folder.path().to_owned();
    fs::create_dir_all(folder.join("taken/summary.json")).unwrap();
    for (place, told) in [
        ("events", "--out events is a file: name a folder"),
        ("events/within", "--out events/within can't be made: Not a directory (os error 20)"),
        ("taken", "--out taken has a folder summary.json, where the result's file would be"),
    ] {
        replay.out = folder.join(place);
        assert_eq!(replay.refusal(&mut replay.command()), told);
    }
}

#[test]
fn a_signal_ends_a_replay_soon_with_its_own_code_and_leaves_what_was_there() {
    let line = |at: u32| format!("customer-{},p1,{},cart\n", at % 5_000, 1_400_000_000 + at);
    let replay = Replay::of_csv(&(0..200_000).map(line).collect::<String>());
    fs::create_dir(&replay.out).unwrap();
    fs::write(replay.out.join("messages.csv"), "as it was\n").unwrap();
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        let mut command = replay.command();
        command.args(["--set", "telemetry.log_filter=info"]).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        assert!(lines.any(|line| line.contains("started") && line.contains("the replay")));
        let began = Instant::now();
        assert!(Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().unwrap().success());
        let (told, log): (Vec<String>, Vec<String>) = lines.partition(|line| line.starts_with("vuelve: "));
        assert_eq!(child.wait().unwrap().code(), Some(code), "{told:?}\n{}", log.join("\n"));
        // The embedded services drain; they have 25 s, and nothing to wait for.
        assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
        let by = format!("vuelve: the replay was ended by SIG{name} before it was through; no result was written");
        assert_eq!(told, [by]);
        assert_eq!((files(&replay.out), files(&replay.temporary())), (vec!["messages.csv".to_owned()], Vec::new()));
        assert_eq!(fs::read_to_string(replay.out.join("messages.csv")).unwrap(), "as it was\n");
    }
}

#[test]
fn a_result_takes_the_place_of_the_one_before_and_is_there_also_where_nobody_reads_the_summary() {
    let replay = Replay::of_csv("ana,p1,1400000000,cart\n");
    fs::create_dir(&replay.out).unwrap();
    fs::write(replay.out.join("messages.csv"), "the one before\n").unwrap();
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = replay.command().stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).starts_with("vuelve: standard output can't be written to: "), "{}", err(&output));
    assert_eq!(files(&replay.out), ["messages.csv", "summary.json"]);
    let messages = fs::read_to_string(replay.out.join("messages.csv")).unwrap();
    assert!(messages.starts_with("customer_id,journey,") && messages.contains("ana,cart-recovery,"), "{messages}");
}

#[test]
fn what_could_not_be_processed_is_counted_by_reason_and_told() {
    let of = |event: &str| {
        format!(r#"{{"type":"track","event":"{event}","userId":"ana","timestamp":"2024-05-01T10:00:00Z"}}"#)
    };
    let too_large = "E".repeat(40_000);
    let replay = Replay::of("segment-jsonl", &[of("E"), of(&too_large), of(&too_large)].join("\n"));
    let output = replay.command().output().unwrap();
    assert!(output.status.success(), "{}", err(&output));
    let summary: serde_json::Value = serde_json::from_str(&out(&output)).unwrap();
    let reasons = summary["dead_letters"].as_object().unwrap();
    assert_eq!(reasons.values().map(|count| count.as_u64().unwrap()).collect::<Vec<_>>(), [2], "{summary}");
    let reason = reasons.keys().next().unwrap();
    let told =
        format!("vuelve: not everything could be processed, and what could not is no part of this ({reason}: 2)\n");
    assert!(err(&output).ends_with(&told), "{}", err(&output));
}
