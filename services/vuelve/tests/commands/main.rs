//! The command line, as a person at a terminal meets it.
#![allow(clippy::unwrap_used, reason = "a test may fail by it")]

mod demo;
mod folders;
mod import;
mod mapping;
mod output;
mod replay;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

fn vuelve(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vuelve"));
    command.args(arguments).env_remove("VUELVE_CONFIG").current_dir(root());
    command
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn without_a_command_the_help_teaches() {
    let output = vuelve(&[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("Examples:\n  vuelve demo"), "{}", err(&output));
    for name in ["check", "config", "completions"] {
        let help = out(&vuelve(&[name, "--help"]));
        assert!(help.contains("Examples:\n"), "{name}: {help}");
    }
}

#[test]
fn a_folder_that_is_well_is_summed_up() {
    let output = vuelve(&["check", "presets/basic"]);
    assert_eq!((output.status.code(), err(&output)), (Some(0), String::new()));
    assert!(out(&output).starts_with("presets/basic: 2 journeys, "), "{}", out(&output));
}

#[test]
fn a_typo_is_told_with_file_line_and_column_also_in_json() {
    let directory = TempDir::new().unwrap();
    let journey = "journey: nudge\nversion: 1\ntrigger: { event: Product Added }\nsteps:\n  - wiat: 1h\n";
    std::fs::write(directory.path().join("nudge.yaml"), journey).unwrap();
    let path = directory.path().display().to_string();

    let output = vuelve(&["check", &path]);
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains(&format!("{path}/nudge.yaml:5:5: error: ")), "{}", err(&output));
    assert!(err(&output).contains("not usable; 1 error"), "{}", err(&output));

    let output = vuelve(&["check", &path, "--format", "json"]);
    let told: serde_json::Value = serde_json::from_str(out(&output).lines().next().unwrap()).unwrap();
    assert_eq!((&told["line"], &told["column"], &told["severity"]), (&5.into(), &5.into(), &"error".into()));
}

#[test]
fn a_folder_builds_on_a_preset_that_comes_with_the_binary() {
    let directory = TempDir::new().unwrap();
    std::fs::write(directory.path().join("preset.yaml"), "preset: mine\nextends: basic\n").unwrap();
    let output = command(&["check", "."]).current_dir(directory.path()).output().unwrap();
    assert_eq!((output.status.code(), err(&output)), (Some(0), String::new()));
    assert!(out(&output).contains("2 journeys"), "{}", out(&output));
}

#[test]
fn folders_that_extend_each_other_in_a_circle_are_told_with_the_circle() {
    let parent = TempDir::new().unwrap();
    for (name, extends) in [("one", "two"), ("two", "one")] {
        std::fs::create_dir(parent.path().join(name)).unwrap();
        let preset = format!("preset: {name}\nextends: {extends}\n");
        std::fs::write(parent.path().join(name).join("preset.yaml"), preset).unwrap();
    }
    let output = command(&["check", "one"]).current_dir(parent.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = err(&output);
    assert!(told.contains("preset.yaml:2:10: error: `extends` goes in a circle: one → two → one"), "{told}");
}

#[test]
fn a_folder_that_is_not_there_is_told_by_its_name() {
    let output = vuelve(&["check", "presets/baisc"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).starts_with("vuelve: presets/baisc: can't be read: "), "{}", err(&output));
}

#[test]
fn the_configuration_is_shown_with_origins() {
    let output = command(&["config", "--set", "store.kind=memory"])
        .env("VUELVE__KAFKA__REGISTRY_URL", "http://registry:8081")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let shown = out(&output);
    let line = |start: &str| shown.lines().find(|line| line.starts_with(start)).unwrap().to_owned();
    assert!(line("kind = \"memory\"").ends_with("# --set store.kind"));
    assert!(line("registry_url = \"http://registry:8081\"").ends_with("# VUELVE__KAFKA__REGISTRY_URL"));
}

#[test]
fn a_wrong_configuration_ends_with_two_and_all_that_is_wrong() {
    let output = vuelve(&["config", "--set", "stor.kind=memory", "--set", "kafka.commit_interval=soon"]);
    assert_eq!(output.status.code(), Some(2));
    let told = err(&output);
    assert!(told.starts_with("vuelve: the configuration has 2 problems; nothing was started\n"), "{told}");
    assert!(told.contains("--set stor.kind: stor: unknown section; did you mean `store`?"), "{told}");
    assert!(told.contains("--set kafka.commit_interval: kafka.commit_interval: `soon` is not a duration"), "{told}");
}

#[test]
fn what_a_service_needs_is_told_at_once_before_anything_is_bound() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("keys"), "no key at all").unwrap();
    let keys = format!("links.keys_file={}", folder.path().join("keys").display());
    let settings = [
        "kafka.bootstrap_servers=[\"127.0.0.1:1\"]",
        "admin.listen=127.0.0.1:0",
        "journeys.time_zone=Europe/Madird",
        "messaging.claim_deadline=1h",
        "messaging.smtp.from=nobody",
        "ingestion.door.write_keys=[{ id = \"web\", shop = \"main\", key_file = \"/nowhere\" }]",
        &keys,
    ];
    let set: Vec<&str> = settings.iter().flat_map(|setting| ["--set", setting]).collect();
    let expected = [
        "journeys.time_zone: `Europe/Madird` is not a time zone",
        "messaging.claim_deadline: must be less than kafka.session_timeout",
        "messaging.smtp.from: ",
        "ingestion.door.write_keys: entry 0 (`web`): its key_file /nowhere can't be read",
        "links.keys_file: ",
        "links.address_secret_file: is not set",
    ];
    for command in [&["run", "door", "messaging"][..], &["config", "--for", "door", "--for", "messaging"]] {
        let output = vuelve(&[command, &set].concat());
        assert_eq!(output.status.code(), Some(2), "{}", err(&output));
        for problem in expected {
            assert!(err(&output).contains(problem), "{problem} is not told by {command:?}: {}", err(&output));
        }
        assert!(!err(&output).contains("the admin port is open"), "{}", err(&output));
    }

    // Who only looks is told of what is there; a service, of what it needs itself.
    let told = err(&vuelve(&[&["config"], &set[..]].concat()));
    assert!(told.contains("entry 0 (`web`)") && !told.contains("address_secret_file"), "{told}");
    let told = err(&vuelve(&[&["run", "journeys"], &set[..]].concat()));
    assert!(told.contains("has 2 problems"), "time zone and deadline alone: {told}");

    let output = vuelve(&["run", "--all"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("store.kind: --all keeps the state in memory"), "{}", err(&output));
    assert!(err(&output).contains("ingestion.door.write_keys: none is given"), "{}", err(&output));
}

#[cfg(not(feature = "tls"))]
#[test]
fn what_needs_tls_is_refused_by_a_build_that_has_none() {
    let settings = [
        "kafka.registry_url=https://registry:8081",
        "kafka.properties={ \"security.protocol\" = \"sasl_ssl\", \"sasl.mechanism\" = \"SCRAM-SHA-512\" }",
        "store.url=rediss://redis:6379",
    ];
    let set: Vec<&str> = settings.iter().flat_map(|setting| ["--set", setting]).collect();
    let output = vuelve(&[&["config"], &set[..]].concat());
    assert_eq!(output.status.code(), Some(2));
    let told = err(&output);
    for problem in [
        "kafka.registry_url: begins with https://, and this build has no TLS: build it with `cargo build --release -p vuelve",
        "`security.protocol` is SASL_SSL, and",
        "`sasl.mechanism` is SCRAM-SHA-512, which comes with TLS, and",
        "store.url: begins with rediss://, and",
    ] {
        assert!(told.contains(problem), "{problem}: {told}");
    }
}

#[test]
fn the_documented_defaults_are_a_file_to_begin_with() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("vuelve.toml");
    std::fs::write(&file, out(&vuelve(&["config", "defaults"]))).unwrap();
    let output = vuelve(&["--config", file.to_str().unwrap(), "config"]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert!(out(&output).contains("vuelve.toml:"), "{}", out(&output));
}

#[test]
fn shells_can_complete_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let script = out(&vuelve(&["completions", shell]));
        for name in ["check", "apply", "replay", "completions"] {
            assert!(script.contains(name), "{name} is not completed in {shell}");
        }
    }
}

/// What bash itself makes of the script, as if the tabulator had been pressed after these words.
#[test]
fn bash_completes_a_command_and_a_shell_by_their_beginnings() {
    let script = out(&vuelve(&["completions", "bash"]));
    let complete = |words: &[&str]| -> Vec<String> {
        let press = format!(
            "{script}\nCOMP_WORDS=({})\nCOMP_CWORD={}\n_vuelve vuelve {} {}\necho \"${{COMPREPLY[@]}}\"\n",
            words.join(" "),
            words.len() - 1,
            words[words.len() - 1],
            words[words.len() - 2],
        );
        let output = Command::new("bash").args(["--norc", "-c", &press]).output().unwrap();
        assert!(output.status.success(), "{}", err(&output));
        out(&output).split_whitespace().map(str::to_owned).collect()
    };
    assert_eq!(complete(&["vuelve", "re"]), ["resume", "replay"]);
    assert_eq!(complete(&["vuelve", "completions", "z"]), ["zsh"]);
    assert!(complete(&["vuelve", "check", "--"]).contains(&"--warnings-are-errors".to_owned()));
}

#[test]
fn a_template_that_can_not_be_rendered_is_told_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let template = "template: hello\nversion: 1\nen:\n  subject: Hi\n  body: |\n    <mjml><mj-body><mj-section><mj-column>\n    \
                    <mj-text>{{ shop.name | nofilter }}</mj-text></mj-column></mj-section></mj-body></mjml>\n";
    std::fs::write(folder.path().join("hello.yaml"), template).unwrap();
    let output = vuelve(&["check", &folder.path().display().to_string()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("hello.yaml:7:") && err(&output).contains("nofilter"), "{}", err(&output));
}

#[test]
fn what_names_no_shop_erases_none() {
    for shop in ["", " main ", "a\nb", "ana@example.com", &"x".repeat(300)] {
        let output = vuelve(&["customers", "erase", "--all-of", shop]);
        assert_eq!(output.status.code(), Some(1), "{shop:?}");
        assert!(err(&output).contains("--all-of"), "{}", err(&output));
    }
}

#[test]
fn a_signal_ends_a_process_that_still_waits_for_its_broker() {
    let folder = tempfile::tempdir().unwrap();
    let secrets = ["link-keys", "address-secret"].map(|name| folder.path().join(name).display().to_string());
    let mut command = command(&["run", "journeys"]);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    for setting in [
        "kafka.bootstrap_servers=[\"127.0.0.1:1\"]",
        "kafka.registry_url=http://127.0.0.1:1",
        "store.kind=memory",
        "admin.listen=127.0.0.1:0",
        "grpc.listen=127.0.0.1:0",
        "telemetry.log_format=text",
        &format!("links.keys_file={}", secrets[0]),
        &format!("links.address_secret_file={}", secrets[1]),
    ] {
        command.args(["--set", setting]);
    }
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains("waiting for the broker")));
    let killed = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    assert!(lines.any(|line| line.contains("ended before it began")));
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
