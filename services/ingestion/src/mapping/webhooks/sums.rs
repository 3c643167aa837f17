//! Sums of amounts, exactly: in whole minor units.

use domain::{Currency, Money};

/// The sum of amounts in decimal text; none if one of them is no amount, or there are none.
pub(super) fn sum(amounts: &[String], currency: Currency) -> Option<String> {
    let mut total = None;
    for amount in amounts {
        let minor = Money::parse(amount, currency).ok()?.minor;
        total = Some(total.unwrap_or(0_i64).checked_add(minor)?);
    }
    total.map(|minor| decimal(minor, currency.digits()))
}

/// Minor units as decimal text.
fn decimal(minor: i64, digits: u32) -> String {
    let sign = if minor < 0 { "-" } else { "" };
    let size = minor.unsigned_abs();
    let Some(unit) = 10_u64.checked_pow(digits).filter(|_| digits > 0) else { return format!("{sign}{size}") };
    format!("{sign}{}.{:0width$}", size / unit, size % unit, width = digits as usize)
}
