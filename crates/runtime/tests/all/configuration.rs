//! What is accepted as a configuration, and what is said about the rest.

use std::ffi::OsString;
use std::path::PathBuf;

use runtime::config::{
    ByteSize, Config, GrpcOptions, InstallationOptions, KafkaOptions, Mode, Origin, Problems, Secret, Slot, Sources,
    StoreKind, StoreOptions, layout,
};
use serde::Deserialize;
use tempfile::TempDir;

struct Given {
    directory: TempDir,
    sources: Sources,
}

fn given() -> Given {
    Given { directory: TempDir::new().unwrap(), sources: Sources::default() }
}

impl Given {
    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn file(mut self, text: &str) -> Self {
        self.sources.file = Some(self.write("vuelve.toml", text));
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.sources.environment.push((OsString::from(name), OsString::from(value)));
        self
    }

    fn flag(mut self, flag: &str) -> Self {
        self.sources.flags.push(flag.to_owned());
        self
    }

    fn load(&self) -> Result<Config, Problems> {
        layout().load(&self.sources)
    }

    /// The problems as lines, without the directory's name.
    fn problems(&self) -> Vec<String> {
        let Problems(found) = self.load().unwrap_err();
        let directory = format!("{}/", self.directory.path().display());
        found.iter().map(|problem| problem.to_string().replace(&directory, "")).collect()
    }
}

#[test]
fn the_documented_defaults_are_a_configuration_without_a_problem() {
    let config = given().load().unwrap();
    assert_eq!(config.get::<InstallationOptions>().partitions.get(), 32);
    assert_eq!(config.get::<KafkaOptions>().max_batch_bytes, ByteSize::from_bytes(16 << 20));
    assert_eq!(config.get::<StoreOptions>().kind, StoreKind::Redis);
}

#[test]
fn every_default_is_documented_by_a_comment_right_above_it() {
    let text = layout().documented_defaults();
    let mut before = "";
    for line in text.lines() {
        if line.contains('=') && !line.starts_with('#') {
            assert!(before.starts_with('#'), "no comment above: {line}");
        }
        before = line;
    }
}

#[test]
fn each_layer_goes_over_the_one_before() {
    let config = given()
        .file("[kafka]\ncommit_interval = '1s'\nmax_batch_records = 10\nauto_register = true\n[installation]\nslot = 3")
        .variable("VUELVE__KAFKA__MAX_BATCH_RECORDS", "20")
        .variable("VUELVE__KAFKA__BOOTSTRAP_SERVERS", "a:1, b:2")
        .variable("VUELVE_UNRELATED", "x")
        .flag("kafka.max_batch_records=30")
        .flag("installation.mode=replay")
        .load()
        .unwrap();
    let kafka: &KafkaOptions = config.get();
    assert_eq!((kafka.commit_interval.as_millis(), kafka.max_batch_records, kafka.auto_register), (1000, 30, true));
    assert_eq!(kafka.bootstrap_servers.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a:1", "b:2"]);
    assert_eq!(config.get::<InstallationOptions>().mode, Mode::Replay);
    assert_eq!(config.get::<InstallationOptions>().slot, Slot::Number(3));
}

#[test]
fn all_that_is_wrong_is_told_at_once_each_with_its_origin() {
    let given = given()
        .file("[kafka]\nbootstrap_server = ['a:1']\ncommit_interval = '10x'\nmax_batch_records = 'many'\n\n[stor]\nkind = 'redis'\n\n[grpc]\nlisten = 9601\n")
        .variable("VUELVE__STORE__KIND", "memroy")
        .variable("VUELVE__KAFKA__SESSION_TIMOUT", "6s")
        .variable("VUELVE__KAFKA", "x")
        .flag("installation.partitions=0")
        .flag("telemetry.sampling=2")
        .flag("nonsense");
    let mut problems = given.problems();
    problems.sort();
    let mut expected = vec![
        "vuelve.toml:2: kafka.bootstrap_server: unknown key; did you mean `bootstrap_servers`?",
        "vuelve.toml:3: kafka.commit_interval: `10x` is not a duration: units are w, d, h, m, s and ms, each once, the largest first; write it like 90s, 1h, 2d, 1h30m or 250ms",
        "vuelve.toml:4: kafka.max_batch_records: a text stands here, a whole number is expected",
        "vuelve.toml:6: stor: unknown section; did you mean `store`?",
        "vuelve.toml:10: grpc.listen: a whole number stands here, a text in quotes is expected",
        "VUELVE__STORE__KIND: store.kind: `memroy` is not one of the values; did you mean `memory`?",
        "VUELVE__KAFKA__SESSION_TIMOUT: kafka.session_timout: unknown key; did you mean `session_timeout`?",
        "VUELVE__KAFKA: kafka: names no key; write VUELVE__SECTION__KEY, like VUELVE__KAFKA__REGISTRY_URL",
        "--set installation.partitions: installation.partitions: 0 is no number of partitions: from 1 to 1024",
        "--set telemetry.sampling: telemetry.sampling: 2 is no share: from 0.0 to 1.0",
        "--set nonsense: is not `section.key=value`; write it like --set kafka.commit_interval=200ms",
    ];
    expected.sort_unstable();
    assert_eq!(problems, expected);
}

#[test]
fn values_that_do_not_go_together_are_told_too() {
    let problems = given()
        .file("[grpc]\nlisten = '0.0.0.0:9600'\n[admin]\nlisten = '0.0.0.0:9600'\n[kafka]\ntransaction_timeout = '1s'\ncommit_interval = '5s'")
        .problems();
    assert_eq!(problems.len(), 3, "{problems:#?}");
    assert!(problems[0].starts_with("vuelve.toml:6: kafka.transaction_timeout: must be longer"), "{problems:#?}");
    assert!(problems[1].contains("grpc.listen: is open to the network: that needs a token"), "{problems:#?}");
    assert!(problems[2].contains("is the address of admin.listen too"), "{problems:#?}");
}

#[test]
fn a_file_that_is_no_toml_is_told_with_its_lines_and_the_other_layers_are_still_read() {
    let problems = given().file("[kafka]\nregistry_url = \n\n[store\n").flag("store.knid=redis").problems();
    assert!(problems[0].starts_with("vuelve.toml:2: is not TOML"), "{problems:#?}");
    assert!(problems.iter().any(|problem| problem.starts_with("vuelve.toml:4: ")), "{problems:#?}");
    assert!(problems.last().unwrap().starts_with("--set store.knid: "), "{problems:#?}");
    let mut missing = given();
    missing.sources.file = Some("/nonexistent/vuelve.toml".into());
    assert!(missing.problems()[0].starts_with("/nonexistent/vuelve.toml:1: can't be read"));
}

#[test]
fn a_secret_is_taken_from_its_own_file_or_the_environment_and_from_nowhere_else() {
    let with_file = given();
    let token_file = with_file.write("token", "0123456789abcdef-from-file\n");
    let with_file = with_file.file(&format!("[grpc]\ntoken_file = '{}'", token_file.display()));
    let token = |config: &Config| config.get::<GrpcOptions>().token.clone().unwrap();
    assert_eq!(token(&with_file.load().unwrap()), Secret::new("0123456789abcdef-from-file"));

    let with_variable = given().variable("VUELVE__GRPC__TOKEN", "0123456789abcdef-from-env");
    assert_eq!(token(&with_variable.load().unwrap()).expose(), "0123456789abcdef-from-env");

    let both = given().variable("VUELVE__GRPC__TOKEN", "0123456789abcdef-of-both");
    let problems = both.variable("VUELVE__GRPC__PRIVACY_TOKEN", "0123456789abcdef-of-both").problems();
    assert!(problems[0].contains("grpc.privacy_token: is grpc.token too"), "{problems:?}");
    let problems = given().variable("VUELVE__GRPC__PRIVACY_TOKEN", "too-short").problems();
    assert!(problems[0].contains("grpc.privacy_token: is shorter than 16 characters"), "{problems:?}");

    let problems = given().file("[grpc]\ntoken = 'hunter2'").problems();
    assert_eq!(
        problems,
        [
            "vuelve.toml:2: grpc.token: a secret is not written here: name a file that holds it with `grpc.token_file`, or set VUELVE__GRPC__TOKEN"
        ]
    );
    assert!(given().flag("grpc.token=hunter2").problems()[0].contains("a secret is not written here"));
    assert!(
        given().flag("grpc.token_file=/nonexistent").problems()[0].contains("/nonexistent can't be read: No such file")
    );
    assert!(given().flag("grpc.listen_file=/nonexistent").problems()[0].contains("unknown key"));
}

#[test]
fn what_has_no_end_or_is_too_long_for_what_it_should_be_is_told_with_the_limit() {
    let mut endless = given();
    endless.sources.file = Some("/dev/zero".into());
    assert_eq!(endless.problems(), ["/dev/zero:1: is longer than the 1MiB that are read of it"]);
    let told = "--set grpc.token_file: grpc.token_file: /dev/zero is longer than the 64KiB that are read of it";
    assert_eq!(given().flag("grpc.token_file=/dev/zero").problems(), [told]);

    let large = given();
    let path = large.write("token", &"x".repeat(5 << 20));
    let problems = large.flag(&format!("grpc.token_file={}", path.display())).problems();
    assert_eq!(problems.len(), 1, "{problems:#?}");
    assert!(problems[0].ends_with("token is longer than the 64KiB that are read of it"), "{problems:#?}");
}

#[test]
fn a_key_is_shown_shortened_and_without_what_a_terminal_would_obey() {
    let long = "k".repeat(1_000_000);
    let given = given()
        .file(&format!("[kafka]\n\"{long}\" = 1\n\"\\u001b[2J\" = 1\n"))
        .variable(&format!("VUELVE__KAFKA__{}", long.to_uppercase()), "1")
        .flag(&format!("kafka.{long}=1"))
        .flag(&long);
    for problem in given.problems() {
        assert!(problem.chars().count() < 700 && !problem.contains(char::is_control), "{problem}");
    }
    let told = given.problems();
    assert!(told.iter().any(|problem| problem.contains(": kafka.\\u{1b}[2J: unknown key; ")), "{told:#?}");
    assert!(
        told.iter().any(|problem| problem.starts_with("--set kafka.kkkk") && problem.contains("kkk…: ")),
        "{told:#?}"
    );
}

#[test]
fn what_is_in_force_is_shown_with_origins_and_without_secrets() {
    let config = given()
        .file("[kafka.properties]\n\"security.protocol\" = 'SASL_SSL'\n[kafka]\nauto_register = true")
        .variable("VUELVE__KAFKA__PROPERTIES__SASL_PASSWORD", "hunter2-hunter2")
        .variable("VUELVE__GRPC__TOKEN", "hunter2-hunter2-hunter2")
        .flag("store.kind=memory")
        .load()
        .unwrap();
    let shown = config.effective().to_string();
    let line =
        |key: &str| shown.lines().find(|line| line.starts_with(key)).unwrap_or_else(|| panic!("{key} in {shown}"));
    assert!(line("auto_register = true").ends_with("vuelve.toml:4"));
    assert!(line("kind = \"memory\"").ends_with("# --set store.kind"));
    assert!(line("partitions = 32").ends_with("# default"));
    assert!(line("token = \"<redacted>\"").ends_with("# VUELVE__GRPC__TOKEN"));
    assert!(line("\"security.protocol\" = \"SASL_SSL\"").ends_with("vuelve.toml:2"));
    for text in [shown.clone(), format!("{config:?}"), format!("{:?}", config.get::<KafkaOptions>())] {
        assert!(!text.contains("hunter2"), "{text}");
    }
    let read_again = toml::from_str::<toml::Table>(&shown).unwrap();
    assert!(read_again.contains_key("kafka"));
}

#[test]
fn client_properties_are_taken_flat_nested_and_from_the_environment() {
    let config = given()
        .file("[kafka.properties]\nsecurity.protocol = 'SASL_SSL'\n\"linger.ms\" = 5\n[kafka.properties.ssl]\nca.location = '/ca.pem'")
        .variable("VUELVE__KAFKA__PROPERTIES__SASL_USERNAME", "shop")
        .variable("VUELVE__KAFKA__PROPERTIES__SASL_PASSWORD", "hunter2")
        .load()
        .unwrap();
    let properties: Vec<_> = config.get::<KafkaOptions>().properties.expose().collect();
    let expected = [
        ("linger.ms", "5"),
        ("sasl.username", "shop"),
        ("security.protocol", "SASL_SSL"),
        ("ssl.ca.location", "/ca.pem"),
        ("sasl.password", "hunter2"),
    ];
    assert_eq!(properties, expected);
}

#[test]
fn client_properties_that_would_break_exactly_once_or_tell_a_password_are_refused() {
    let problems = given()
        .file("[kafka.properties]\n\"enable.idempotence\" = false\n\"sasl.password\" = 'hunter2'\nssl.key.password = 'hunter2'")
        .problems();
    assert_eq!(problems.len(), 3, "{problems:#?}");
    assert!(problems.iter().any(|problem| problem.starts_with("vuelve.toml:2: kafka.properties.enable.idempotence: ")));
    let told = "vuelve.toml:3: kafka.properties.sasl.password: a secret is not written here: name a file that holds it \
                with `kafka.properties.sasl.password_file`, or set VUELVE__KAFKA__PROPERTIES__SASL_PASSWORD";
    assert!(problems.iter().any(|problem| problem == told), "{problems:#?}");
    assert!(!format!("{problems:?}").contains("hunter2"));
}

#[test]
fn an_address_with_a_password_is_refused_without_repeating_it() {
    let problems = given().flag("store.url=redis://user:hunter2@localhost:6379").problems();
    assert_eq!(
        problems,
        ["--set store.url: store.url: holds a user or a password: they have keys of their own beside this one"]
    );
}

#[test]
fn a_service_brings_its_own_section() {
    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Door {
        listen: String,
        limits: Limits,
        write_keys: Option<Secret>,
    }
    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Limits {
        event_bytes: ByteSize,
    }
    const DEFAULTS: &str =
        "[ingestion]\n# Where.\nlisten = ':8000'\n[ingestion.limits]\n# How large.\nevent_bytes = '32KiB'";
    let with_door = || layout().defaults(DEFAULTS).section::<Door>("ingestion");

    let sources = given().flag("ingestion.limits.event_bytes=64KiB").sources;
    let config = with_door().load(&sources).unwrap();
    let door: &Door = config.get();
    assert_eq!((door.limits.event_bytes.as_u64(), door.listen.as_str()), (65536, ":8000"));
    assert!(door.write_keys.is_none());
    assert!(config.effective().to_string().contains("[ingestion.limits]\nevent_bytes = \"64KiB\""));

    let sources = given().flag("ingestion.limits.event_byte=64KiB").sources;
    let Problems(found) = with_door().load(&sources).unwrap_err();
    assert_eq!(found[0].origin, Origin::Flag("ingestion.limits.event_byte".into()));
    assert_eq!(found[0].message, "unknown key; did you mean `event_bytes`?");
}

#[test]
fn a_slot_can_come_from_the_name_that_kubernetes_gives() {
    let config = given().variable("VUELVE__INSTALLATION__SLOT", "hostname").load().unwrap();
    let slot = config.get::<InstallationOptions>().slot;
    assert_eq!(slot.resolve("vuelve-journeys-12"), Ok(12));
    assert!(slot.resolve("laptop").unwrap_err().contains("set the slot"));
}

#[test]
fn sizes_are_read_as_people_write_them_and_print_back() {
    for (text, bytes) in [("0B", 0), ("900B", 900), ("64MiB", 64 << 20), ("512 KiB", 512 << 10), ("1GB", 1_000_000_000)]
    {
        let size: ByteSize = text.parse().unwrap();
        assert_eq!(size.as_u64(), bytes, "{text}");
        assert_eq!(size.to_string().parse::<ByteSize>().unwrap(), size, "{text}");
    }
    for text in ["", "64", "64 bananas", "-1B", "99999999GiB"] {
        assert!(text.parse::<ByteSize>().is_err(), "{text}");
    }
}
