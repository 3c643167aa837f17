//! libFuzzer tries each target for `FUZZ_SECONDS`: `make fuzz`, which builds its engine first.

mod report;

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use fuzz::{Target, seeds};

/// A minute is what every change has to stand.
const SECONDS: &str = "60";
const LIMITS: [&str; 3] = ["-timeout=10", "-rss_limit_mb=2048", "-max_len=16384"];

#[test]
#[ignore = "takes a minute; make fuzz"]
fn door() {
    holds(Target::Door);
}

#[test]
#[ignore = "takes a minute; make fuzz"]
fn webhooks() {
    holds(Target::Webhooks);
}

#[test]
#[ignore = "takes a minute; make fuzz"]
fn spool_reader() {
    holds(Target::SpoolReader);
}

#[test]
#[ignore = "needs the engine; make fuzz"]
fn each_command_of_the_readme_is_one() {
    prepared();
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let block = readme.split("```").find_map(|block| block.strip_prefix("console\n")).unwrap();
    let commands: Vec<&str> = block.lines().filter_map(|line| line.strip_prefix("$ ")).collect();
    assert!(commands.len() > 2, "{commands:?}");
    for command in commands {
        // This is what the first of them runs, so of those it is said what they would do.
        let run = command.replace("make fuzz", "make --dry-run fuzz");
        let mut shell = Command::new("sh");
        shell.args(["-c", &run]).current_dir(root());
        for inherited in ["MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES", "FUZZ_SECONDS", "FUZZ_FLAGS"] {
            shell.env_remove(inherited);
        }
        let output = shell.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        for (variable, value) in command.split(' ').filter_map(|word| word.split_once('=')) {
            let does = match variable {
                "FUZZ_SECONDS" => format!("FUZZ_SECONDS={value} "),
                "FUZZ_FLAGS" => format!("--nocapture {value}\n"),
                _ => continue,
            };
            assert!(said.contains(&does), "{command}: {said}");
            assert!(variable != "FUZZ_FLAGS" || Target::named(value).is_some(), "{command}");
        }
    }
}

/// Lets the engine try a target.
fn holds(target: Target) {
    let (name, engine, folder) = (target.name(), prepared(), folder());
    let [corpus, seeds, found] = ["corpus", "seeds", "found"].map(|kind| folder.join(kind).join(name));
    for made in [&corpus, &found] {
        fs::create_dir_all(made).unwrap();
    }
    let seconds = env::var("FUZZ_SECONDS").unwrap_or_else(|_| SECONDS.to_owned());
    let log = folder.join(format!("{name}.log"));
    let status = Command::new(&engine)
        .env("FUZZ_TARGET", name)
        .args([&corpus, &seeds])
        .args([format!("-max_total_time={seconds}"), format!("-artifact_prefix={}/", found.display())])
        .args(LIMITS)
        .args(["-print_final_stats=1", "-use_value_profile=1"])
        .stdout(Stdio::null())
        .stderr(File::create(&log).unwrap())
        .status()
        .unwrap();
    let said = String::from_utf8_lossy(&fs::read(&log).unwrap()).into_owned();
    println!("{}", report::summary(name, &said));
    if !status.success() {
        let input = report::input(&said).map(|file| (file, fs::read(file).unwrap_or_default()));
        panic!("{}", report::failure(name, &said, input, &engine));
    }
}

/// The engine, once there is something to begin with.
fn prepared() -> PathBuf {
    static ENGINE: OnceLock<PathBuf> = OnceLock::new();
    let prepare = || {
        // Beside the folder in which this test is.
        let test = env::current_exe().unwrap();
        let engine = test.ancestors().nth(2).unwrap().join("examples/fuzz-engine");
        assert!(engine.is_file(), "{} is not built: make fuzz", engine.display());
        for target in Target::ALL {
            write_seeds(target, &folder().join("seeds").join(target.name()));
        }
        engine
    };
    ENGINE.get_or_init(prepare).clone()
}

fn write_seeds(target: Target, folder: &Path) {
    let _none = fs::remove_dir_all(folder);
    fs::create_dir_all(folder).unwrap();
    for (name, bytes) in seeds(target) {
        fs::write(folder.join(name), bytes).unwrap();
    }
    for file in target.regressions() {
        fs::copy(&file, folder.join(file.file_name().unwrap())).unwrap();
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn folder() -> PathBuf {
    root().join("target/fuzz")
}
