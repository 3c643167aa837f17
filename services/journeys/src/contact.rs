//! What becomes known of the customer: how to reach her, her language, her time zone.

use schemas::{EventKind, StorefrontEvent};
use serde::Deserialize;

use crate::state::CustomerContact;

/// Longer than any that is real; such a one is not taken over.
const MAX_BYTES: usize = 320;

/// Takes over what the customer said of herself. Returns whether something is new.
pub(crate) fn observe(known: &mut Option<CustomerContact>, event: &StorefrontEvent) -> bool {
    let Some(told) = &event.contact else { return false };
    let is_trait = event.kind == EventKind::Identify;
    // Language and zone of a mere visitor are not kept: most visitors never get a message.
    let traits = if is_trait { (&told.locale, &told.time_zone) } else { (&None, &None) };
    let told = [&told.email, &told.phone, &told.first_name, &told.last_name, traits.0, traits.1];
    if told.iter().all(|value| usable(value.as_deref()).is_none()) {
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
        changed |= replace(field, usable(value.as_deref()));
    }
    changed
}

/// Takes over what her device says: for customers of whom something is kept anyway.
pub(crate) fn observe_device(known: &mut Option<CustomerContact>, event: &StorefrontEvent) -> bool {
    let device = Device::of(event);
    let (zone, locale) = (usable(device.zone.as_deref()), usable(device.locale.as_deref()));
    if zone.is_none() && locale.is_none() {
        return false;
    }
    let contact = known.get_or_insert_default();
    let zone_changed = replace(&mut contact.seen_time_zone, zone);
    // A language that she chose stays; her device only fills the gap.
    zone_changed | (contact.locale.is_none() && replace(&mut contact.locale, locale))
}

#[derive(Default, Deserialize)]
struct Device {
    #[serde(rename = "timezone")]
    zone: Option<String>,
    locale: Option<String>,
}

impl Device {
    fn of(event: &StorefrontEvent) -> Self {
        let context = event.context_json.as_deref().filter(|json| json.contains("timezone") || json.contains("locale"));
        let mut device: Self = context.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
        if let Some(contact) = event.contact.as_ref().filter(|_| event.kind != EventKind::Identify) {
            device.zone = device.zone.or_else(|| contact.time_zone.clone());
            device.locale = device.locale.or_else(|| contact.locale.clone());
        }
        device
    }
}

fn usable(value: Option<&str>) -> Option<&str> {
    value.map(str::trim).filter(|value| !value.is_empty() && value.len() <= MAX_BYTES)
}

fn replace(field: &mut Option<String>, value: Option<&str>) -> bool {
    match value {
        Some(value) if field.as_deref() != Some(value) => {
            *field = Some(value.to_owned());
            true
        }
        _ => false,
    }
}
