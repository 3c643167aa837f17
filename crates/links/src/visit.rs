use crate::keys::KeyRing;
use crate::token::{self, Purpose, TokenError};

/// Who comes to the shop by a link of a message: the door puts it into the address that it sends her on to, and believes it of a
/// page with that address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VisitToken {
    /// Whom the message went to.
    pub customer_id: String,
    /// The shop that sent it.
    pub shop: String,
    /// When it ends, in milliseconds since 1970: an address is copied, bookmarked and sent to others.
    pub until: i64,
}

/// No token of a visit is longer.
pub const MAX_VISIT_TOKEN_CHARS: usize = 1_200;

const VISIT: Purpose = Purpose { name: b"vuelve visit 1\0", max_chars: MAX_VISIT_TOKEN_CHARS };

impl VisitToken {
    /// The token's text for the query of a URL: letters, digits, `-` and `_`.
    ///
    /// Its texts are customer id and shop; the rest is 8 bytes of time.
    pub fn sign(&self, keys: &KeyRing) -> Result<String, TokenError> {
        token::sign(keys, VISIT, &[&self.customer_id, &self.shop], &self.until.to_be_bytes())
    }

    /// Reads a token; only what one of our keys has signed is believed. Whether it has ended is for who has a clock to say.
    pub fn verify(keys: &KeyRing, text: &str) -> Result<Self, TokenError> {
        let ([customer_id, shop], rest) = token::open(keys, VISIT, text)?;
        let until = rest.try_into().map(i64::from_be_bytes).map_err(|_| TokenError::Malformed)?;
        Ok(Self { customer_id, shop, until })
    }
}
