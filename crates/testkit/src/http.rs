//! The least of HTTP: whether a server answers a GET with 200. No client library is worth its build time here.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(2);

/// Whether `GET path` on the loopback `port` is answered with status 200.
pub(crate) fn answers(port: u16, path: &str) -> bool {
    get_status(port, path).is_ok_and(|status| status == 200)
}

fn get_status(port: u16, path: &str) -> std::io::Result<u16> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    // "HTTP/1.1 200"
    let mut start = [0; 12];
    stream.read_exact(&mut start)?;
    let status = std::str::from_utf8(&start[9..]).ok().and_then(|code| code.parse().ok());
    status.ok_or_else(|| std::io::Error::other("no HTTP status"))
}
