//! Builds the engine, instrumented, and lets it try each target for a while: `make fuzz`.

mod engine_build;
mod report;

use std::collections::VecDeque;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::thread;

use anyhow::{Context as _, bail};
use clap::Parser;
use fuzz::{Target, seeds};

/// Gives arbitrary requests, webhooks and spools to the door's own code, guided by which of it they reach.
#[derive(Parser)]
struct Options {
    /// How long each target is tried.
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// These targets alone: door, webhooks, `spool_reader`.
    #[arg(long)]
    target: Vec<String>,
    /// Tries these files once, without a fuzzer, with the target that is named.
    #[arg(long, requires = "target")]
    repeat: Vec<PathBuf>,
}

fn main() -> ExitCode {
    let outcome = run(&Options::parse());
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("fuzz: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(options: &Options) -> anyhow::Result<bool> {
    let named = |name: &String| Target::named(name).with_context(|| format!("{name} is no target"));
    let mut targets = options.target.iter().map(named).collect::<Result<Vec<_>, _>>()?;
    if let ([target], false) = (&targets[..], options.repeat.is_empty()) {
        return repeat(*target, &options.repeat);
    }
    if targets.is_empty() {
        targets = Target::ALL.to_vec();
    }
    let folder = engine_build::root()?.join("target/fuzz");
    let engine = engine_build::build(&folder)?;
    let waiting = Mutex::new(VecDeque::from(targets));
    let at_once = thread::available_parallelism().map_or(1, usize::from);
    let results = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                while let Some(target) = next(&waiting) {
                    let result = fuzz(&engine, &folder, target, options.seconds);
                    results.lock().expect("nobody panics").push(result);
                }
            });
        }
    });
    let results = results.into_inner().context("a thread has panicked")?;
    let hold: Vec<bool> = results.into_iter().collect::<Result<_, _>>()?;
    Ok(hold.into_iter().all(|holds| holds))
}

fn next(waiting: &Mutex<VecDeque<Target>>) -> Option<Target> {
    waiting.lock().expect("nobody panics").pop_front()
}

/// Panics as the fuzzer would have seen it.
fn repeat(target: Target, files: &[PathBuf]) -> anyhow::Result<bool> {
    for file in files {
        target.run(&fs::read(file).with_context(|| file.display().to_string())?);
        println!("{}: {} holds", target.name(), file.display());
    }
    Ok(true)
}

/// Lets the engine try a target; returns whether all held.
fn fuzz(engine: &Path, folder: &Path, target: Target, seconds: u64) -> anyhow::Result<bool> {
    let name = target.name();
    let [corpus, seeds, found] = ["corpus", "seeds", "found"].map(|kind| folder.join(kind).join(name));
    for made in [&corpus, &found] {
        fs::create_dir_all(made)?;
    }
    write_seeds(target, &seeds)?;
    let log = folder.join(format!("{name}.log"));
    let (output, artifacts) = (File::create(&log)?, format!("{}/", found.display()));
    let status = Command::new(engine)
        .env("FUZZ_TARGET", name)
        .args([&corpus, &seeds])
        .args([format!("-max_total_time={seconds}"), format!("-artifact_prefix={artifacts}")])
        .args(["-timeout=10", "-rss_limit_mb=2048", "-max_len=16384", "-print_final_stats=1", "-use_value_profile=1"])
        .stdout(Stdio::null())
        .stderr(output)
        .status()
        .with_context(|| engine.display().to_string())?;
    let log_text = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    println!("{}", report::summary(name, &log_text));
    if !status.success() {
        eprintln!("{}", report::failure(name, &log_text, &log));
    }
    Ok(status.success())
}

fn write_seeds(target: Target, folder: &Path) -> anyhow::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    for (name, bytes) in seeds(target) {
        fs::write(folder.join(name), bytes)?;
    }
    for file in target.regressions() {
        let Some(name) = file.file_name() else { bail!("{} has no name", file.display()) };
        fs::copy(&file, folder.join(name))?;
    }
    Ok(())
}
