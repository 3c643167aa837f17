//! A request as text, so that people can read and write inputs: `METHOD PATH`, lines `name: value`, an empty line, the body.
//!
//! Lines whose name begins with `@` are no headers but say what is to be done, so that mutations get behind a checksum, a
//! signature or base64: `@key` (HTTP Basic with this key), `@pack` (`gzip` or `zlib`), `@repeat` (the body, so many times),
//! `@frames` (the body comes in parts of so many bytes), `@sign` (`wrong`, `given`; otherwise right).

use std::io::Write as _;

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Method, Request, Uri};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};

/// A repeated body has at most so many bytes.
const MOST_BYTES: usize = 8 << 20;

/// An input that was read.
#[derive(Debug)]
pub(crate) struct Input<'a> {
    pub(crate) method: Method,
    pub(crate) path: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    orders: Vec<(&'a str, &'a str)>,
    /// What the body says, before it is packed.
    pub(crate) text: Vec<u8>,
}

impl<'a> Input<'a> {
    /// None where these bytes are no request at all.
    pub(crate) fn read(bytes: &'a [u8]) -> Option<Self> {
        let (head, body) = split(bytes, b"\n\n").unwrap_or((bytes, &[]));
        let mut lines = head.split(|byte| *byte == b'\n');
        let (method, path) = split(lines.next()?, b" ")?;
        let (mut headers, mut orders) = (Vec::new(), Vec::new());
        for (name, value) in lines.filter_map(|line| split(line, b": ")) {
            if let Some(name) = name.strip_prefix(b"@") {
                orders.extend(str::from_utf8(name).ok().zip(str::from_utf8(value).ok()));
            } else if let (Ok(name), Ok(value)) =
                // HTTP carries no blanks around a value.
                (HeaderName::from_bytes(name), HeaderValue::from_bytes(value.trim_ascii()))
            {
                headers.push((name, value));
            }
        }
        let (method, path) = (Method::from_bytes(method).ok()?, String::from_utf8(path.to_vec()).ok()?);
        let mut input = Self { method, path, headers, orders, text: Vec::new() };
        let times = input.order("repeat").and_then(|times| times.parse().ok()).unwrap_or(1);
        input.text = body.repeat(times.min(MOST_BYTES / body.len().max(1)));
        Some(input)
    }

    /// What is to be done by this name.
    pub(crate) fn order(&self, name: &str) -> Option<&'a str> {
        self.orders.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&HeaderValue> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// In place of all others of this name.
    pub(crate) fn set(&mut self, name: &'static str, value: &str) {
        self.headers.retain(|(known, _)| known != name);
        let value = HeaderValue::from_str(value).expect("ours are plain");
        self.headers.push((HeaderName::from_static(name), value));
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.headers.retain(|(known, _)| known != name);
    }

    /// The bytes of the body, as they are sent.
    pub(crate) fn body(&self) -> Vec<u8> {
        let level = Compression::fast();
        let packed = match self.order("pack") {
            Some("gzip") => {
                let mut encoder = GzEncoder::new(Vec::new(), level);
                encoder.write_all(&self.text).and_then(|()| encoder.finish())
            }
            Some("zlib") => {
                let mut encoder = ZlibEncoder::new(Vec::new(), level);
                encoder.write_all(&self.text).and_then(|()| encoder.finish())
            }
            _ => Ok(self.text.clone()),
        };
        packed.expect("memory takes everything")
    }

    /// What the door is to read in this body, where it is known: what comes packed by itself is not.
    pub(crate) fn text_seen(&self) -> Option<&str> {
        if self.order("pack").is_none() && matches!(self.text.first(), Some(0x1f | 0x78)) {
            return None;
        }
        let text = str::from_utf8(&self.text).ok()?;
        Some(text.strip_prefix('\u{feff}').unwrap_or(text))
    }

    /// The request; none where its path is none.
    pub(crate) fn request(&self, body: Vec<u8>) -> Option<Request<Body>> {
        let mut request = Request::builder().method(&self.method).uri(self.path.parse::<Uri>().ok()?);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if let Some(key) = self.order("key") {
            request = request.header("authorization", format!("Basic {}", STANDARD.encode(format!("{key}:"))));
        }
        request.body(self.in_frames(body)).ok()
    }

    fn in_frames(&self, body: Vec<u8>) -> Body {
        let Some(size) = self.order("frames").and_then(|size| size.parse::<usize>().ok()) else {
            return Body::from(body);
        };
        // A few are enough to meet every seam.
        let size = size.max(1).max(body.len() / 64);
        let parts: Vec<_> =
            body.chunks(size).map(|part| Ok::<_, std::io::Error>(Bytes::copy_from_slice(part))).collect();
        Body::from_stream(futures_util::stream::iter(parts))
    }
}

fn split<'a>(bytes: &'a [u8], by: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = bytes.windows(by.len()).position(|window| window == by)?;
    Some((&bytes[..at], &bytes[at + by.len()..]))
}
