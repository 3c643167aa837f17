//! Free ports that stay free until they are used.
//!
//! Wanted properties:
//! - Two test processes at the same time never get the same port: each is held by a lock on a file, which the
//!   kernel drops with the process.
//! - A port lies below the range from which the kernel takes the ports of outgoing connections. Otherwise, while a
//!   killed broker is away, a client that tries to reconnect may be given the broker's port as its own.
//! - Whoever is given a port can listen on it at once: it is never listened on here to see whether it is free. A process
//!   that another thread starts just then would hold that listener until it is its own program.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::error::{Context as _, Error, Result};

/// Ports are taken from here up to the kernel's range.
const LOWEST: u16 = 12_000;
/// Where Linux begins its own range if it doesn't say.
const KERNEL_RANGE: u16 = 32_768;
/// The loopback interface answers at once, but for a listener whose queue is full.
const ANSWER: Duration = Duration::from_millis(200);

/// The locks of the ports that this process was given, held to its end.
static HELD: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// A free port on the loopback interface, this process's own until it ends.
pub fn free_port() -> Result<u16> {
    let part = "a free port";
    let directory = lock_directory();
    std::fs::create_dir_all(&directory).context(part, || format!("could not make {}", directory.display()))?;
    let highest = kernel_range_start().unwrap_or(KERNEL_RANGE).max(LOWEST + 1_000);
    let count = highest - LOWEST;
    // Different processes begin at different places, so that they rarely ask for the same lock.
    let offset = (std::process::id().wrapping_mul(97) % u32::from(count)) as u16;
    let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    for step in 0..count {
        let port = LOWEST + (offset + step) % count;
        let path = directory.join(port.to_string());
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .context(part, || format!("could not open {}", path.display()))?;
        if file.try_lock().is_ok() && nobody_listens(port) {
            held.push(file);
            return Ok(port);
        }
    }
    Err(Error::new(part, format!("none left between {LOWEST} and {highest}")))
}

fn nobody_listens(port: u16) -> bool {
    TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), ANSWER)
        .is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

fn lock_directory() -> PathBuf {
    std::env::temp_dir().join(format!("vuelve-test-ports-{}", rustix::process::getuid().as_raw()))
}

fn kernel_range_start() -> Option<u16> {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
    range.split_whitespace().next()?.parse().ok()
}
