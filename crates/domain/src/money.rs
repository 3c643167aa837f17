use std::fmt;

use serde::{Deserialize, Serialize};

/// An ISO 4217 currency code: three capital letters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency([u8; 3]);

/// An amount in the minor unit of its currency (cents), never a float.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Money {
    /// Whole minor units: 1999 is 19.99 of a currency with two digits.
    pub minor: i64,
    /// The currency.
    pub currency: Currency,
}

/// Why a text is no amount or no currency.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseMoneyError {
    /// Not three letters.
    #[error("`{0}` is not a currency code; three letters such as EUR are expected")]
    Currency(String),
    /// Not a decimal number, or out of range.
    #[error("`{0}` is not an amount; a decimal number such as 19.99 is expected")]
    Amount(String),
}

impl Currency {
    /// The code of three letters, in capitals.
    pub fn parse(code: &str) -> Result<Self, ParseMoneyError> {
        let refuse = || ParseMoneyError::Currency(code.chars().take(8).collect());
        let bytes: [u8; 3] = code.trim().as_bytes().try_into().map_err(|_| refuse())?;
        if bytes.iter().all(u8::is_ascii_alphabetic) {
            Ok(Self(bytes.map(|b| b.to_ascii_uppercase())))
        } else {
            Err(refuse())
        }
    }

    /// The code, such as `EUR`.
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("???")
    }

    /// How many decimal digits its minor unit has (ISO 4217, list one): 2 but for the exceptions.
    pub fn digits(self) -> u32 {
        match &self.0 {
            b"BIF" | b"CLP" | b"DJF" | b"GNF" | b"ISK" | b"JPY" | b"KMF" | b"KRW" | b"PYG" | b"RWF" | b"UGX"
            | b"VND" | b"VUV" | b"XAF" | b"XOF" | b"XPF" | b"UYI" => 0,
            b"BHD" | b"IQD" | b"JOD" | b"KWD" | b"LYD" | b"OMR" | b"TND" => 3,
            b"CLF" | b"UYW" => 4,
            _ => 2,
        }
    }
}

impl Money {
    /// Parses a decimal number, exactly; digits beyond the minor unit are rounded half away from zero.
    pub fn parse(amount: &str, currency: Currency) -> Result<Self, ParseMoneyError> {
        let minor = parse_minor(amount.trim(), currency.digits());
        minor
            .map(|minor| Self { minor, currency })
            .ok_or_else(|| ParseMoneyError::Amount(amount.chars().take(40).collect()))
    }
}

/// The decimal text in units of 10^-digits; accepts a sign and an exponent, as JSON numbers have.
fn parse_minor(text: &str, digits: u32) -> Option<i64> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if (whole.is_empty() && fraction.is_empty())
        || whole.len() + fraction.len() > 40
        || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit())
    {
        return None;
    }
    let mut unscaled = 0_i128;
    for digit in whole.bytes().chain(fraction.bytes()) {
        unscaled = unscaled.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
    }
    // unscaled * 10^(exponent - fraction digits) is the value; times 10^digits gives minor units.
    let shift = i64::from(exponent) - fraction.len() as i64 + i64::from(digits);
    let minor = if unscaled == 0 || shift < -38 {
        0
    } else if shift >= 0 {
        unscaled.checked_mul(10_i128.checked_pow(u32::try_from(shift).ok()?)?)?
    } else {
        let divisor = 10_i128.checked_pow(u32::try_from(-shift).ok()?)?;
        let (quotient, remainder) = (unscaled / divisor, unscaled % divisor);
        quotient + i128::from(remainder >= divisor - remainder)
    };
    i64::try_from(if negative { -minor } else { minor }).ok()
}

impl TryFrom<String> for Currency {
    type Error = ParseMoneyError;

    fn try_from(code: String) -> Result<Self, Self::Error> {
        Self::parse(&code)
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> Self {
        currency.code().to_owned()
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// As `19.99 EUR`.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.currency.digits();
        let unit = 10_u64.pow(digits);
        let (sign, minor) = (if self.minor < 0 { "-" } else { "" }, self.minor.unsigned_abs());
        if digits == 0 {
            write!(f, "{sign}{minor} {}", self.currency)
        } else {
            write!(f, "{sign}{}.{:0width$} {}", minor / unit, minor % unit, self.currency, width = digits as usize)
        }
    }
}
