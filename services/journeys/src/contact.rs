//! What becomes known of the customer: how to reach her, her language, her time zone.

use domain::Timestamp;
use schemas::{LocaleAndZone, StorefrontEvent};

use crate::state::CustomerContact;

/// Longer than any that is real; such a one is not taken over.
const MAX_BYTES: usize = 320;

/// Takes over what the customer said of herself. Returns whether something is new. What is older than the last that was told is told
/// late, as by an import, and only fills what is not there. Of her e-mail address the one that was told of last is hers, as
/// segmentation has it, which says whether she can be reached there.
pub(crate) fn observe(known: &mut Option<CustomerContact>, event: &StorefrontEvent) -> bool {
    let Some(told) = &event.contact else { return false };
    let LocaleAndZone { locale, time_zone: zone } = event.chosen_locale_and_zone();
    let text = |value: &'_ Option<String>| usable(value.as_deref()).map(str::to_owned);
    let email = text(&told.email);
    let told = [text(&told.phone), text(&told.first_name), text(&told.last_name), locale, zone];
    if email.is_none() && told.iter().all(Option::is_none) {
        return false;
    }
    let contact = known.get_or_insert_default();
    let at = Timestamp::from_millis(event.event_time);
    let told_since = contact.told_at.is_some_and(|told_at| at < told_at);
    let fields = [
        &mut contact.phone,
        &mut contact.first_name,
        &mut contact.last_name,
        &mut contact.locale,
        &mut contact.time_zone,
    ];
    let mut changed = false;
    // A state from before this was kept knows when anything was new.
    let email_at = contact.email.as_ref().and(contact.email_at.or(contact.told_at));
    if email.is_some() && email_at.is_none_or(|email_at| email_at <= at) {
        changed = contact.email != email || contact.email_at != Some(at);
        (contact.email, contact.email_at) = (email, Some(at));
    }
    let tells_more = told.iter().any(Option::is_some);
    for (field, value) in fields.into_iter().zip(told) {
        let is_known = field.is_some();
        changed |= replace(field, value.filter(|_| !(told_since && is_known)));
    }
    // Also where it is what was known: she said it once more then.
    if tells_more && !told_since {
        changed |= contact.told_at.replace(at) != Some(at);
    }
    changed
}

/// Takes over what her device says: for customers of whom something is kept anyway.
pub(crate) fn observe_device(known: &mut Option<CustomerContact>, event: &StorefrontEvent) -> bool {
    let LocaleAndZone { locale, time_zone: zone } = event.device_locale_and_zone();
    if zone.is_none() && locale.is_none() {
        return false;
    }
    let contact = known.get_or_insert_default();
    let zone_changed = replace(&mut contact.seen_time_zone, zone);
    // A language that she chose stays; her device only fills the gap.
    zone_changed | (contact.locale.is_none() && replace(&mut contact.locale, locale))
}

fn usable(value: Option<&str>) -> Option<&str> {
    value.map(str::trim).filter(|value| !value.is_empty() && value.len() <= MAX_BYTES)
}

fn replace(field: &mut Option<String>, value: Option<String>) -> bool {
    if value.is_none() || *field == value {
        return false;
    }
    *field = value;
    true
}
