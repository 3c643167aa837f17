//! A whole process: real signals, real exit codes, what it logs. The test starts itself again as that process.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use runtime::config::{Sources, layout};
use serde_json::Value;

const ROLE: &str = "RUNTIME_LAUNCH_TEST_ROLE";

/// The process that the other tests watch; without a role there is nothing to do.
#[test]
fn the_process_itself() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let flags = ["admin.listen=127.0.0.1:0", "host.drain_deadline=1m"].map(str::to_owned).to_vec();
    let config = layout().load(&Sources { flags, ..Sources::default() }).unwrap();
    let exit = runtime::launch(&config, "vuelve-test", async |host| {
        host.readiness().condition("broker").met();
        if role == "waits" {
            std::future::pending::<()>().await;
        }
        match role.as_str() {
            "drains" => host.thread("worker", |stop| {
                while !stop.wait_timeout(Duration::from_mins(1)) {}
                Ok(())
            }),
            "is stuck" => host.task("worker", |_| std::future::pending()),
            _ => host.task("worker", |_| async { anyhow::bail!("the broker does not answer") }),
        }
        Ok(())
    });
    std::process::exit(exit.unwrap().code().into());
}

struct Process {
    child: Child,
    lines: BufReader<ChildStderr>,
}

impl Process {
    fn start(role: &str) -> Self {
        Self::start_with("--default-signal=HUP", role)
    }

    /// `hang_up` says by a flag of `env` how SIGHUP is met at the start: whoever runs the tests may have it ignored.
    fn start_with(hang_up: &str, role: &str) -> Self {
        let mut child = Command::new("env")
            .arg(hang_up)
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "launch::the_process_itself"])
            .env(ROLE, role)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap());
        Self { child, lines }
    }

    /// Reads on until a line with that message; every line must be a JSON object.
    fn until(&mut self, message: &str) -> Value {
        for line in self.lines.by_ref().lines() {
            let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
            if line["message"] == message {
                return line;
            }
        }
        panic!("the process ended before it said: {message}");
    }

    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap().success());
    }

    fn exit_code(mut self) -> Option<i32> {
        let mut rest = String::new();
        self.lines.read_to_string(&mut rest).unwrap();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Ended long since, unless the test failed.
        let _ = self.child.kill();
    }
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn while_it_waits_for_what_it_needs_it_says_that_it_lives_and_is_not_ready() {
    let mut process = Process::start("waits");
    let address = process.until("the admin port is open")["address"].as_str().unwrap().to_owned();
    assert!(get(&address, "/livez").starts_with("HTTP/1.1 200"));
    let ready = get(&address, "/readyz");
    assert!(ready.starts_with("HTTP/1.1 503") && ready.contains("they are being put together"), "{ready}");
    process.signal("-TERM");
    assert_eq!(process.exit_code(), Some(0));
}

#[test]
fn sigterm_drains_the_process_which_ends_with_zero() {
    let mut process = Process::start("drains");
    let address = process.until("the admin port is open")["address"].as_str().unwrap().to_owned();
    process.until("started");
    let ready = get(&address, "/readyz");
    assert!(ready.starts_with("HTTP/1.1 200") && ready.contains(r#""broker":null"#), "{ready}");
    assert!(get(&address, "/metrics").contains("process_cpu_time_seconds_total"));
    process.signal("-TERM");
    assert_eq!(process.until("draining")["reason"], "SIGTERM");
    process.until("all parts have ended");
    assert_eq!(process.exit_code(), Some(0));
}

#[test]
fn a_closed_terminal_drains_the_process_as_sigterm_does() {
    let mut process = Process::start("drains");
    process.until("started");
    process.signal("-HUP");
    assert_eq!(process.until("draining")["reason"], "SIGHUP");
    assert_eq!(process.exit_code(), Some(0));
}

#[test]
fn what_was_started_with_nohup_outlives_its_terminal() {
    let mut process = Process::start_with("--ignore-signal=HUP", "drains");
    process.until("started");
    process.signal("-HUP");
    process.signal("-TERM");
    assert_eq!(process.until("draining")["reason"], "SIGTERM");
    assert_eq!(process.exit_code(), Some(0));
}

#[test]
fn a_draining_process_says_so_and_a_second_signal_ends_it_at_once() {
    let mut process = Process::start("is stuck");
    let address = process.until("the admin port is open")["address"].as_str().unwrap().to_owned();
    // Before its parts are started there is nothing to drain.
    process.until("started");
    process.signal("-INT");
    process.until("draining");
    let ready = get(&address, "/readyz");
    assert!(ready.starts_with("HTTP/1.1 503") && ready.contains(r#""draining":"SIGINT""#), "{ready}");
    process.signal("-TERM");
    assert_eq!(process.exit_code(), Some(143));
}

#[test]
fn a_part_that_fails_ends_the_process_with_one_and_its_reason() {
    let mut process = Process::start("fails");
    let failed = process.until("failed");
    assert_eq!((&failed["part"], &failed["reason"]), (&"worker".into(), &"the broker does not answer".into()));
    assert_eq!(process.exit_code(), Some(1));
}
