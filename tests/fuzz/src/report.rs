//! What libFuzzer has said, in a line.

use std::path::Path;

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

/// What broke, and how to see it again.
pub(crate) fn failure(name: &str, log: &str, path: &Path) -> String {
    let why = log.lines().skip_while(|line| !line.contains("panicked at") && !line.contains("ERROR:")).take(3);
    let why: Vec<&str> = why.collect();
    let input = log.lines().find_map(|line| line.split("Test unit written to ").nth(1));
    let again = match input {
        Some(file) => format!(
            "the input: {file}\nsee it again: cargo run -p vuelve-fuzz -- --target {name} --repeat {file}\n\
             once it is mended, keep the input in tests/fuzz/regressions/{name}/"
        ),
        None => "the engine itself has ended".to_owned(),
    };
    format!("{name} FAILED: {}\n{again}\nall that was said: {}", why.join("\n"), path.display())
}

#[cfg(test)]
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
        let failure = failure("door", LOG, Path::new("door.log"));
        assert!(failure.contains("no such thing"), "{failure}");
        assert!(failure.contains("cargo run -p vuelve-fuzz -- --target door --repeat found/crash-1\n"), "{failure}");
    }
}
