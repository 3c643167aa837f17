//! What libFuzzer has said, in a line.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// What was done: `door: 51234 inputs (854 a second), 10233 edges and 40123 features reached, 1203 inputs kept`.
pub(crate) fn summary(name: &str, log: &str) -> String {
    let figure = |stat: &str| {
        let line = log.lines().rev().find_map(|line| line.strip_prefix(&format!("stat::{stat}:")));
        line.map_or("?", str::trim).to_owned()
    };
    let last = log.lines().rev().find(|line| line.contains(" cov: ")).unwrap_or_default();
    let word = |label: &str| {
        let mut words = last.split_whitespace().skip_while(|word| *word != label);
        words.nth(1).unwrap_or("?").to_owned()
    };
    let (executed, a_second) = (figure("number_of_executed_units"), figure("average_exec_per_sec"));
    let (edges, features, kept) = (word("cov:"), word("ft:"), word("corp:"));
    let kept = kept.split('/').next().unwrap_or_default();
    format!(
        "{name}: {executed} inputs ({a_second} a second), {edges} edges and {features} features reached, {kept} inputs kept"
    )
}

/// The file in which the input is that broke something.
pub(crate) fn input(log: &str) -> Option<&Path> {
    log.lines().rev().find_map(|line| line.split("Test unit written to ").nth(1)).map(Path::new)
}

/// What broke, and how to see it again. The input is shown, too: of a machine that is gone, this is all that is left.
pub(crate) fn failure(name: &str, log: &str, input: Option<(&Path, Vec<u8>)>, engine: &Path) -> String {
    let why = log.lines().skip_while(|line| !line.contains("panicked at") && !line.contains("ERROR:")).take(3);
    let why: Vec<&str> = why.collect();
    let again = input.map_or_else(
        || format!("the engine itself has ended:\n{log}"),
        |(file, bytes)| {
            format!(
                "the input: {file}, in base64 {bytes}\n\
                 see it again: FUZZ_TARGET={name} {engine} {limits} {file}\n\
                 keep it in tests/fuzz/regressions/{name}/, where cargo test -p vuelve-fuzz tries it",
                file = file.display(),
                bytes = STANDARD.encode(bytes),
                engine = engine.display(),
                limits = crate::LIMITS.join(" "),
            )
        },
    );
    format!("{name} FAILED: {}\n{again}", why.join("\n"))
}

mod tests {
    use super::*;

    const LOG: &str = "\
#2\tINITED cov: 10 ft: 11 corp: 1/3b exec/s: 0 rss: 40Mb
#512\tNEW    cov: 120 ft: 340 corp: 7/90b lim: 4 exec/s: 256 rss: 41Mb L: 5/9 MS: 1 ChangeByte-
thread '<unnamed>' panicked at tests/fuzz/src/door.rs:7:9:
no such thing
stat::number_of_executed_units: 600
stat::average_exec_per_sec:     300
artifact_prefix='found/'; Test unit written to found/crash-1
";

    #[test]
    fn a_run_is_told_in_a_line_and_a_failure_with_the_command_that_repeats_it() {
        let summary = summary("door", LOG);
        assert_eq!(summary, "door: 600 inputs (300 a second), 120 edges and 340 features reached, 7 inputs kept");
        let input = input(LOG).map(|file| (file, b"GET".to_vec()));
        let failure = failure("door", LOG, input, Path::new("fuzz-engine"));
        assert!(failure.contains("no such thing"), "{failure}");
        assert!(failure.contains("found/crash-1, in base64 R0VU\n"), "{failure}");
        let again = "FUZZ_TARGET=door fuzz-engine -timeout=10 -rss_limit_mb=2048 -max_len=16384 found/crash-1\n";
        assert!(failure.contains(again), "{failure}");
    }
}
