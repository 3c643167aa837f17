//! Limits on what a store is asked, the same for every store, so that nothing works in one and fails in another.
//!
//! Wanted property: what is too large is refused before anything is written, by an error that names the size and the limit.

use stream::{Label, Labels, LoadRequest, Partition, StateChange, StoreError, StorePosition};

use crate::lookups::MembersQuery;

/// Changes in one apply: a batch is one script, and Redis serves nobody else while it runs.
pub const CHANGES_PER_APPLY: usize = 200_000;
/// Bytes of keys and values in one apply.
pub const BYTES_PER_APPLY: usize = 256 << 20;
/// Bytes of a key.
pub const KEY_BYTES: usize = 4 << 10;
/// Bytes of a value.
pub const VALUE_BYTES: usize = 16 << 20;
/// Keys in one load.
pub const KEYS_PER_LOAD: usize = 200_000;
/// Keys in one lookup.
pub const KEYS_PER_LOOKUP: usize = 1_000;
/// Labels of one key.
pub const LABELS_PER_KEY: usize = stream::MAX_LABELS;
/// Bytes of a label.
pub const LABEL_BYTES: usize = stream::MAX_LABEL_BYTES;
/// Questions for members in one lookup: one a partition.
pub const LISTS_PER_LOOKUP: usize = 10_000;
/// Members in one lookup, all its questions together.
pub const MEMBERS_PER_LOOKUP: usize = 20_000;
/// Due keys in one load.
pub const DUE_PER_LOAD: usize = 200_000;
/// Characters of a generation's name.
pub const GENERATION_CHARACTERS: usize = 64;

/// Checks a batch: its sizes, and that it moves the view forward.
pub(crate) fn check_apply(
    expected: &StorePosition,
    header_offset: i64,
    changes: &[StateChange],
) -> Result<(), StoreError> {
    if header_offset < expected.header_offset {
        return Err(StoreError::Unusable(format!(
            "a view only moves forward: asked to go from the header at {} back to {header_offset}",
            expected.header_offset
        )));
    }
    check_generation(&expected.generation)?;
    at_most("changes in one batch", changes.len(), CHANGES_PER_APPLY)?;
    let bytes = check_changes(changes)?;
    at_most("bytes in one batch", bytes, BYTES_PER_APPLY)
}

/// Checks each change's key and value; gives the bytes of all.
pub(crate) fn check_changes(changes: &[StateChange]) -> Result<usize, StoreError> {
    let mut bytes = 0;
    for change in changes {
        let value = change.value.as_ref().map_or(0, bytes::Bytes::len);
        at_most("bytes of a key", change.key.len(), KEY_BYTES)?;
        at_most("bytes of a state", value, VALUE_BYTES)?;
        if let Labels::Are { before, now } = &change.labels {
            check_labels(now)?;
            check_labels(before.as_deref().unwrap_or_default())?;
        }
        bytes += change.key.len() + value;
    }
    Ok(bytes)
}

fn check_labels(labels: &[Label]) -> Result<(), StoreError> {
    at_most("labels of a key", labels.len(), LABELS_PER_KEY)?;
    labels.iter().try_for_each(|label| at_most("bytes of a label", label.len(), LABEL_BYTES))
}

/// Checks what is asked for.
pub(crate) fn check_load(request: &LoadRequest) -> Result<(), StoreError> {
    at_most("keys in one load", request.keys.len(), KEYS_PER_LOAD)?;
    at_most("due keys in one load", request.due.map_or(0, |query| query.limit), DUE_PER_LOAD)
}

/// Checks what is asked for by a lookup.
pub(crate) fn check_lookup(wanted: &[(Partition, &str)]) -> Result<(), StoreError> {
    at_most("keys in one lookup", wanted.len(), KEYS_PER_LOOKUP)
}

/// Checks what is asked for by label.
pub(crate) fn check_members(asked: &[(Partition, MembersQuery)]) -> Result<(), StoreError> {
    at_most("lists in one lookup", asked.len(), LISTS_PER_LOOKUP)?;
    let members = asked.iter().fold(0_usize, |members, (_, query)| members.saturating_add(query.limit));
    at_most("members in one lookup", members, MEMBERS_PER_LOOKUP)?;
    for (_, query) in asked {
        at_most("bytes of a label", query.label.len(), LABEL_BYTES)?;
        at_most("bytes of a key", query.after.as_deref().map_or(0, str::len), KEY_BYTES)?;
    }
    Ok(())
}

/// A generation is part of key names: letters, digits, `-` and `_`.
pub(crate) fn check_generation(generation: &str) -> Result<(), StoreError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if generation.is_empty() || generation.len() > GENERATION_CHARACTERS || !generation.bytes().all(plain) {
        return Err(StoreError::Unusable(format!(
            "a generation's name is 1 to {GENERATION_CHARACTERS} letters, digits, - or _; not {generation:?}"
        )));
    }
    Ok(())
}

fn at_most(what: &str, size: usize, limit: usize) -> Result<(), StoreError> {
    if size > limit {
        return Err(StoreError::Unusable(format!("too many {what}: {size}, at most {limit}")));
    }
    Ok(())
}
