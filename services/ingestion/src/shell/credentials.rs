//! Where a call says its write key: as the user name of HTTP Basic, in the query, in the body, or in the first event of a batch.
//! The first place that has one decides. Over gRPC: in the metadata.

use axum::http::{HeaderMap, Uri, header};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

/// The write key in the head of a request.
pub(crate) fn in_head(headers: &HeaderMap, uri: &Uri) -> Option<String> {
    basic(headers).or_else(|| query(uri))
}

/// The write key in the metadata of a gRPC call: as a bearer's token, or as the user name of Basic.
pub(crate) fn in_metadata(headers: &HeaderMap) -> Option<String> {
    bearer(headers).or_else(|| basic(headers))
}

fn bearer(headers: &HeaderMap) -> Option<String> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
}

fn basic(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, credentials) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let credentials = credentials.trim();
    let decoded = STANDARD.decode(credentials).or_else(|_| STANDARD_NO_PAD.decode(credentials)).ok()?;
    let decoded = String::from_utf8(decoded).ok()?;
    let user = decoded.split_once(':').map_or(decoded.as_str(), |(user, _)| user);
    (!user.is_empty()).then(|| user.to_owned())
}

/// `writeKey` of the query. Keys are plain ASCII, so an escaped one is none of ours.
fn query(uri: &Uri) -> Option<String> {
    let pairs = uri.query()?.split('&').filter_map(|pair| pair.split_once('='));
    let (_, key) = pairs.into_iter().find(|(name, _)| *name == "writeKey")?;
    (!key.is_empty()).then(|| key.to_owned())
}
