//! One connection: read a frame, answer it, and again.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{ApiKey, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Shared;
use super::handlers::{self, Answer, Caller, unreadable};
use super::rope::Rope;
use super::versions;

const READ_CHUNK_BYTES: usize = 64 * 1024;
/// Api key, version and correlation id: less is no request.
const LEAST_FRAME_BYTES: usize = 8;

/// Serves one client until it hangs up or sends what can't be read.
pub(crate) async fn serve(shared: Arc<Shared>, mut stream: TcpStream, peer: SocketAddr) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = BytesMut::with_capacity(READ_CHUNK_BYTES);
    let host = format!("/{}", peer.ip());
    while let Some(frame) = read_frame(&mut stream, &mut buffer, shared.limits.request_bytes).await? {
        if let Some(mut answer) = answer(&shared, &host, frame).await? {
            let length = i32::try_from(answer.len()).map_err(io::Error::other)?;
            answer.push_front(Bytes::copy_from_slice(&length.to_be_bytes()));
            stream.write_all_buf(&mut answer).await?;
        }
    }
    Ok(())
}

async fn read_frame(stream: &mut TcpStream, buffer: &mut BytesMut, limit: usize) -> io::Result<Option<Bytes>> {
    loop {
        if let Some(length) = buffer.get(..4).map(|mut prefix| prefix.get_i32()) {
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            if !(LEAST_FRAME_BYTES..=limit).contains(&length) {
                return Err(unreadable(format!(
                    "a frame of {length} bytes; from {LEAST_FRAME_BYTES} to {limit} is taken"
                )));
            }
            if buffer.len() >= 4 + length {
                buffer.advance(4);
                return Ok(Some(buffer.split_to(length).freeze()));
            }
            buffer.reserve(4 + length - buffer.len());
        } else {
            buffer.reserve(READ_CHUNK_BYTES);
        }
        if stream.read_buf(buffer).await? == 0 {
            return if buffer.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        }
    }
}

/// The answer to a frame; `None` where none is wanted (`acks=0`).
async fn answer(shared: &Arc<Shared>, host: &str, mut frame: Bytes) -> io::Result<Option<Rope>> {
    let (key, version) = ((&frame[..2]).get_i16(), (&frame[2..4]).get_i16());
    let api = ApiKey::try_from(key).map_err(|()| unreadable(format!("unknown api key {key}")))?;
    if !versions::supports(api, version) {
        return unsupported(api, version, &frame).map(Some);
    }
    let header = RequestHeader::decode(&mut frame, api.request_header_version(version)).map_err(garbled)?;
    let client_id = header.client_id.as_deref().unwrap_or_default();
    let caller = Caller { shared, host, client_id, version };
    match handlers::handle(&caller, api, frame).await? {
        Answer::Nothing => Ok(None),
        Answer::Body(mut rope) => {
            rope.push_front(response_header(header.correlation_id, api.response_header_version(version))?);
            Ok(Some(rope))
        }
    }
}

/// `ApiVersions` of an unknown version gets the list in version 0, so that the client can choose; the rest is cut off.
fn unsupported(api: ApiKey, version: i16, frame: &Bytes) -> io::Result<Rope> {
    if api != ApiKey::ApiVersions {
        return Err(unreadable(format!("version {version} of {api:?} is not handled")));
    }
    let correlation_id = (&frame[4..8]).get_i32();
    let response = versions::advertised(ResponseError::UnsupportedVersion.code());
    let mut body = BytesMut::new();
    response.encode(&mut body, 0).map_err(garbled)?;
    let mut rope = Rope::from(body.freeze());
    rope.push_front(response_header(correlation_id, 0)?);
    Ok(rope)
}

fn response_header(correlation_id: i32, version: i16) -> io::Result<Bytes> {
    let mut header = BytesMut::with_capacity(8);
    let response = ResponseHeader::default().with_correlation_id(correlation_id);
    response.encode(&mut header, version).map_err(garbled)?;
    Ok(header.freeze())
}

fn garbled(error: impl std::fmt::Display) -> io::Error {
    unreadable(error.to_string())
}
