use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::Mac;

use crate::address::AddressHash;
use crate::keys::KeyRing;

/// What an unsubscribe link says, proven by a signature: whoever holds the message may stop the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsubscribeToken {
    /// Whom the message went to.
    pub customer_id: String,
    /// The message that carried the link.
    pub message_id: String,
    /// The address that it went to.
    pub address_hash: AddressHash,
    /// The category of the message.
    pub category: String,
    /// The shop that sent it.
    pub shop: String,
}

/// No token is longer: a link must survive mail programs and proxies.
pub const MAX_TOKEN_CHARS: usize = 1_800;

/// Why a token can't be made or believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The ids are too long for a link.
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

const VERSION: u8 = 1;
const PURPOSE: &[u8] = b"vuelve unsubscribe 1\0";
const SIGNATURE_BYTES: usize = 32;

impl UnsubscribeToken {
    /// The token's text for the path of a URL: letters, digits, `-` and `_`.
    ///
    /// The bytes under the base64 are: version, the key id, customer id, message id, category and shop (each a length of
    /// one byte and the text), 16 bytes of address hash, and 32 of HMAC-SHA256 over all that is before it.
    pub fn sign(&self, keys: &KeyRing) -> Result<String, TokenError> {
        let (id, secret) = keys.signing();
        let mut bytes = vec![VERSION];
        for field in [id.as_str(), &self.customer_id, &self.message_id, &self.category, &self.shop] {
            bytes.push(u8::try_from(field.len()).map_err(|_| TokenError::TooLong)?);
            bytes.extend_from_slice(field.as_bytes());
        }
        bytes.extend_from_slice(self.address_hash.as_bytes());
        let signature = secret.mac(PURPOSE).chain_update(&bytes).finalize().into_bytes();
        bytes.extend_from_slice(&signature);
        let text = URL_SAFE_NO_PAD.encode(bytes);
        if text.len() > MAX_TOKEN_CHARS { Err(TokenError::TooLong) } else { Ok(text) }
    }

    /// Reads a token; only what one of our keys has signed is believed.
    pub fn verify(keys: &KeyRing, text: &str) -> Result<Self, TokenError> {
        if text.len() > MAX_TOKEN_CHARS {
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
        secret.mac(PURPOSE).chain_update(signed).verify_slice(signature).map_err(|_| TokenError::Forged)?;
        let mut text = || field(&mut rest).map(str::to_owned);
        let (customer_id, message_id, category, shop) = (text()?, text()?, text()?, text()?);
        let address_hash = rest.try_into().map(AddressHash::from_bytes).map_err(|_| TokenError::Malformed)?;
        Ok(Self { customer_id, message_id, address_hash, category, shop })
    }
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
