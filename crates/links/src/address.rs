use std::fmt;
use std::str::FromStr;

use hmac::Mac;

use crate::keys::Secret;

/// Stands for an address where the address itself must not be: the first 128 bits of a keyed hash of it.
///
/// Suppressions are keyed by it and outlive an erasure, so its secret is never rotated.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressHash([u8; 16]);

/// A text that is no address hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an address hash is 32 hexadecimal digits in lower case")]
pub struct ParseAddressHashError;

const PURPOSE: &[u8] = b"vuelve address 1\0";

impl AddressHash {
    /// The hash of an e-mail address or a phone number, after [`normalise`].
    pub fn of(secret: &Secret, address: &str) -> Self {
        let mut mac = secret.mac(PURPOSE);
        mac.update(normalise(address).as_bytes());
        let digest = mac.finalize().into_bytes();
        let mut hash = [0; 16];
        hash.copy_from_slice(&digest[..16]);
        Self(hash)
    }

    pub(crate) const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// The address as the networks read it. E-mail: trimmed and in lower case (no provider of note tells cases apart).
/// Phone: digits alone, with `+` in front where it had `+` or `00`.
fn normalise(address: &str) -> String {
    let trimmed = address.trim();
    let (international, number) = match trimmed.strip_prefix('+') {
        Some(rest) => (true, rest),
        None => trimmed.strip_prefix("00").map_or((false, trimmed), |rest| (true, rest)),
    };
    let is_phone = number.bytes().any(|b| b.is_ascii_digit())
        && number.bytes().all(|b| b.is_ascii_digit() || matches!(b, b' ' | b'-' | b'.' | b'(' | b')' | b'/'));
    if is_phone {
        let digits = number.chars().filter(char::is_ascii_digit);
        international.then_some('+').into_iter().chain(digits).collect()
    } else {
        trimmed.to_lowercase()
    }
}

impl fmt::Display for AddressHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for AddressHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AddressHash({self})")
    }
}

impl FromStr for AddressHash {
    type Err = ParseAddressHashError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digit = |b: u8| match b {
            b'0'..=b'9' => Ok(b - b'0'),
            b'a'..=b'f' => Ok(b - b'a' + 10),
            _ => Err(ParseAddressHashError),
        };
        let digits: &[u8; 32] = text.as_bytes().try_into().map_err(|_| ParseAddressHashError)?;
        let mut hash = [0; 16];
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Ok(Self(hash))
    }
}
