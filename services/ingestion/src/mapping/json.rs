//! JSON as it came: objects whose values stay text until somebody asks, so that what nobody asks for is kept to the letter and
//! no amount ever passes through a float.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// A JSON object: names and untouched values, in their order. Where a name comes twice, the last counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Object<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

/// A value that has been read and whether its text says no more than what was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reading<T> {
    pub(crate) value: T,
    /// False where something of the text is lost in `value` (digits beyond the minor unit, blanks, capitals).
    pub(crate) whole: bool,
}

impl<'a> Object<'a> {
    /// The object that the text is; none if it is not one.
    pub(crate) fn read(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The object under a name; empty if there is none.
    pub(crate) fn object(&self, name: &str) -> Self {
        self.get(name).and_then(|raw| Self::read(raw.get())).unwrap_or_default()
    }

    /// The value under a name, unless it is null.
    pub(crate) fn get(&self, name: &str) -> Option<&'a RawValue> {
        let (_, raw) = self.0.iter().rev().find(|(known, _)| known == name)?;
        (raw.get() != "null").then_some(*raw)
    }

    /// Whether there is a value under a name that is not null.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// A text or a number, as text without blanks around it; nothing if it is empty.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.get(name).and_then(text).map(|reading| reading.value)
    }

    /// Reads the first of the names that `read` understands, and takes it out if the reading says all of it.
    pub(crate) fn take<T>(&mut self, names: &[&str], read: impl Fn(&RawValue) -> Option<Reading<T>>) -> Option<T> {
        let (name, reading) = names.iter().find_map(|name| Some((*name, read(self.get(name)?)?)))?;
        if reading.whole {
            self.remove(name);
        }
        Some(reading.value)
    }

    /// Takes a text or number out.
    pub(crate) fn take_text(&mut self, names: &[&str]) -> Option<String> {
        self.take(names, text)
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.0.retain(|(known, _)| known != name);
    }

    /// Keeps what `keep` says.
    pub(crate) fn retain(&mut self, keep: impl Fn(&str, &RawValue) -> bool) {
        self.0.retain(|(name, raw)| keep(name, raw));
    }

    /// The names and values, in their order.
    pub(crate) fn members(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(name, raw)| (name.as_ref(), *raw))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds what `other` has under names that are not here yet.
    pub(crate) fn fill_from(&mut self, other: Self) {
        if other.is_empty() {
            return;
        }
        let own: HashSet<&str> = self.0.iter().map(|(name, _)| name.as_ref()).collect();
        let missing: Vec<_> = other.0.into_iter().filter(|(name, _)| !own.contains(name.as_ref())).collect();
        self.0.extend(missing);
    }

    /// Adds a value under a name that is not here yet; one that is here stays.
    pub(crate) fn fill(&mut self, name: &'a str, raw: &'a RawValue) {
        if !self.0.iter().any(|(known, _)| known == name) {
            self.0.push((Cow::Borrowed(name), raw));
        }
    }

    /// The object as JSON text, its values untouched; none if it is empty.
    pub(crate) fn to_json(&self) -> Option<String> {
        self.to_json_with(&[])
    }

    /// The object as JSON text, with further objects in it under names that it does not have itself.
    pub(crate) fn to_json_with(&self, further: &[(&str, &Self)]) -> Option<String> {
        let own = self.0.iter().map(|(name, raw)| (name.as_ref(), Cow::Borrowed(raw.get())));
        let further = further.iter().filter(|(name, _)| !self.0.iter().any(|(known, _)| known == name));
        let further = further.filter_map(|(name, object)| Some((*name, Cow::Owned(object.to_json()?))));
        let mut json = String::new();
        for (name, raw) in own.chain(further) {
            json.push(if json.is_empty() { '{' } else { ',' });
            push_text(&mut json, name);
            json.push(':');
            json.push_str(&raw);
        }
        if !json.is_empty() {
            json.push('}');
        }
        (!json.is_empty()).then_some(json)
    }
}

/// Writes a text of JSON. Hardly any name has something to escape.
fn push_text(json: &mut String, text: &str) {
    if text.bytes().any(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)) {
        json.push_str(&serde_json::Value::from(text).to_string());
    } else {
        json.push('"');
        json.push_str(text);
        json.push('"');
    }
}

/// A text or a number as text.
pub(crate) fn text(raw: &RawValue) -> Option<Reading<String>> {
    let scalar = scalar(raw)?;
    let trimmed = scalar.trim();
    (!trimmed.is_empty()).then(|| Reading { value: trimmed.to_owned(), whole: trimmed.len() == scalar.len() })
}

/// `true` or `false`.
pub(crate) fn boolean(raw: &RawValue) -> Option<bool> {
    serde_json::from_str(raw.get()).ok()
}

/// The elements of an array, untouched.
pub(crate) fn elements(raw: &RawValue) -> Option<Vec<&RawValue>> {
    serde_json::from_str(raw.get()).ok()
}

/// A text without its quotes, or a number as it stands.
fn scalar(raw: &RawValue) -> Option<Cow<'_, str>> {
    match raw.get().as_bytes().first()? {
        b'"' => serde_json::from_str::<Text<'_>>(raw.get()).ok().map(|text| text.0),
        b'-' | b'0'..=b'9' => Some(Cow::Borrowed(raw.get())),
        _ => None,
    }
}

/// Borrows where there is nothing to unescape.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// As many as most objects of an event have, or more.
const USUAL_ENTRIES: usize = 16;

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                // One that is empty, as many of an event are, takes no memory.
                let Some((name, raw)) = map.next_entry::<Text<'de>, &'de RawValue>()? else {
                    return Ok(Object::default());
                };
                let mut entries = Vec::with_capacity(USUAL_ENTRIES);
                entries.push((name.0, raw));
                while let Some((name, raw)) = map.next_entry::<Text<'de>, &'de RawValue>()? {
                    entries.push((name.0, raw));
                }
                Ok(Object(entries))
            }
        }

        deserializer.deserialize_map(Entries)
    }
}

/// What a text of JSON asks of its readers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Demands {
    /// How deep arrays and objects lie in one another.
    pub(crate) depth: usize,
    /// A number is beyond what a double-precision float can hold, as most readers take numbers.
    pub(crate) number_out_of_range: bool,
}

/// A number without an exponent that is no longer is no larger than 10^300, which a double-precision float can hold.
const SAFE_DIGITS: usize = 300;

/// Looks a text of valid JSON over without building anything of it.
pub(crate) fn demands(json: &str) -> Demands {
    let mut demands = Demands::default();
    let bytes = json.as_bytes();
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'"' => at = end_of_text(bytes, at),
            b'{' | b'[' => {
                depth += 1;
                demands.depth = demands.depth.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'-' | b'0'..=b'9' => {
                let more =
                    bytes[at..].iter().take_while(|b| matches!(b, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'));
                let end = at + more.count();
                let number = &bytes[at - 1..end];
                if number.len() > SAFE_DIGITS || number.iter().any(|b| matches!(b, b'e' | b'E')) {
                    let number = json.get(at - 1..end).and_then(|number| number.parse::<f64>().ok());
                    demands.number_out_of_range |= number.is_some_and(f64::is_infinite);
                }
                at = end;
            }
            _ => {}
        }
    }
    demands
}

/// Behind the quotation mark that ends the text begun before `at`.
fn end_of_text(bytes: &[u8], mut at: usize) -> usize {
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        at += found;
        if bytes[at] == b'"' {
            return at + 1;
        }
        at += 2;
    }
    bytes.len().max(at)
}

/// Half a pair of UTF-16 code units (`\ud83d` alone) is what JavaScript makes of an emoji cut in two. No reader accepts it, so it
/// becomes the replacement character, which is as long.
pub fn mend_surrogates(json: &str) -> Cow<'_, str> {
    let mut broken = Vec::new();
    let bytes = json.as_bytes();
    let mut at = 0;
    while let Some(found) = json.get(at..).and_then(|rest| rest.find('\\')) {
        let start = at + found;
        match unit(bytes, start) {
            Some(0xD800..=0xDBFF) if matches!(unit(bytes, start + 6), Some(0xDC00..=0xDFFF)) => at = start + 12,
            Some(0xD800..=0xDFFF) => {
                broken.push(start);
                at = start + 6;
            }
            Some(_) => at = start + 6,
            // A backslash and what it escapes; that may be the first byte of a longer character.
            None => at = start + 1 + json[start + 1..].chars().next().map_or(0, char::len_utf8),
        }
    }
    if broken.is_empty() {
        return Cow::Borrowed(json);
    }
    let mut mended = json.to_owned();
    for start in broken {
        mended.replace_range(start..start + 6, "\\ufffd");
    }
    Cow::Owned(mended)
}

/// The code unit of the escape `\uXXXX` at `start`.
fn unit(bytes: &[u8], start: usize) -> Option<u16> {
    let digits = bytes.get(start..start + 6)?.strip_prefix(b"\\u")?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}
