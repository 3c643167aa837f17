//! The ways in which a message can reach a customer. One so far; a further one is a variant here and a sender in `shell/`.

use links::{AddressHash, Secret};
use schemas::Recipient;

/// A way in which a message can reach a customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    /// E-mail, by SMTP.
    Email,
}

/// Longer is no e-mail address (RFC 5321, 4.5.3.1.3: a path has 256 octets, two of them brackets).
const MAX_EMAIL_BYTES: usize = 254;

/// Why no channel can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unreachable(pub(crate) &'static str);

impl Channel {
    /// The channel of that name in a definition.
    pub fn from_name(name: &str) -> Option<Self> {
        (name == "email").then_some(Self::Email)
    }

    /// Its name in definitions and outcomes.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Email => "email",
        }
    }

    /// The recipient's address on this channel, if she has one that can be one.
    pub fn address(self, recipient: &Recipient) -> Result<&str, &'static str> {
        match self {
            Self::Email => match recipient.email.as_deref() {
                None | Some("") => Err("no_email_address"),
                Some(address) if is_email_address(address) => Ok(address),
                Some(_) => Err("malformed_email_address"),
            },
        }
    }
}

/// The first of the wanted channels that reaches her, with the hash of her address there.
pub(crate) fn reach(
    wanted: &[String],
    recipient: &Recipient,
    secret: &Secret,
) -> Result<(Channel, AddressHash), Unreachable> {
    let mut why = Unreachable("no_supported_channel");
    for channel in wanted.iter().filter_map(|name| Channel::from_name(name)) {
        match channel.address(recipient) {
            Ok(address) => return Ok((channel, AddressHash::of(secret, address))),
            Err(reason) => why = Unreachable(reason),
        }
    }
    Err(why)
}

/// Whether a text can stand in an SMTP command: one `@`, something on both sides, and nothing that ends a command,
/// a header or an address. The server judges the rest.
fn is_email_address(text: &str) -> bool {
    let forbidden = |c: char| {
        c.is_whitespace() || c.is_control() || matches!(c, '<' | '>' | '(' | ')' | ',' | ';' | ':' | '\\' | '"')
    };
    text.len() <= MAX_EMAIL_BYTES
        && !text.contains(forbidden)
        && text.split_once('@').is_some_and(|(local, domain)| {
            !local.is_empty() && !domain.is_empty() && !domain.contains('@') && !domain.starts_with('.')
        })
}
