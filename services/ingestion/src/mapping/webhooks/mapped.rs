//! Webhooks of anybody, by a mapping.

use std::collections::BTreeMap;

use definitions::{Delivered, Mapping, Otherwise};
use domain::Timestamp;
use serde_json::Value;

use super::{MAX_DRAFT_BYTES, MAX_LINES, Meaning, Payload, hash_of};
use crate::mapping::json::demands;
use crate::mapping::{MAX_DEPTH, Refusal};

/// A loop may copy the whole payload for each element.
const MAX_COPIED_BYTES: usize = 512 << 20;

pub(super) fn read(
    mapping: &Mapping,
    source: &str,
    headers: &BTreeMap<&str, &str>,
    now: Timestamp,
    payload: &Payload<'_>,
) -> Result<Meaning, Refusal> {
    let demands = demands(payload.text);
    if demands.depth > MAX_DEPTH {
        return Err(Refusal::TooDeep);
    }
    if demands.number_out_of_range {
        return Err(Refusal::NumberOutOfRange);
    }
    let value: Value = serde_json::from_str(payload.text).map_err(|_| Refusal::NotAnObject)?;
    let count = elements(&value);
    if count > MAX_LINES || (mapping.has_loops() && count * payload.text.len() > MAX_COPIED_BYTES) {
        return Err(Refusal::TooManyElements { count });
    }
    let hash = hash_of(payload.text);
    let delivered = Delivered { payload: &value, headers, now, source, hash: &hash, max_bytes: MAX_DRAFT_BYTES };
    let events = mapping.events(delivered).map_err(Refusal::NotComputed)?;
    match (events.is_empty(), mapping.otherwise) {
        (true, Otherwise::Ignore) => Ok(Meaning::Nothing),
        (true, Otherwise::DeadLetter) => Err(Refusal::NotWanted),
        (false, _) => Ok(Meaning::Events(events.iter().map(Value::to_string).collect())),
    }
}

/// How much a loop may have to go through: the elements of all lists, or the members of the largest object if that is more.
fn elements(value: &Value) -> usize {
    fn count(value: &Value, widest: &mut usize) -> usize {
        match value {
            Value::Array(items) => items.len() + items.iter().map(|item| count(item, widest)).sum::<usize>(),
            Value::Object(object) => {
                *widest = object.len().max(*widest);
                object.values().map(|value| count(value, widest)).sum()
            }
            _ => 0,
        }
    }
    let mut widest = 0;
    count(value, &mut widest).max(widest)
}
