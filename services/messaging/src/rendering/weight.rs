//! How much memory a value takes.

use liquid_core::model::ValueView;

/// What a value takes that is empty.
const EMPTY_BYTES: usize = 32;
/// Values lie no deeper in each other: they are copied and dropped by recursion. A JSON text has no more levels either.
const MAX_DEPTH: usize = 130;

/// About how many bytes the value takes; without bound if values lie too deep in each other.
pub(super) fn weight(value: &dyn ValueView) -> usize {
    at_depth(value, 0)
}

fn at_depth(value: &dyn ValueView, depth: usize) -> usize {
    if depth > MAX_DEPTH {
        return usize::MAX;
    }
    let inside = if let Some(scalar) = value.as_scalar() {
        scalar.to_kstr().len()
    } else if let Some(items) = value.as_array() {
        sum(items.values().map(|item| at_depth(item, depth + 1)))
    } else if let Some(fields) = value.as_object() {
        sum(fields.iter().map(|(name, value)| at_depth(value, depth + 1).saturating_add(name.len())))
    } else {
        0
    };
    inside.saturating_add(EMPTY_BYTES)
}

fn sum(weights: impl Iterator<Item = usize>) -> usize {
    weights.fold(0, usize::saturating_add)
}
