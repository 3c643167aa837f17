use std::fmt;
use std::str::FromStr;

/// An address that the door may send somebody on to: absolute, `http` or `https`, and plain enough to stand in a header.
///
/// It is kept to the letter. Whoever signs makes one, and whoever redirects makes one again: neither trusts the other.
#[derive(Clone, PartialEq, Eq)]
pub struct Target(Box<str>);

/// Why an address is none to send somebody on to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Longer than [`Target::MAX_BYTES`].
    #[error("a link leads to an address of at most {} bytes", Target::MAX_BYTES)]
    TooLong,
    /// Another scheme, or none: `javascript:`, `data:`, `//host`, a path.
    #[error("a link leads to an `http://` or `https://` address")]
    NotWeb,
    /// No host, or one with a user name before it, which is there to be mistaken for the host.
    #[error("a link leads to a host, without a user name before it")]
    NoHost,
    /// Blanks, line ends, `\`, or what is no ASCII: programs read such an address in several ways.
    #[error("a link is plain ASCII without blanks, line ends and `\\`")]
    NotPlain,
}

impl Target {
    /// No address is longer: proxies and mail programs take no more.
    pub const MAX_BYTES: usize = 2_000;

    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its host and port, as they are written.
    pub fn authority(&self) -> &str {
        let rest = self.0.split_once("://").map_or("", |(_, rest)| rest);
        rest.split(['/', '?', '#']).next().unwrap_or_default()
    }

    /// The same address with one parameter more at the end of its query; none where it would be longer than an address may be.
    /// Neither name nor value has anything to escape.
    pub fn with_parameter(&self, name: &str, value: &str) -> Option<Self> {
        let (address, fragment) = self.0.split_at(self.0.find('#').unwrap_or(self.0.len()));
        let mark = if address.contains('?') { '&' } else { '?' };
        format!("{address}{mark}{name}={value}{fragment}").parse().ok()
    }

    /// Its host, as it is written, without the port.
    pub fn host(&self) -> &str {
        let authority = self.authority();
        // An IPv6 address stands in brackets, and has colons of its own.
        let end = authority.rfind(']').map_or(0, |bracket| bracket + 1);
        authority[end..].find(':').map_or(authority, |colon| &authority[..end + colon])
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > Self::MAX_BYTES {
            return Err(TargetError::TooLong);
        }
        if !text.bytes().all(|b| b.is_ascii_graphic() && b != b'\\') {
            return Err(TargetError::NotPlain);
        }
        let (scheme, rest) = text.split_once("://").ok_or(TargetError::NotWeb)?;
        if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
            return Err(TargetError::NotWeb);
        }
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.is_empty() || authority.starts_with(':') || authority.contains('@') {
            return Err(TargetError::NoHost);
        }
        Ok(Self(text.into()))
    }
}

/// An address may hold what belongs to one customer: only its length is told.
impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({} bytes)", self.0.len())
    }
}
