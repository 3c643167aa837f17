//! How a connection of HTTP/2 begins. hyper waits for that without end, and so would a place among the connections, and a stop.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

/// RFC 9113, section 3.4.
const PREFACE: [u8; 24] = *b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection whose preface was read: whoever reads it reads it once more.
///
/// It does not say that it writes several parts at once: h2 would give it each answer of 256 bytes or more by itself, and puts all
/// that are ready and have less than 1 KiB into one buffer of 16 KiB otherwise: one call of the system.
#[derive(Debug)]
pub(super) struct Begun<S> {
    /// How much of the preface is still to be read.
    left: usize,
    stream: S,
}

/// Reads the preface. A peer that says something else is an error as soon as it does.
pub(super) async fn begun<S: AsyncRead + Unpin>(mut stream: S) -> io::Result<Begun<S>> {
    let mut said = [0; PREFACE.len()];
    let mut length = 0;
    while length < PREFACE.len() {
        let read = stream.read(&mut said[length..]).await?;
        length += read;
        if read == 0 || said[..length] != PREFACE[..length] {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the peer does not begin as HTTP/2 does"));
        }
    }
    Ok(Begun { left: PREFACE.len(), stream })
}

impl<S: AsyncRead + Unpin> AsyncRead for Begun<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left == 0 {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let left = &PREFACE[PREFACE.len() - self.left..];
        let taken = left.len().min(buffer.remaining());
        buffer.put_slice(&left[..taken]);
        self.left -= taken;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Begun<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by it")]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    #[tokio::test]
    async fn what_was_read_of_the_beginning_is_read_once_more_however_it_comes() {
        for portion in [1, 7, 24, 100] {
            let (mut peer, ours) = tokio::io::duplex(256);
            let said = [&PREFACE[..], b"and what follows"].concat();
            let telling = said.clone();
            let telling = tokio::spawn(async move {
                for part in telling.chunks(portion) {
                    peer.write_all(part).await.unwrap();
                }
                peer.shutdown().await.unwrap();
            });
            let mut heard = Vec::new();
            begun(ours).await.unwrap().read_to_end(&mut heard).await.unwrap();
            assert_eq!(heard, said);
            telling.await.unwrap();
        }
    }

    #[tokio::test]
    async fn who_begins_in_another_way_or_goes_away_is_an_error() {
        for said in [&b"GET / HTTP/1.1\r\n"[..], b"PRI * HTTP/2.1", b"PRI", b""] {
            let (mut peer, ours) = tokio::io::duplex(256);
            peer.write_all(said).await.unwrap();
            peer.shutdown().await.unwrap();
            assert!(begun(ours).await.is_err(), "{said:?}");
        }
    }
}
