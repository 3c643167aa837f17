//! `vuelve import`, as far as it needs no broker: what rows would become, and how what is wrong is told.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::Arc;

use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{err, out, vuelve};

/// A file in a folder of its own.
struct Past {
    folder: TempDir,
    file: PathBuf,
}

impl Past {
    fn of(name: &str, content: &[u8]) -> Self {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join(name);
        fs::write(&file, content).unwrap();
        Self { folder, file }
    }

    /// Looks what would become of it.
    fn dry_run(&self, kind: &str, arguments: &[&str]) -> Output {
        let file = self.file.display().to_string();
        let given = ["import", kind, &file, "--dry-run", "--show", "100", "--shop", "main", "--currency", "EUR"];
        vuelve(&[&given, arguments].concat())
    }

    /// What is wrong with all of it, without the folder's name.
    fn refusal(&self, kind: &str, arguments: &[&str]) -> String {
        let output = self.dry_run(kind, arguments);
        assert_eq!((output.status.code(), out(&output)), (Some(1), String::new()), "{}", err(&output));
        err(&output).replace(&format!("{}/", self.folder.path().display()), "").trim_end().to_owned()
    }

    fn rejected(&self) -> Vec<Value> {
        let name = format!("{}.dry-run.rejected.jsonl", self.file.display());
        fs::read_to_string(name).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn events(output: &Output) -> Vec<Value> {
    out(output).lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn example(arguments: &[&str]) -> Vec<Value> {
    let folder = TempDir::new().unwrap();
    let rejects = folder.path().join("rejects").display().to_string();
    let given = ["import", "--dry-run", "--show", "100", "--shop", "main", "--currency", "EUR", "--rejects", &rejects];
    let output = vuelve(&[&given, arguments].concat());
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    events(&output)
}

#[test]
fn the_example_of_orders_becomes_orders_with_their_lines() {
    let events = example(&["--orders", "examples/import/orders.csv"]);
    let orders: Vec<_> = events.iter().map(|e| (&e["order"]["order_id"], &e["order"]["total_minor"])).collect();
    assert_eq!(
        orders,
        [(&json!("1001"), &json!(6_480)), (&json!("1002"), &json!(1_800)), (&json!("1003"), &json!(25_000))]
    );
    assert_eq!(events[0]["products"].as_array().unwrap().len(), 2);
    assert_eq!(events[0]["products"][1]["name"], "Bulb \"warm\"");
    assert_eq!(events[2]["products"][0]["name"], "Chair\nwith arms");
    assert!(events[1]["user_id"].as_str().unwrap().starts_with("address-"));
    assert!(events.iter().all(|event| event["historical"] == true));
    let events = example(&["--orders", "examples/import/orders.csv", "--open-journeys"]);
    assert!(events.iter().all(|event| event["historical"] == false));
}

#[test]
fn the_example_of_an_export_is_read_by_its_mapping() {
    let mapping = "examples/import/shop-export.yaml";
    let file = "examples/import/shop-export.csv";
    let events = example(&[
        "--orders",
        file,
        "--mapping",
        mapping,
        "--delimiter",
        ";",
        "--decimal-comma",
        "--time-zone",
        "Europe/Madrid",
    ]);
    assert_eq!(events.len(), 2, "the one that was called off is passed over");
    assert_eq!((&events[0]["order"]["total_minor"], &events[0]["user_id"]), (&json!(124_990), &json!("shop-17")));
    assert_eq!(events[0]["products"][1]["price_minor"], 2_500);
    assert_eq!(events[0]["event_time"], 1_732_871_700_000_i64);
    assert_eq!(events[1]["properties_json"], r#"{"store":"Centro"}"#);
}

#[test]
fn the_examples_of_customers_and_calls_become_what_the_door_would_make_of_them() {
    let events = example(&["--customers", "examples/import/customers.csv"]);
    assert_eq!(events.iter().map(|e| e["consent_marketing"].clone()).collect::<Vec<_>>(), [true, false, true]);
    assert_eq!(events[0]["traits_json"], r#"{"birthday":"1990-05-01"}"#);
    let events = example(&["--events", "examples/import/calls.jsonl"]);
    assert_eq!(events.iter().map(|e| e["message_id"].clone()).collect::<Vec<_>>(), ["past-1", "past-2", "past-3"]);
}

#[test]
fn rejected_rows_are_reported_with_line_reason_and_bytes_and_the_sums_match() {
    let mut csv = b"\xef\xbb\xbf\"order_id\",time,customer_id,total\r\n".to_vec();
    csv.extend(b"1,2024-05-01T10:00:00Z,c,10\r\n"); // line 2
    csv.extend(b"2,2024-05-01T10:00:00Z,c\r\n"); // 3
    csv.extend(b"\r\n\"3\n\",soon,c,10\r\n"); // 5 and 6
    csv.extend(b"4,2024-05-01T10:00:00Z,\xff\xfe,10\r\n"); // 7
    csv.extend(b"5,2024-05-01T10:00:00Z,\"c\"x,10\r\n"); // 8
    csv.extend(b"6,2024-05-01T10:00:00Z,c,\"12,50\"\r\n"); // 9
    csv.extend(b"1,2024-05-01T10:00:00Z,c,10\r\n"); // 10
    csv.extend(b"7,2024-05-01T10:00:00Z,c,10"); // 11
    let past = Past::of("orders.csv", &csv);
    let output = past.dry_run("--orders", &[]);
    assert_eq!(output.status.code(), Some(4), "{}", err(&output));
    let told = out(&output).lines().last().unwrap().to_owned();
    assert_eq!(told, "8 rows: 2 events would be sent; nothing was, of 2 rows; 0 passed over, 6 rejected");
    let rejected = past.rejected();
    let found: Vec<_> =
        rejected.iter().map(|row| (row["line"].as_u64().unwrap(), row["reason"].as_str().unwrap())).collect();
    assert_eq!(
        found,
        [
            (3, "wrong_number_of_fields"),
            (5, "bad_time"),
            (7, "not_utf8"),
            (8, "stray_quote"),
            (9, "bad_amount"),
            (10, "order_again"),
        ]
    );
    assert_eq!(rejected[0]["text"], "2,2024-05-01T10:00:00Z,c");
    assert_eq!(rejected[0]["problem"], "3 fields, and the header names 4 columns");
    assert_eq!(rejected[1]["text"], "\"3\n\",soon,c,10");
    assert!(rejected[2]["base64"].is_string());
    assert!(rejected[4]["problem"].as_str().unwrap().contains("--decimal-comma"));
}

#[test]
fn an_order_of_which_a_row_can_not_be_read_is_rejected_as_a_whole() {
    let csv = "order_id,time,customer_id,sku\n1,2024-05-01T10:00:00Z,c,a\n1,b\n1,,,c\n2,2024-05-01T10:00:00Z,c,d\n";
    let past = Past::of("orders.csv", csv.as_bytes());
    let output = past.dry_run("--orders", &[]);
    assert_eq!(events(&output).len(), 1);
    let rejected = past.rejected();
    assert_eq!((&rejected[0]["line"], &rejected[0]["rows"]), (&json!(2), &json!(3)));
    assert_eq!(rejected[0]["text"], "1,2024-05-01T10:00:00Z,c,a\n1,b\n1,,,c");
}

#[test]
fn what_is_wrong_with_a_file_is_told_with_what_to_do() {
    let csv = |text: &str, arguments: &[&str]| Past::of("rows.csv", text.as_bytes()).refusal("--orders", arguments);
    for (told, expected) in [
        (csv("", &[]), "rows.csv: it is empty"),
        (
            csv("Order,When\n", &[]),
            "rows.csv: there is no column `order_id`, only Order, When; name the columns so, or say by --mapping",
        ),
        (
            csv("order_id;time;email\n", &[]),
            "rows.csv:1: there is one column, `order_id;time;email`; if that is several, say --delimiter ';'",
        ),
        (
            csv("order_id,time,email,time\n", &[]),
            "rows.csv:1: the column `time` is there twice, as column 2 and as column 4",
        ),
        (
            csv("order_id,time,email\n", &["--time-zone", "Europe/Madird"]),
            "--time-zone: `Europe/Madird` is not a time zone",
        ),
        (csv("order_id,time,email\n", &["--source", "a b"]), "--source: `a b` is no name for a source"),
        (csv("order_id,time,email\n", &["--source", "links"]), "--source: `links` is no name for a source"),
        (csv("order_id,time,email\n", &["--format", "parquet"]), "rows.csv: this is no Parquet file"),
        (
            Past::of("rows", b"x").refusal("--orders", &[]),
            "rows: its name does not say how it is written; say --format",
        ),
        (Past::of("rows.csv", b"\xff\xfeo\0").refusal("--orders", &[]), "rows.csv: this is UTF-16, and UTF-8 is read"),
    ] {
        assert!(told.contains(expected), "{told}\nlacks: {expected}");
    }
    let endless = format!("order_id,time,email\n1,\"{}", "x\n".repeat(600_000));
    let output = Past::of("rows.csv", endless.as_bytes()).dry_run("--orders", &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        err(&output).contains("rows.csv:2: the row that begins here has no end within 1048576 bytes"),
        "{}",
        err(&output)
    );

    let output = vuelve(&["import", "--orders", "examples/import/orders.csv", "--dry-run"]);
    assert!(err(&output).contains("--shop: say whose these are"), "{}", err(&output));
    let output = vuelve(&["import", "--orders", "examples/import/orders.csv", "--shop", "main"]);
    assert_eq!(output.status.code(), Some(2), "what a real import needs is told before anything is done");
    assert!(err(&output).contains("links.address_secret_file: is not set"), "{}", err(&output));
}

#[test]
fn rows_that_are_passed_over_are_counted_also_between_the_lines_of_an_order() {
    let csv = "id,at,who,sku,state\n1,2024-05-01T10:00:00Z,c,a,ok\n1,,,b,void\n1,,,c,ok\n2,,,d,void\n";
    let past = Past::of("orders.csv", csv.as_bytes());
    let mapping = past.folder.path().join("columns.yaml");
    let text = "mapping: shop\nwhen: row.state == 'ok'\ncolumns: { order_id: row.id, time: row.at, customer_id: row.who, sku: row.sku }\n";
    fs::write(&mapping, text).unwrap();
    let output = past.dry_run("--orders", &["--mapping", mapping.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let told = out(&output).lines().last().unwrap().to_owned();
    assert_eq!(told, "4 rows: 1 events would be sent; nothing was, of 2 rows; 2 passed over, 0 rejected");
    assert_eq!(events(&output)[0]["products"].as_array().unwrap().len(), 2);
}

#[test]
fn of_an_order_that_is_too_large_no_part_passes_for_the_whole() {
    let row = |order: u32, note: &str| format!("{order},2024-05-01T10:00:00Z,c,{note}\n");
    let many = row(1, "").repeat(2_600);
    // What the mapping does not look at is read all the same.
    let large = row(2, &"x".repeat(100_000)).repeat(30);
    let past = Past::of("orders.csv", format!("id,at,who,note\n{many}{large}{}", row(3, "")).as_bytes());
    let mapping = past.folder.path().join("columns.yaml");
    fs::write(&mapping, "mapping: shop\ncolumns: { order_id: row.id, time: row.at, customer_id: row.who }\n").unwrap();
    let output = past.dry_run("--orders", &["--mapping", mapping.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(4), "{}", err(&output));
    let events = events(&output);
    assert_eq!((events.len(), &events[0]["order"]["order_id"]), (1, &json!("3")));
    let reasons: Vec<Value> = past.rejected().into_iter().map(|row| row["reason"].clone()).collect();
    assert_eq!(reasons, ["too_large", "too_large"]);
    let rows: Vec<Value> = past.rejected().into_iter().map(|row| row["rows"].clone()).collect();
    assert_eq!(rows, [2_600, 30], "the rest of them is theirs, and counted");
    assert_eq!(past.rejected()[0]["rows_left_out"], 99);
    let told = out(&output).lines().last().unwrap().to_owned();
    assert_eq!(told, "2631 rows: 1 events would be sent; nothing was, of 1 rows; 0 passed over, 2630 rejected");
}

#[test]
fn rows_that_are_passed_over_behind_an_order_do_not_make_it_too_large() {
    let row = |order: u32, state: &str| format!("{order},2024-05-01T10:00:00Z,c,{state}\n");
    let void = row(2, "void").repeat(2_600);
    let past = Past::of("orders.csv", format!("id,at,who,state\n{}{void}{}", row(1, "ok"), row(3, "ok")).as_bytes());
    let mapping = past.folder.path().join("columns.yaml");
    let text =
        "mapping: shop\nwhen: row.state == 'ok'\ncolumns: { order_id: row.id, time: row.at, customer_id: row.who }\n";
    fs::write(&mapping, text).unwrap();
    let output = past.dry_run("--orders", &["--mapping", mapping.to_str().unwrap()]);
    let told = out(&output).lines().last().unwrap().to_owned();
    assert_eq!(told, "2602 rows: 2 events would be sent; nothing was, of 2 rows; 2600 passed over, 0 rejected");
}

#[test]
fn an_order_is_not_sent_without_its_first_or_last_line_because_that_can_not_be_read() {
    let at = "2024-05-01T10:00:00Z";
    // The line says whose it is.
    let csv = format!("order_id,time,customer_id,sku\n1,{at},c,a\n1,b\n2,x\n2,{at},c,b\n3,{at},c,c\n");
    let past = Past::of("orders.csv", csv.as_bytes());
    let output = past.dry_run("--orders", &[]);
    assert_eq!(events(&output).iter().map(|e| e["order"]["order_id"].clone()).collect::<Vec<_>>(), ["3"]);
    let rejected = past.rejected();
    assert_eq!(rejected.iter().map(|row| row["rows"].clone()).collect::<Vec<_>>(), [2, 2]);

    // It does not: orders of several rows beside it are not known to be whole.
    let csv = format!(
        "order_id,time,customer_id,sku\n1,{at},c,a\n1,,,b\n,x\n2,{at},c,a\n2,,,b\n3,{at},c,c\n,y\n4,{at},c,d\n"
    );
    let past = Past::of("orders.csv", csv.as_bytes());
    let output = past.dry_run("--orders", &[]);
    assert_eq!(events(&output).iter().map(|e| e["order"]["order_id"].clone()).collect::<Vec<_>>(), ["3", "4"]);
    let lines: Vec<Value> = past.rejected().into_iter().map(|row| row["line"].clone()).collect();
    assert_eq!(lines, [2, 4, 5, 8]);
    assert!(past.rejected()[0]["problem"].as_str().unwrap().contains("the row 4 beside the order can't be read"));
}

#[test]
fn an_order_that_is_completed_and_refunded_in_one_file_is_two_events() {
    let at = "2024-05-01T10:00:00Z";
    let csv = format!(
        "order_id,time,customer_id,event\n1,{at},c,Order Completed\n1,{at},c,\n1,{at},c,Order Refunded\n2,{at},c,\n1,{at},c,Completed Order\n"
    );
    let past = Past::of("orders.csv", csv.as_bytes());
    let output = past.dry_run("--orders", &[]);
    let names: Vec<_> = events(&output).iter().map(|e| e["name"].clone()).collect();
    assert_eq!(names, ["Order Completed", "Order Refunded", "Order Completed"]);
    assert_eq!((&past.rejected()[0]["line"], &past.rejected()[0]["reason"]), (&json!(6), &json!("order_again")));
}

#[test]
fn a_dry_run_leaves_the_report_of_the_import_alone_and_no_device_is_removed() {
    let past = Past::of("rows.csv", b"order_id,time,email\n1,,\n");
    let own = PathBuf::from(format!("{}.rejected.jsonl", past.file.display()));
    fs::write(&own, "{\"line\":9}\n").unwrap();
    assert_eq!(past.dry_run("--orders", &[]).status.code(), Some(4));
    assert_eq!(fs::read_to_string(&own).unwrap(), "{\"line\":9}\n");
    assert_eq!(past.rejected().len(), 1);

    // A link stands for what is not removed: the device of the machine is no test's to lose.
    let (given, link) = (past.folder.path().join("given"), past.folder.path().join("link"));
    fs::write(&given, "before\n").unwrap();
    std::os::unix::fs::symlink(&given, &link).unwrap();
    let output = past.dry_run("--orders", &["--rejects", link.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(4), "{}", err(&output));
    assert!(link.is_symlink());
    let text = fs::read_to_string(&given).unwrap();
    assert!(text.starts_with("before\n{\"line\":2"), "{text}");
    let nowhere = past.folder.path().join("nowhere");
    std::os::unix::fs::symlink("/dev/null", &nowhere).unwrap();
    let output = past.dry_run("--orders", &["--rejects", nowhere.to_str().unwrap()]);
    assert_eq!((output.status.code(), nowhere.is_symlink()), (Some(4), true), "{}", err(&output));
}

#[test]
fn what_is_no_report_is_not_written_over() {
    let past = Past::of("rows.csv", b"order_id,time,email\n1,,\n");
    let own = past.folder.path().join("own.txt");
    fs::write(&own, "of mine").unwrap();
    let told = past.refusal("--orders", &["--rejects", own.to_str().unwrap()]);
    assert!(told.contains("own.txt: this is there already and is no report of rejected rows"), "{told}");
    assert_eq!(fs::read_to_string(&own).unwrap(), "of mine");
    let report = past.folder.path().join("report");
    for _ in 0..2 {
        let output = past.dry_run("--orders", &["--rejects", report.to_str().unwrap()]);
        assert_eq!((output.status.code(), fs::read_to_string(&report).unwrap().lines().count()), (Some(4), 1));
    }
}

#[test]
fn what_is_wrong_with_a_mapping_is_told_with_line_and_column() {
    let past = Past::of("rows.csv", b"Name\n1\n");
    let mapping = past.folder.path().join("columns.yaml");
    fs::write(&mapping, "mapping: shop\ncolumns:\n  order: row.Name\n").unwrap();
    let told = past.refusal("--orders", &["--mapping", mapping.to_str().unwrap()]);
    assert!(told.contains("columns.yaml:3:3: error: there is no column `order`"), "{told}");
}

#[test]
fn gzip_is_read_and_lines_that_are_no_json_are_told() {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let call = r#"{"type":"page","userId":"u","timestamp":"2024-05-01T10:00:00Z"}"#;
    writeln!(packed, "\u{feff}{call}\n\n{{\"type\":\n{}\n{call}", "x".repeat(2_000_000)).unwrap();
    let past = Past::of("calls.jsonl.gz", &packed.finish().unwrap());
    let output = past.dry_run("--events", &[]);
    assert_eq!((output.status.code(), events(&output).len()), (Some(4), 2), "{}", err(&output));
    let rejected = past.rejected();
    assert_eq!((&rejected[0]["line"], &rejected[0]["reason"]), (&json!(3), &json!("not_json")));
    assert_eq!((&rejected[1]["line"], &rejected[1]["reason"]), (&json!(4), &json!("too_large")));
    assert!(rejected[1]["text"].as_str().unwrap().len() <= 1_000);
}

#[test]
fn the_columns_of_parquet_are_read_with_their_types() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("orders.parquet");
    let schema = "message orders { required binary order_id (utf8); required int64 time (timestamp(nanos,false)); \
                  required int64 customer_id; required int64 total (decimal(12,2)); optional double price; }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let properties = WriterProperties::builder().set_compression(parquet::basic::Compression::SNAPPY).build();
    let mut writer = SerializedFileWriter::new(fs::File::create(&file).unwrap(), schema, Arc::new(properties)).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let ids = ["1", "1", "2"].map(ByteArray::from);
    column.typed::<ByteArrayType>().write_batch(&ids, None, None).unwrap();
    column.close().unwrap();
    for values in [[1_714_557_600_000_000_000, 1_714_557_600_000_000_000, 5], [7, 7, 8], [123_450, 123_450, 5]] {
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<Int64Type>().write_batch(&values, None, None).unwrap();
        column.close().unwrap();
    }
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<DoubleType>().write_batch(&[19.9, 0.1], Some(&[1, 1, 0]), None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();

    let past = Past { folder, file };
    let output = past.dry_run("--orders", &["--time-zone", "Europe/Madrid"]);
    assert_eq!(output.status.code(), Some(4), "{}", err(&output));
    let events = events(&output);
    assert_eq!(events.len(), 1);
    // Ten o'clock of no zone is ten o'clock in Madrid.
    assert_eq!((&events[0]["event_time"], &events[0]["user_id"]), (&json!(1_714_550_400_000_i64), &json!("7")));
    assert_eq!(events[0]["order"]["total_minor"], 123_450);
    assert_eq!(events[0]["products"][1]["price_minor"], 10);
    let rejected = &past.rejected()[0];
    assert_eq!((&rejected["row"], &rejected["reason"]), (&json!(3), &json!("not_past")));
    assert_eq!(rejected["columns"][0]["total"], "0.05");
}

/// A slow look at orders, five a second, under way: the first event has been shown.
fn under_way(past: &Past, before: &str) -> (Child, BufReader<ChildStdout>) {
    let line = format!(
        "{before}exec {} import --orders {} --dry-run --show 10 --shop main --currency EUR --limit-rate 5",
        env!("CARGO_BIN_EXE_vuelve"),
        past.file.display()
    );
    let mut command = Command::new("sh");
    command.args(["-c", &line]).stdout(Stdio::piped()).stderr(Stdio::piped()).env_remove("VUELVE_CONFIG");
    let mut child = command.spawn().unwrap();
    let mut shown = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    shown.read_line(&mut first).unwrap();
    assert!(first.starts_with('{'), "{first}");
    (child, shown)
}

fn orders(count: u32) -> Past {
    let rows: Vec<String> = (0..count).map(|order| format!("{order},2024-05-01T10:00:00Z,c\n")).collect();
    Past::of("orders.csv", format!("order_id,time,customer_id\n{}", rows.concat()).as_bytes())
}

fn send(signal: &str, child: &Child) {
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
}

#[test]
fn who_was_started_with_nohup_outlives_the_terminal() {
    let past = orders(10);
    let (child, mut shown) = under_way(&past, "trap '' HUP; ");
    send("-HUP", &child);
    let mut all = String::new();
    shown.read_to_string(&mut all).unwrap();
    assert!(all.contains("10 rows: 10 events would be sent"), "{all}");
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(0));
}

#[test]
fn a_dry_run_that_was_stopped_does_not_say_that_it_is_gone_on_with() {
    // It would take minutes: the signal comes in time on a busy machine, too.
    let past = orders(1_000);
    let (child, _shown) = under_way(&past, "");
    send("-HUP", &child);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(129));
    assert!(err(&output).contains("ended by SIGHUP; not all of it was looked at"), "{}", err(&output));
}
