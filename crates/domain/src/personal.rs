//! Texts that are personal data wherever they stand.

/// Whether an id is itself personal, an e-mail address or a phone number: ids go where personal data may not.
pub fn is_personal(id: &str) -> bool {
    let id = id.trim();
    is_email(id) || is_phone(id)
}

/// Whether a text has the form of an e-mail address.
pub fn is_email(text: &str) -> bool {
    let Some((local, host)) = text.rsplit_once('@') else { return false };
    text.len() <= 254
        && !local.is_empty()
        && host.contains('.')
        && !host.starts_with('.')
        && !host.ends_with('.')
        && !text.contains(char::is_whitespace)
}

/// Whether an id is a phone number in international form. (Digits alone are a customer number.)
pub fn is_phone(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or_default();
    let count = digits.bytes().filter(u8::is_ascii_digit).count();
    (7..=15).contains(&count)
        && digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b' ' | b'-' | b'(' | b')' | b'.'))
}
