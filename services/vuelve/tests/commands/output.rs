//! Standard output that nobody reads, or that has no room.

use std::fs::{File, OpenOptions};
use std::io::pipe;
use std::process::Stdio;

use super::{command, err};

/// Commands that write a result and need no broker.
const COMMANDS: [&[&str]; 7] = [
    &["check", "presets/basic"],
    &["check", "presets/basic", "--format", "json"],
    &["config"],
    &["completions", "bash"],
    &["--help"],
    &["replay", "--help"],
    &["customers", "export", "--help"],
];

fn full() -> File {
    OpenOptions::new().write(true).open("/dev/full").unwrap()
}

#[test]
fn a_full_device_is_an_error_that_says_so() {
    // In JSON a folder that is well has nothing to tell.
    for arguments in COMMANDS.iter().filter(|arguments| !arguments.contains(&"json")) {
        let output = command(arguments).stdout(full()).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", err(&output));
        let told = err(&output);
        assert!(
            told.starts_with("vuelve: standard output can't be written to: No space left"),
            "{arguments:?}: {told}"
        );
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    for arguments in COMMANDS {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let output = command(arguments).stdout(writer).output().unwrap();
        assert_eq!((output.status.code(), err(&output)), (Some(0), String::new()), "{arguments:?}");
    }
}

#[test]
fn the_exit_code_tells_what_standard_error_has_no_room_for() {
    for (arguments, code) in [(&["check", "presets/baisc"], 1), (&["config", "--nonsense"], 2)] {
        let status = command(arguments).stdout(Stdio::null()).stderr(full()).status().unwrap();
        assert_eq!(status.code(), Some(code), "{arguments:?}");
    }
}
