//! Amounts and counts, exactly: from the JSON text to whole units, with no float in between.

use domain::{Currency, Money};
use serde_json::value::RawValue;

use super::json::{self, Object, Reading};

/// The currency that amounts of an object are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AmountsIn {
    /// As the object, or what holds it, says.
    Said(Currency),
    /// It says nothing: the shop's currency.
    Assumed(Currency),
    /// It says something that is no currency: how many digits an amount has can't be known, so none is read.
    Unknown,
}

impl AmountsIn {
    /// The currency of an object, or that of what holds it.
    pub(crate) fn of(object: &Object<'_>, otherwise: Self) -> Self {
        match object.get("currency") {
            None => otherwise,
            Some(raw) => read_currency(raw).map_or(Self::Unknown, |reading| Self::Said(reading.value)),
        }
    }

    pub(crate) fn currency(self) -> Option<Currency> {
        match self {
            Self::Said(currency) | Self::Assumed(currency) => Some(currency),
            Self::Unknown => None,
        }
    }

    /// Takes an amount out, in minor units.
    pub(crate) fn take(self, object: &mut Object<'_>, name: &str) -> Option<i64> {
        let currency = self.currency()?;
        object.take(&[name], |raw| minor(raw, currency))
    }

    /// The code to write beside `amounts`: where one was read, or where the event says so itself.
    pub(crate) fn code(self, amounts: &[Option<i64>]) -> Option<String> {
        match self {
            Self::Said(currency) => Some(currency.code().to_owned()),
            Self::Assumed(currency) => amounts.iter().any(Option::is_some).then(|| currency.code().to_owned()),
            Self::Unknown => None,
        }
    }
}

/// Takes the currency out, if its text says no more than the code.
pub(crate) fn take_currency(object: &mut Object<'_>) {
    object.take(&["currency"], read_currency);
}

fn read_currency(raw: &RawValue) -> Option<Reading<Currency>> {
    let text = json::text(raw)?;
    let currency = Currency::parse(&text.value).ok()?;
    Some(Reading { value: currency, whole: text.whole && currency.code() == text.value })
}

/// A number, or a number as text, in minor units of the currency.
fn minor(raw: &RawValue, currency: Currency) -> Option<Reading<i64>> {
    let text = json::text(raw)?.value;
    let money = Money::parse(&text, currency).ok()?;
    Some(Reading { value: money.minor, whole: decimals(&text) <= i64::from(currency.digits()) })
}

/// A whole number; `2.0` is one.
pub(crate) fn whole_number(raw: &RawValue) -> Option<Reading<i64>> {
    let text = json::text(raw)?.value;
    let (number, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let value = number.parse().ok().filter(|_| fraction.bytes().all(|digit| digit == b'0'))?;
    Some(Reading { value, whole: true })
}

/// How many digits a number has behind its point, zeros at the end not counted.
fn decimals(number: &str) -> i64 {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let fraction = mantissa.split_once('.').map_or("", |(_, fraction)| fraction).trim_end_matches('0');
    (fraction.len() as i64).saturating_sub(exponent.parse().unwrap_or(0))
}
