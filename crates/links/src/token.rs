//! How every token is written: signed, and bound to one use.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::Mac;

use crate::keys::KeyRing;

/// Why a token can't be made or believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The ids, or the address that a link leads to, are too long for a link.
    #[error("the ids are too long for a link: each may have 255 bytes, all together about 1,200")]
    TooLong,
    /// Not a token of ours: cut off, or never one.
    #[error("this is not a complete link; perhaps the mail program broke it in two")]
    Malformed,
    /// Signed by a key that is no longer held.
    #[error("the link was signed by a key that is no longer in use")]
    UnknownKey,
    /// The signature does not fit.
    #[error("the link's signature does not fit")]
    Forged,
}

/// What a token is for. One of another use does not pass for it: the purpose is under the signature.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Purpose {
    pub(crate) name: &'static [u8],
    /// A longer text is neither made nor read.
    pub(crate) max_chars: usize,
}

const VERSION: u8 = 1;
const SIGNATURE_BYTES: usize = 32;

/// The token's text for the path of a URL: letters, digits, `-` and `_`.
///
/// The bytes under the base64 are: version, the key id and the texts (each a length of one byte and the text), the rest, and
/// 32 of HMAC-SHA256 over all that is before it.
pub(crate) fn sign(keys: &KeyRing, purpose: Purpose, texts: &[&str], rest: &[u8]) -> Result<String, TokenError> {
    let (id, secret) = keys.signing();
    let mut bytes = vec![VERSION];
    for field in std::iter::once(id.as_str()).chain(texts.iter().copied()) {
        bytes.push(u8::try_from(field.len()).map_err(|_| TokenError::TooLong)?);
        bytes.extend_from_slice(field.as_bytes());
    }
    bytes.extend_from_slice(rest);
    let signature = secret.mac(purpose.name).chain_update(&bytes).finalize().into_bytes();
    bytes.extend_from_slice(&signature);
    let text = URL_SAFE_NO_PAD.encode(bytes);
    if text.len() > purpose.max_chars { Err(TokenError::TooLong) } else { Ok(text) }
}

/// The texts and the rest of a token; only what one of our keys has signed for this use is believed.
pub(crate) fn open<const TEXTS: usize>(
    keys: &KeyRing,
    purpose: Purpose,
    text: &str,
) -> Result<([String; TEXTS], Vec<u8>), TokenError> {
    if text.len() > purpose.max_chars {
        return Err(TokenError::Malformed);
    }
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| TokenError::Malformed)?;
    let (signed, signature) = bytes.split_last_chunk::<SIGNATURE_BYTES>().ok_or(TokenError::Malformed)?;
    let mut rest = signed;
    if take(&mut rest, 1)? != [VERSION] {
        return Err(TokenError::Malformed);
    }
    let key_id = field(&mut rest)?;
    let secret = keys.secret(key_id).ok_or(TokenError::UnknownKey)?;
    secret.mac(purpose.name).chain_update(signed).verify_slice(signature).map_err(|_| TokenError::Forged)?;
    let mut texts = [const { String::new() }; TEXTS];
    for text in &mut texts {
        field(&mut rest)?.clone_into(text);
    }
    Ok((texts, rest.to_vec()))
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Result<&'a [u8], TokenError> {
    let (taken, left) = rest.split_at_checked(count).ok_or(TokenError::Malformed)?;
    *rest = left;
    Ok(taken)
}

fn field<'a>(rest: &mut &'a [u8]) -> Result<&'a str, TokenError> {
    let length = take(rest, 1)?[0];
    std::str::from_utf8(take(rest, usize::from(length))?).map_err(|_| TokenError::Malformed)
}
