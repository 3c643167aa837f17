use crate::keys::KeyRing;
use crate::target::Target;
use crate::token::{self, Purpose, TokenError};

/// The message that a link or a picture came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentMessage {
    /// Whom it went to.
    pub customer_id: String,
    /// Its id.
    pub message_id: String,
    /// Its category.
    pub category: String,
    /// The shop that sent it.
    pub shop: String,
    /// When it was put together to be sent, in milliseconds since 1970: what follows a link at once is a machine.
    pub sent_at: i64,
}

/// What a link in a message says: from which message it is, and where it leads. The door sends people nowhere else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClickToken {
    /// The message.
    pub message: SentMessage,
    /// Which of its links, counted from one.
    pub link: u16,
    /// Where it leads.
    pub target: Target,
}

/// What the picture in a message that tells that it was opened says: of which message it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenToken(pub SentMessage);

/// No token of a link is longer.
pub const MAX_CLICK_TOKEN_CHARS: usize = 3_600;

const CLICK: Purpose = Purpose { name: b"vuelve click 1\0", max_chars: MAX_CLICK_TOKEN_CHARS };
const OPEN: Purpose = Purpose { name: b"vuelve open 1\0", max_chars: crate::MAX_TOKEN_CHARS };

impl SentMessage {
    fn sign(&self, purpose: Purpose, keys: &KeyRing, more: &[u8]) -> Result<String, TokenError> {
        let texts = [&*self.customer_id, &self.message_id, &self.category, &self.shop];
        let rest = [&self.sent_at.to_be_bytes(), more].concat();
        token::sign(keys, purpose, &texts, &rest)
    }

    /// With what else the token holds.
    fn verify(purpose: Purpose, keys: &KeyRing, text: &str) -> Result<(Self, Vec<u8>), TokenError> {
        let ([customer_id, message_id, category, shop], rest) = token::open(keys, purpose, text)?;
        let (sent_at, more) = rest.split_first_chunk().ok_or(TokenError::Malformed)?;
        let message = Self { customer_id, message_id, category, shop, sent_at: i64::from_be_bytes(*sent_at) };
        Ok((message, more.to_vec()))
    }
}

impl ClickToken {
    /// The token's text for the path of a URL: letters, digits, `-` and `_`.
    ///
    /// Its texts are customer id, message id, category and shop; the rest is 8 bytes of time, 2 of the link's number, and the
    /// address.
    pub fn sign(&self, keys: &KeyRing) -> Result<String, TokenError> {
        let more = [&self.link.to_be_bytes(), self.target.as_str().as_bytes()].concat();
        self.message.sign(CLICK, keys, &more)
    }

    /// Reads a token; only what one of our keys has signed is believed, and only an address to send somebody on to.
    pub fn verify(keys: &KeyRing, text: &str) -> Result<Self, TokenError> {
        let (message, more) = SentMessage::verify(CLICK, keys, text)?;
        let (link, target) = more.split_first_chunk().ok_or(TokenError::Malformed)?;
        let target = std::str::from_utf8(target).ok().and_then(|target| target.parse().ok());
        Ok(Self { message, link: u16::from_be_bytes(*link), target: target.ok_or(TokenError::Malformed)? })
    }
}

impl OpenToken {
    /// The token's text for the path of a URL; its rest is 8 bytes of time.
    pub fn sign(&self, keys: &KeyRing) -> Result<String, TokenError> {
        self.0.sign(OPEN, keys, &[])
    }

    /// Reads a token; only what one of our keys has signed is believed.
    pub fn verify(keys: &KeyRing, text: &str) -> Result<Self, TokenError> {
        let (message, more) = SentMessage::verify(OPEN, keys, text)?;
        if more.is_empty() { Ok(Self(message)) } else { Err(TokenError::Malformed) }
    }
}
