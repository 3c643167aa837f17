//! What orders, customers and events have in common.

use domain::{Currency, Money};
use serde_json::Value;
use serde_json::value::RawValue;

use super::names::TRAITS;
use super::{Terms, Unfit};
use crate::ids::{self, names_somebody};
use crate::mapping::amounts::whole_number;
use crate::mapping::draft::Draft;
use crate::mapping::json::{self, Object, demands, mend_surrogates};
use crate::mapping::{MAX_DEPTH, Refusal};

/// Longer values are cut where they are told.
const SHOWN_CHARS: usize = 40;

/// A value as it is told.
pub(super) fn shown(raw: &RawValue) -> String {
    let text = json::text(raw).map_or_else(|| raw.get().to_owned(), |text| text.value);
    text.chars().take(SHOWN_CHARS).collect()
}

/// Takes out whose it is and writes it into a call. Somebody of whom only an address is known goes by that; from there on by its
/// hash, as at the door.
pub(super) fn who(object: &mut Object<'_>, call: &mut Draft) -> Result<(), Unfit> {
    let mut take = |name: &str| {
        let id = object.text(name).filter(|id| names_somebody(id));
        object.remove(name);
        id
    };
    let (customer_id, anonymous_id) = (take("customer_id"), take("anonymous_id"));
    let address = || object.text("email").filter(|email| ids::is_email(email));
    let user_id = customer_id.or_else(|| if anonymous_id.is_none() { address() } else { None });
    if user_id.is_none() && anonymous_id.is_none() {
        return Err(Unfit::NoCustomer);
    }
    call.text_if("userId", user_id.as_deref());
    call.text_if("anonymousId", anonymous_id.as_deref());
    Ok(())
}

/// Takes the traits that have columns of their own, and those that begin with `traits.`.
pub(super) fn traits(object: &mut Object<'_>) -> Draft {
    let mut traits = Draft::default();
    for (column, name) in TRAITS {
        traits.take(name, object, column);
    }
    take_beginning("traits.", object, &mut traits);
    traits
}

/// Takes out what begins so, without its beginning; under a name that is taken it is kept all the same, as [`Draft::keep`] has it.
pub(super) fn take_beginning(beginning: &str, object: &mut Object<'_>, into: &mut Draft) {
    let name_of = |name: &str| name.strip_prefix(beginning).filter(|rest| !rest.is_empty()).map(str::to_owned);
    for (name, raw) in object.members().filter(|(_, raw)| raw.get() != "null") {
        if let Some(name) = name_of(name) {
            into.keep(&name, raw);
        }
    }
    object.retain(|name, _| name_of(name).is_none());
}

/// Takes the consent out, as JSON.
pub(super) fn consent(object: &mut Object<'_>) -> Result<Option<&'static str>, Unfit> {
    let Some(raw) = object.get("consent") else { return Ok(None) };
    let said = json::text(raw).map_or_else(|| raw.get().to_owned(), |text| text.value).to_ascii_lowercase();
    let consent = match said.as_str() {
        "true" | "yes" | "y" | "1" => "true",
        "false" | "no" | "n" | "0" => "false",
        _ => return Err(Unfit::BadConsent { value: shown(raw) }),
    };
    object.remove("consent");
    Ok(Some(consent))
}

/// The currency; where none is said, it is this one.
pub(super) fn currency(object: &Object<'_>, otherwise: Currency) -> Result<Currency, Unfit> {
    let Some(raw) = object.get("currency") else { return Ok(otherwise) };
    let code = json::text(raw).and_then(|code| Currency::parse(&code.value).ok());
    code.ok_or_else(|| Unfit::BadCurrency { value: shown(raw) })
}

/// Makes sure that a column is a whole number, if it is there.
pub(super) fn check_whole(object: &Object<'_>, column: &str) -> Result<(), Unfit> {
    match object.get(column) {
        Some(raw) if whole_number(raw).is_none() => {
            Err(Unfit::BadNumber { column: column.to_owned(), value: shown(raw) })
        }
        _ => Ok(()),
    }
}

/// Adds the members of a column that is an object, or a text that is one, and takes it out.
pub(super) fn take_object(column: &'static str, object: &mut Object<'_>, into: &mut Draft) -> Result<(), Unfit> {
    let Some(raw) = object.get(column) else { return Ok(()) };
    let refuse = || Unfit::BadObject { column, value: shown(raw) };
    let written = if raw.get().starts_with('"') {
        let text: String = serde_json::from_str(raw.get()).map_err(|_| refuse())?;
        mend_surrogates(text.trim()).into_owned()
    } else {
        raw.get().to_owned()
    };
    if !written.is_empty() {
        let members = Object::read(&written).ok_or_else(refuse)?;
        if demands(&written).depth >= MAX_DEPTH {
            return Err(Refusal::TooDeep.into());
        }
        into.rest(&members, &[]);
    }
    object.remove(column);
    Ok(())
}

/// Points between thousands taken out and the comma made a point; none where points do not stand so.
fn without_comma(text: &str) -> Option<String> {
    let (whole, fraction) = text.split_once(',').unwrap_or((text, ""));
    let mut groups = whole.trim_start_matches(['-', '+']).split('.');
    let first = groups.next().unwrap_or_default();
    let are_thousands = groups.clone().all(|group| group.len() == 3) && (groups.next().is_none() || first.len() <= 3);
    let fits = are_thousands && !fraction.contains('.') && !first.is_empty();
    fits.then(|| text.replace('.', "").replace(',', "."))
}

/// Whether a text may mean thousands where it is read as a fraction, or says more than the currency has digits for.
fn is_too_fine(amount: &str, currency: Currency) -> bool {
    let (whole, fraction) = amount.trim_start_matches(['-', '+']).split_once('.').unwrap_or((amount, ""));
    let most = currency.digits() as usize;
    let looks_like_thousands = fraction.len() == 3 && most < 3 && whole.len() <= 3 && !whole.starts_with('0');
    let beyond = fraction.get(most..).unwrap_or_default();
    looks_like_thousands || beyond.bytes().any(|digit| digit != b'0')
}

impl Terms<'_> {
    /// Takes an amount out, as JSON that the mapping of events reads.
    pub(super) fn amount(
        &self,
        object: &mut Object<'_>,
        column: &str,
        currency: Currency,
    ) -> Result<Option<String>, Unfit> {
        let Some(raw) = object.get(column) else { return Ok(None) };
        let refuse = || Unfit::BadAmount { column: column.to_owned(), value: shown(raw) };
        let text = json::text(raw).ok_or_else(refuse)?.value;
        let is_text = raw.get().starts_with('"');
        let plain = if self.decimal_comma && is_text { without_comma(&text).ok_or_else(refuse)? } else { text.clone() };
        Money::parse(&plain, currency).map_err(|_| refuse())?;
        if is_text && is_too_fine(&plain, currency) {
            return Err(Unfit::TooFine { column: column.to_owned(), value: shown(raw), currency });
        }
        object.remove(column);
        Ok(Some(if plain == text { raw.get().to_owned() } else { Value::from(plain).to_string() }))
    }
}
