//! What becomes known of the customer: how to reach her, her language, her time zone.
//!
//! The door puts language and zone of the device into the contact where the customer's traits have none. A trait it is only
//! in an `identify`, and only if the context does not say the same.

use schemas::{EventKind, StorefrontEvent};
use serde::Deserialize;

use crate::state::CustomerContact;

/// Longer than any that is real; such a one is not taken over.
const MAX_BYTES: usize = 320;

/// Takes over what the customer said of herself. Returns whether something is new.
pub(crate) fn observe(known: &mut Option<CustomerContact>, event: &StorefrontEvent) -> bool {
    let Some(told) = &event.contact else { return false };
    let (locale, zone) = traits(event);
    let text = |value: &'_ Option<String>| usable(value.as_deref()).map(str::to_owned);
    let told = [text(&told.email), text(&told.phone), text(&told.first_name), text(&told.last_name), locale, zone];
    if told.iter().all(Option::is_none) {
        return false;
    }
    let contact = known.get_or_insert_default();
    let fields = [
        &mut contact.email,
        &mut contact.phone,
        &mut contact.first_name,
        &mut contact.last_name,
        &mut contact.locale,
        &mut contact.time_zone,
    ];
    let mut changed = false;
    for (field, value) in fields.into_iter().zip(told) {
        changed |= replace(field, value);
    }
    changed
}

/// Takes over what her device says: for customers of whom something is kept anyway.
pub(crate) fn observe_device(known: &mut Option<CustomerContact>, event: &StorefrontEvent) -> bool {
    let Device { zone, locale } = Device::of(event);
    if zone.is_none() && locale.is_none() {
        return false;
    }
    let contact = known.get_or_insert_default();
    let zone_changed = replace(&mut contact.seen_time_zone, zone);
    // A language that she chose stays; her device only fills the gap.
    zone_changed | (contact.locale.is_none() && replace(&mut contact.locale, locale))
}

/// Her language and zone, as her traits have them.
fn traits(event: &StorefrontEvent) -> (Option<String>, Option<String>) {
    let Some(contact) = event.contact.as_ref().filter(|_| event.kind == EventKind::Identify) else {
        return (None, None);
    };
    if contact.locale.is_none() && contact.time_zone.is_none() {
        return (None, None);
    }
    let context = Device::of_context(event);
    let chosen = |told: &Option<String>, device: Option<String>| {
        usable(told.as_deref()).filter(|told| device.as_deref() != Some(told)).map(str::to_owned)
    };
    (chosen(&contact.locale, context.locale), chosen(&contact.time_zone, context.zone))
}

#[derive(Default, Deserialize)]
struct Device {
    #[serde(rename = "timezone")]
    zone: Option<String>,
    locale: Option<String>,
}

impl Device {
    fn of(event: &StorefrontEvent) -> Self {
        let mut device = Self::of_context(event);
        if let Some(contact) = event.contact.as_ref().filter(|_| event.kind != EventKind::Identify) {
            device.zone = device.zone.or_else(|| contact.time_zone.clone());
            device.locale = device.locale.or_else(|| contact.locale.clone());
        }
        let keep = |value: Option<String>| value.filter(|value| usable(Some(value)).is_some());
        Self { zone: keep(device.zone), locale: keep(device.locale) }
    }

    fn of_context(event: &StorefrontEvent) -> Self {
        let context = event.context_json.as_deref().filter(|json| json.contains("timezone") || json.contains("locale"));
        context.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default()
    }
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
