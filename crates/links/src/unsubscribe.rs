use crate::address::AddressHash;
use crate::keys::KeyRing;
use crate::token::{self, Purpose, TokenError};

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

/// What a link to the preference page says: the same, and whoever holds it may also ask to be written to again. A link that
/// unsubscribes does not pass for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreferencesToken(pub UnsubscribeToken);

/// No token of these is longer: a link must survive mail programs and proxies.
pub const MAX_TOKEN_CHARS: usize = 1_800;

const UNSUBSCRIBE: Purpose = Purpose { name: b"vuelve unsubscribe 1\0", max_chars: MAX_TOKEN_CHARS };
const PREFERENCES: Purpose = Purpose { name: b"vuelve preferences 1\0", max_chars: MAX_TOKEN_CHARS };

impl UnsubscribeToken {
    /// The token's text for the path of a URL: letters, digits, `-` and `_`.
    ///
    /// Its texts are customer id, message id, category and shop; the rest is 16 bytes of address hash.
    pub fn sign(&self, keys: &KeyRing) -> Result<String, TokenError> {
        self.sign_for(UNSUBSCRIBE, keys)
    }

    /// Reads a token; only what one of our keys has signed is believed.
    pub fn verify(keys: &KeyRing, text: &str) -> Result<Self, TokenError> {
        Self::verify_for(UNSUBSCRIBE, keys, text)
    }

    fn sign_for(&self, purpose: Purpose, keys: &KeyRing) -> Result<String, TokenError> {
        let texts = [&*self.customer_id, &self.message_id, &self.category, &self.shop];
        token::sign(keys, purpose, &texts, self.address_hash.as_bytes())
    }

    fn verify_for(purpose: Purpose, keys: &KeyRing, text: &str) -> Result<Self, TokenError> {
        let ([customer_id, message_id, category, shop], rest) = token::open(keys, purpose, text)?;
        let address_hash = rest.try_into().map(AddressHash::from_bytes).map_err(|_| TokenError::Malformed)?;
        Ok(Self { customer_id, message_id, address_hash, category, shop })
    }
}

impl PreferencesToken {
    /// The token's text for the path of a URL, as of [`UnsubscribeToken::sign`].
    pub fn sign(&self, keys: &KeyRing) -> Result<String, TokenError> {
        self.0.sign_for(PREFERENCES, keys)
    }

    /// Reads a token; only what one of our keys has signed is believed.
    pub fn verify(keys: &KeyRing, text: &str) -> Result<Self, TokenError> {
        UnsubscribeToken::verify_for(PREFERENCES, keys, text).map(Self)
    }
}
