//! Reads what the scripts answer.

use ::redis::{ErrorKind, RedisError, RedisResult, Value};
use bytes::Bytes;
use domain::Timestamp;
use stream::{Key, StorePosition};

/// The view's fields, in the order in which the scripts read them.
pub(super) const VIEW_FIELDS: [&str; 5] = ["layout", "generation", "log", "header", "pending"];

/// What a view says of itself.
#[derive(Debug)]
pub(super) struct ViewFields {
    pub(super) position: StorePosition,
    /// A batch was begun and not ended: its data is not that of the position.
    pub(super) half_written: bool,
}

impl ViewFields {
    /// What it stands for. A view that is half written stands for nothing: it is rebuilt, under keys that nothing has touched.
    pub(super) fn standing(self) -> Option<StorePosition> {
        (!self.half_written).then_some(self.position)
    }
}

/// An answer that is not what the script gives: somebody else's key, or a proxy that changes answers.
pub(super) fn strange(what: &'static str) -> RedisError {
    (ErrorKind::UnexpectedReturnType, "an answer that is not understood", what.to_owned()).into()
}

/// The view; none where there is none, or none of this layout.
pub(super) fn view(value: Value, ours: &str) -> RedisResult<Option<ViewFields>> {
    let fields = array(value)?;
    let mut fields = fields.into_iter().map(text);
    let mut next = || fields.next().unwrap_or_else(|| Err(strange("view")));
    let (layout, generation, log, header, pending) = (next()?, next()?, next()?, next()?, next()?);
    let (Some(layout), Some(generation), Some(log), Some(header)) = (layout, generation, log, header) else {
        return Ok(None);
    };
    if layout != ours {
        return Ok(None);
    }
    let half_written = pending.as_deref() != Some(&*header);
    let header_offset = header.parse().map_err(|_| strange("header offset"))?;
    Ok(Some(ViewFields { position: StorePosition { generation, log, header_offset }, half_written }))
}

/// An array.
pub(super) fn array(value: Value) -> RedisResult<Vec<Value>> {
    match value {
        Value::Array(values) => Ok(values),
        _ => Err(strange("no array")),
    }
}

/// A string, or nil.
pub(super) fn bytes(value: Value) -> RedisResult<Option<Bytes>> {
    match value {
        Value::Nil => Ok(None),
        Value::BulkString(bytes) => Ok(Some(bytes.into())),
        _ => Err(strange("no string")),
    }
}

/// A string of UTF-8, or nil.
pub(super) fn text(value: Value) -> RedisResult<Option<String>> {
    match value {
        Value::Nil => Ok(None),
        Value::BulkString(bytes) => String::from_utf8(bytes).map(Some).map_err(|_| strange("not UTF-8")),
        Value::SimpleString(text) => Ok(Some(text)),
        Value::Okay => Ok(Some("OK".into())),
        _ => Err(strange("no string")),
    }
}

/// A number that is not negative.
pub(super) fn count(value: &Value) -> RedisResult<u64> {
    match value {
        Value::Int(count) => u64::try_from(*count).map_err(|_| strange("a negative number")),
        _ => Err(strange("no number")),
    }
}

/// Keys.
pub(super) fn keys(value: Value) -> RedisResult<Vec<Key>> {
    let key = |value| text(value)?.map(Key::from).ok_or_else(|| strange("a key"));
    array(value)?.into_iter().map(key).collect()
}

/// The due keys: members with their scores in turn, and their values.
pub(super) fn due(pairs: Value, values: Value) -> RedisResult<Vec<(Timestamp, Key, Option<Bytes>)>> {
    let mut pairs = array(pairs)?.into_iter();
    let mut due = Vec::with_capacity(pairs.len() / 2);
    for value in array(values)? {
        let (Some(Value::BulkString(member)), Some(at)) = (pairs.next(), pairs.next()) else {
            return Err(strange("due keys"));
        };
        let key = member.get(1..).and_then(|key| std::str::from_utf8(key).ok()).ok_or_else(|| strange("a due key"))?;
        let at = text(at)?.and_then(|at| at.parse::<f64>().ok()).ok_or_else(|| strange("a due time"))?;
        due.push((Timestamp::from_millis(at as i64), Key::from(key), bytes(value)?));
    }
    Ok(due)
}
