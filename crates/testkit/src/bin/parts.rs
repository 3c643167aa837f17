//! Fetches the parts that the tests need, and brings them up by hand.

use std::io::{Read as _, Write as _};
use std::process::ExitCode;
use std::time::Instant;

use testkit::{KafkaBroker, OtlpReceiver, Redis, Result, SchemaRegistry, SmtpSink};

const HELP: &str = "\
Fetches the real parts that the tests need, and brings them up by hand.

Usage: test-parts fetch     fetches what is missing (Debian packages only as root)
       test-parts up        brings all up on free ports, prints their addresses, and
                            ends them at Ctrl-C or when its standard input closes

The cache is $VUELVE_TEST_CACHE, by default target/test-parts.
";

fn main() -> ExitCode {
    let command = std::env::args().nth(1);
    let outcome = match command.as_deref() {
        Some("fetch") => testkit::fetch_all(),
        Some("up") => up(),
        Some("help" | "--help" | "-h") => {
            print!("{HELP}");
            Ok(())
        }
        _ => {
            eprint!("{HELP}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn up() -> Result<()> {
    testkit::fetch_all()?;
    let broker = timed("kafka", KafkaBroker::start)?;
    let registry = timed("schema registry", SchemaRegistry::start)?;
    let redis = timed("redis", Redis::start)?;
    let sink = timed("smtp sink", SmtpSink::start)?;
    let receiver = timed("otlp receiver", OtlpReceiver::start)?;
    // As the services' configuration reads them; the last three are for people.
    println!("export VUELVE__KAFKA__BOOTSTRAP_SERVERS='[\"{}\"]'", broker.bootstrap_servers());
    println!("export VUELVE__KAFKA__REGISTRY_URL={}", registry.url());
    println!("export VUELVE__STORE__URL={}", redis.url());
    println!("export OTEL_EXPORTER_OTLP_ENDPOINT={}", receiver.endpoint());
    println!("export SMTP_URL={}", sink.url());
    println!("export SMTP_MESSAGES={}", sink.messages_path().display());
    println!("export OTLP_SPANS={}", receiver.process().log_path().display());
    // A pipe that nobody reads any more is as good as a closed input.
    if std::io::stdout().flush().is_ok() {
        eprintln!("All up; Ctrl-C (or the end of the input) ends them.");
        let mut sunk = Vec::new();
        while std::io::stdin().take(4096).read_to_end(&mut sunk).is_ok_and(|count| count > 0) {
            sunk.clear();
        }
    }
    Ok(())
}

fn timed<T>(part: &str, start: impl FnOnce() -> Result<T>) -> Result<T> {
    let began = Instant::now();
    let started = start()?;
    eprintln!("{part}: up after {:.1} s", began.elapsed().as_secs_f64());
    Ok(started)
}
