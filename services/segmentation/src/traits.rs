//! What the shop tells of a customer by names of its own.

use serde_json::{Map, Value};

use crate::state::MAX_TRAITS_BYTES;

/// Takes traits over: a new value replaces the one before, null takes it away. What does not fit any more is left out, those
/// that are there first.
pub(crate) fn learn(kept: &mut Option<String>, told: &str) {
    let Ok(Value::Object(told)) = serde_json::from_str(told) else { return };
    let mut traits = match kept.as_deref().map(serde_json::from_str) {
        Some(Ok(Value::Object(traits))) => traits,
        _ => Map::new(),
    };
    for (name, value) in told {
        let before = traits.remove(&name);
        if value.is_null() {
            continue;
        }
        traits.insert(name.clone(), value);
        if Value::Object(traits.clone()).to_string().len() > MAX_TRAITS_BYTES {
            traits.remove(&name);
            traits.extend(before.map(|before| (name, before)));
        }
    }
    *kept = (!traits.is_empty()).then(|| Value::Object(traits).to_string());
}
