//! What a process says of itself on its admin port.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use testkit::wait_until;

/// The status and the whole of what the admin port answers.
pub fn get(port: u16, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let status = answer.split_whitespace().nth(1)?.parse().ok()?;
    Some((status, answer))
}

/// Waits until readiness is answered with this status; returns what else is said.
pub fn wait_for_readiness(port: u16, status: u16, limit: Duration) -> anyhow::Result<String> {
    let what = format!("readiness to answer {status}");
    let answer = wait_until(limit, &what, || get(port, "/readyz").filter(|(found, _)| *found == status))?;
    Ok(answer.1)
}
