//! Whether a webhook is from whom it says.
//!
//! Wanted properties: what is compared is compared in a time that depends neither on it nor on the secrets; what was signed long
//! ago is not taken again, where its sender signs the time.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use definitions::{Encoding, SecretForm, Signature};
use domain::Timestamp;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};

use crate::ids::MAX_ID_BYTES;

/// A shorter secret could be guessed, and then anybody could place orders and erase customers.
const MIN_SECRET_BYTES: usize = 16;
/// Senders sign with a secret and the one before it.
const MAX_SIGNATURES: usize = 8;
/// Of the secrets of Standard Webhooks.
const SECRET_PREFIX: &str = "whsec_";

/// What a secret has to be, for who is told that his is not.
pub(super) const WANTED: &str = "16 to 255 printable characters (a longer one is harder to guess)";
const WANTED_STANDARD: &str = "`whsec_` and at least 16 bytes in base64";

/// What a secret of that form has to be.
pub(super) const fn wanted(form: SecretForm) -> &'static str {
    match form {
        SecretForm::Text => WANTED,
        SecretForm::StandardWebhooks => WANTED_STANDARD,
    }
}

/// Whether a text can be a secret.
pub(super) fn is_secret(text: &str) -> bool {
    (MIN_SECRET_BYTES..=MAX_ID_BYTES).contains(&text.len()) && !text.contains(char::is_control)
}

/// HMAC with a secret; none if the secret is not written as it has to be.
pub(super) fn keyed(secret: &str, form: SecretForm) -> Option<Hmac<Sha256>> {
    let key = match form {
        SecretForm::Text => secret.as_bytes().to_vec(),
        SecretForm::StandardWebhooks => STANDARD.decode(secret.strip_prefix(SECRET_PREFIX)?).ok()?,
    };
    (key.len() >= MIN_SECRET_BYTES).then(|| Hmac::new_from_slice(&key).expect("HMAC takes a key of any length"))
}

/// Whether a body is signed with a secret, however long ago; for who tries a mapping. The error is what is wrong with the secret.
pub fn is_signed_as(
    signature: &Signature,
    secret: &str,
    headers: &BTreeMap<String, String>,
    body: &[u8],
) -> Result<bool, String> {
    let keyed = is_secret(secret).then(|| keyed(secret, signature.secret)).flatten();
    let keyed = keyed.ok_or_else(|| format!("the secret is not {}", wanted(signature.secret)))?;
    let header = |(name, value): (&String, &String)| {
        Some((name.parse::<HeaderName>().ok()?, HeaderValue::from_str(value).ok()?))
    };
    let headers: HeaderMap = headers.iter().filter_map(header).collect();
    let ageless = Signature { timestamp: None, ..signature.clone() };
    Ok(is_signed(&ageless, &[keyed], &headers, body, Timestamp::from_millis(0)))
}

/// Whether one of the signatures in the headers is that of the body under one of the secrets. All are tried.
pub(super) fn is_signed(
    signature: &Signature,
    secrets: &[Hmac<Sha256>],
    headers: &HeaderMap,
    body: &[u8],
    now: Timestamp,
) -> bool {
    // Of a header that comes twice nobody knows which of them was signed.
    let text = |name: &String| {
        let mut values = headers.get_all(name).iter();
        let value = values.next()?.to_str().ok()?.trim();
        values.next().is_none().then_some(value)
    };
    let Some(before) = signature.before_body.iter().map(text).collect::<Option<Vec<_>>>() else { return false };
    if let Some((header, tolerance)) = &signature.timestamp {
        let Some(seconds) = text(header).and_then(|time| time.parse::<i64>().ok()) else { return false };
        let off_millis = seconds.saturating_mul(1_000).saturating_sub(now.as_millis()).unsigned_abs();
        if off_millis > tolerance.as_millis().unsigned_abs() {
            return false;
        }
    }
    let sent: Vec<&str> = text(&signature.header)
        .unwrap_or_default()
        .split_ascii_whitespace()
        .filter_map(|sent| sent.strip_prefix(signature.prefix.as_str()))
        .take(MAX_SIGNATURES)
        .collect();
    let mut is_one = Choice::from(0);
    for keyed in secrets {
        let mut mac = keyed.clone();
        for value in &before {
            mac.update(value.as_bytes());
            mac.update(b".");
        }
        mac.update(body);
        let mac = mac.finalize().into_bytes();
        for sent in &sent {
            is_one |= mac.ct_eq(decoded(sent, signature.encoding).as_slice());
        }
    }
    is_one.into()
}

/// The bytes of a signature; what is none has none, which are equal to no signature's.
fn decoded(sent: &str, encoding: Encoding) -> Vec<u8> {
    match encoding {
        Encoding::Base64 => STANDARD.decode(sent).unwrap_or_default(),
        Encoding::Hex if sent.len().is_multiple_of(2) && sent.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            let pairs = sent.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).ok());
            let bytes = pairs.map(|pair| pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()));
            bytes.collect::<Option<_>>().unwrap_or_default()
        }
        Encoding::Hex => Vec::new(),
    }
}
