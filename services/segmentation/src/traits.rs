//! What the shop tells of a customer by names of its own.

use serde_json::{Map, Value};

use crate::state::MAX_TRAITS_BYTES;

/// Takes traits over: a new value replaces the one before, null takes it away. What does not fit any more is left out, those
/// that are there first. What is older than what was `told_since` only adds names that are not there.
pub(crate) fn learn(kept: &mut Option<String>, told: &str, told_since: bool) {
    let Ok(Value::Object(told)) = serde_json::from_str(told) else { return };
    let mut traits = match kept.as_deref().map(serde_json::from_str) {
        Some(Ok(Value::Object(traits))) => traits,
        _ => Map::new(),
    };
    // With the braces; each with its colon and its comma.
    let size = |name: &str, value: &Value| Value::from(name).to_string().len() + value.to_string().len() + 2;
    let mut bytes = 2 + traits.iter().map(|(name, value)| size(name, value)).sum::<usize>();
    for (name, value) in told {
        if told_since && traits.contains_key(&name) {
            continue;
        }
        let before = traits.get(&name).map_or(0, |before| size(&name, before));
        let after = if value.is_null() { 0 } else { size(&name, &value) };
        if value.is_null() {
            traits.remove(&name);
        } else if bytes - before + after <= MAX_TRAITS_BYTES {
            traits.insert(name, value);
        } else {
            continue;
        }
        bytes = bytes - before + after;
    }
    *kept = (!traits.is_empty()).then(|| Value::Object(traits).to_string());
}

/// The same of what has a field of its own.
pub(crate) fn replace(kept: &mut Option<String>, told: Option<String>, told_since: bool) {
    if told.is_some() && (kept.is_none() || !told_since) {
        *kept = told;
    }
}
