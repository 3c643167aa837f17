use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use testkit::{TcpProxy, wait_until};

use crate::LIMIT;

/// A server that sends back what it gets.
fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut reading = stream.try_clone().unwrap();
                let mut writing = stream;
                // Ends with the connection.
                let _ended = std::io::copy(&mut reading, &mut writing);
            });
        }
    });
    port
}

fn connect(proxy: &TcpProxy) -> TcpStream {
    let stream = TcpStream::connect(proxy.address()).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream
}

fn answers(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(b"hola")?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer)?;
    assert_eq!(&answer, b"hola");
    Ok(())
}

#[test]
fn a_cut_closes_everything_until_it_is_mended() {
    let proxy = TcpProxy::start(echo()).unwrap();
    let mut stream = connect(&proxy);
    answers(&mut stream).unwrap();
    assert_eq!(proxy.connections(), 1);
    proxy.cut();
    assert!(answers(&mut stream).is_err());
    assert!(answers(&mut connect(&proxy)).is_err());
    proxy.resume();
    let mut stream = connect(&proxy);
    answers(&mut stream).unwrap();
    proxy.drop_connections();
    assert!(answers(&mut stream).is_err());
    answers(&mut connect(&proxy)).unwrap();
    wait_until(LIMIT, "the last connection's end", || (proxy.connections() == 0).then_some(())).unwrap();
}

#[test]
fn a_delay_holds_in_both_directions_and_keeps_the_order() {
    let proxy = TcpProxy::start(echo()).unwrap();
    let mut stream = connect(&proxy);
    proxy.delay_ms(40);
    let began = Instant::now();
    answers(&mut stream).unwrap();
    assert!(began.elapsed() >= Duration::from_millis(80), "{:?}", began.elapsed());
    let sent: Vec<u8> = (0..200_000_u32).map(|number| (number % 251) as u8).collect();
    let mut received = vec![0; sent.len()];
    std::thread::scope(|scope| {
        let mut writing = stream.try_clone().unwrap();
        let sent = &sent;
        scope.spawn(move || writing.write_all(sent).unwrap());
        stream.read_exact(&mut received).unwrap();
    });
    assert!(sent == received);
}

#[test]
fn a_stalled_line_delivers_when_it_is_resumed() {
    let proxy = TcpProxy::start(echo()).unwrap();
    let mut stream = connect(&proxy);
    answers(&mut stream).unwrap();
    proxy.stall();
    stream.write_all(b"hola").unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let mut answer = [0; 4];
    assert!(stream.read_exact(&mut answer).is_err());
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    proxy.resume();
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"hola");
    proxy.stall();
    proxy.cut();
    assert!(answers(&mut stream).is_err(), "a cut ends also what is stalled");
}

#[test]
fn a_target_that_is_away_closes_the_connection() {
    let proxy = TcpProxy::start(testkit::free_port().unwrap()).unwrap();
    assert!(answers(&mut connect(&proxy)).is_err());
    assert_eq!(proxy.connections(), 0);
}
