//! A TCP proxy before a part, to be cut, slowed or stalled: the network's faults without root.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Context as _, Result};
use crate::free_port;

const CONNECT: Duration = Duration::from_secs(5);
const CHUNK_BYTES: usize = 64 * 1024;
/// Chunks on the way in one direction of one connection; a full line holds the sender back, as a network does.
const CHUNKS: usize = 64;

/// A proxy on a free loopback port.
#[derive(Debug)]
pub struct TcpProxy {
    shared: Arc<Shared>,
    port: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Open,
    Stalled,
    Cut,
}

#[derive(Debug)]
struct Shared {
    target: SocketAddr,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    line: Line,
    delay: Duration,
    ended: bool,
    accepted: u64,
    /// Both ends of each connection, by its number.
    connections: HashMap<u64, [TcpStream; 2]>,
}

impl TcpProxy {
    /// Forwards to `target` on the loopback interface, which need not listen yet.
    pub fn start(target: u16) -> Result<Self> {
        let port = free_port()?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .context("proxy", || format!("could not listen on port {port}"))?;
        let state =
            State { line: Line::Open, delay: Duration::ZERO, ended: false, accepted: 0, connections: HashMap::new() };
        let shared = Arc::new(Shared {
            target: SocketAddr::from((Ipv4Addr::LOCALHOST, target)),
            state: Mutex::new(state),
            changed: Condvar::new(),
        });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || accept(&accepting, &listener));
        Ok(Self { shared, port })
    }

    /// Its own port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `127.0.0.1:PORT`
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Closes all connections, and every new one at once, until [`TcpProxy::resume`].
    pub fn cut(&self) {
        self.shared.set(|state| {
            state.line = Line::Cut;
            state.close_all();
        });
    }

    /// Closes the present connections; new ones pass.
    pub fn drop_connections(&self) {
        self.shared.set(State::close_all);
    }

    /// Keeps connections open (and takes new ones), but lets nothing through until [`TcpProxy::resume`]: what is sent
    /// meanwhile arrives then.
    pub fn stall(&self) {
        self.shared.set(|state| state.line = Line::Stalled);
    }

    /// Adds a delay to everything that is sent from now on, in each direction.
    pub fn delay_ms(&self, delay_ms: u64) {
        self.shared.set(|state| state.delay = Duration::from_millis(delay_ms));
    }

    /// Lets everything through again, without delay.
    pub fn resume(&self) {
        self.shared.set(|state| {
            state.line = Line::Open;
            state.delay = Duration::ZERO;
        });
    }

    /// How many connections are open.
    pub fn connections(&self) -> usize {
        self.shared.lock().connections.len()
    }
}

impl Drop for TcpProxy {
    fn drop(&mut self) {
        self.shared.set(|state| {
            state.ended = true;
            state.close_all();
        });
        // Wakes the thread that accepts.
        let _woken = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

impl State {
    fn close_all(&mut self) {
        for (_, ends) in self.connections.drain() {
            close(&ends);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    /// Waits until what was read at its time may be written; false if the connection is gone by then.
    fn admit(&self, connection: u64, due: Instant) -> bool {
        let mut state = self.lock();
        loop {
            if !state.connections.contains_key(&connection) {
                return false;
            }
            let now = Instant::now();
            let stalled = state.line == Line::Stalled;
            if !stalled && now >= due {
                return true;
            }
            let wait = if stalled { CONNECT } else { due - now };
            state = self.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn end(&self, connection: u64) {
        if let Some(ends) = self.lock().connections.remove(&connection) {
            close(&ends);
        }
        self.changed.notify_all();
    }
}

fn close(ends: &[TcpStream; 2]) {
    for end in ends {
        // An end that is closed already is what is wanted.
        let _closed = end.shutdown(Shutdown::Both);
    }
}

fn accept(shared: &Arc<Shared>, listener: &TcpListener) {
    for client in listener.incoming() {
        if shared.lock().ended {
            return;
        }
        let Ok(client) = client else { continue };
        let shared = Arc::clone(shared);
        // Not in this thread: a target that doesn't answer must not hold up others.
        std::thread::spawn(move || {
            // A connection that can't be made is closed: that is how the client learns of it.
            let _made = connect(&shared, client);
        });
    }
}

fn connect(shared: &Arc<Shared>, client: TcpStream) -> std::io::Result<()> {
    if shared.lock().line == Line::Cut {
        return Ok(());
    }
    let server = TcpStream::connect_timeout(&shared.target, CONNECT)?;
    for end in [&client, &server] {
        end.set_nodelay(true)?;
    }
    let halves = [(client.try_clone()?, server.try_clone()?), (server.try_clone()?, client.try_clone()?)];
    let number = {
        let mut state = shared.lock();
        if state.ended || state.line == Line::Cut {
            return Ok(());
        }
        state.accepted += 1;
        let number = state.accepted;
        state.connections.insert(number, [client, server]);
        number
    };
    for (from, to) in halves {
        let (sender, receiver) = sync_channel(CHUNKS);
        let reading = Arc::clone(shared);
        std::thread::spawn(move || read(&reading, from, &sender));
        let writing = Arc::clone(shared);
        std::thread::spawn(move || write(&writing, number, to, &receiver));
    }
    Ok(())
}

/// Takes in what one end sends, each chunk with the time from which it may go on. An empty chunk is the end.
fn read(shared: &Shared, mut from: TcpStream, chunks: &SyncSender<(Instant, Vec<u8>)>) {
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let count = from.read(&mut buffer).unwrap_or(0);
        let due = Instant::now() + shared.lock().delay;
        if chunks.send((due, buffer[..count].to_vec())).is_err() || count == 0 {
            return;
        }
    }
}

fn write(shared: &Shared, connection: u64, mut to: TcpStream, chunks: &Receiver<(Instant, Vec<u8>)>) {
    while let Ok((due, chunk)) = chunks.recv() {
        let gone = !shared.admit(connection, due);
        if gone || chunk.is_empty() || to.write_all(&chunk).is_err() {
            break;
        }
    }
    shared.end(connection);
}
