//! A JSON object in the making.

use std::collections::HashSet;

use serde_json::value::RawValue;

use super::json::Object;

/// A JSON object in the making. A name that is taken is not taken again.
#[derive(Default)]
pub(super) struct Draft {
    json: String,
    names: HashSet<String>,
}

impl Draft {
    /// Adds a value that is JSON already; one under a name that is taken is left out.
    pub(super) fn raw(&mut self, name: &str, json: &str) {
        if !self.names.insert(name.to_owned()) {
            return;
        }
        self.json.push(if self.json.is_empty() { '{' } else { ',' });
        self.json.push_str(&serde_json::Value::from(name).to_string());
        self.json.push(':');
        self.json.push_str(json);
    }

    /// Adds a text.
    pub(super) fn text(&mut self, name: &str, text: &str) {
        self.raw(name, &serde_json::Value::from(text).to_string());
    }

    /// Adds a text that there may be.
    pub(super) fn text_if(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(name, text);
        }
    }

    /// Adds a value that there may be, which is JSON already.
    pub(super) fn raw_if(&mut self, name: &str, json: Option<String>) {
        if let Some(json) = json {
            self.raw(name, &json);
        }
    }

    /// Adds a value that there may be, untouched.
    pub(super) fn value_if(&mut self, name: &str, value: Option<&RawValue>) {
        if let Some(value) = value {
            self.raw(name, value.get());
        }
    }

    /// Takes a value out of an object, under another name; where that is taken, it stays where it is.
    pub(super) fn take(&mut self, name: &str, object: &mut Object<'_>, from: &str) {
        if let Some(value) = object.get(from).filter(|_| !self.names.contains(name)) {
            self.raw(name, value.get());
            object.remove(from);
        }
    }

    /// Adds all that an object still has. What has the name of something else here gets `payload_` before it, and so does what
    /// has one of the names that mean something to the specification and not the same to the platform.
    pub(super) fn rest(&mut self, object: &Object<'_>, mean_something_else: &[&str]) {
        for (name, value) in object.members() {
            if mean_something_else.contains(&name) {
                self.keep(&format!("payload_{name}"), value);
            } else {
                self.keep(name, value);
            }
        }
    }

    /// Adds a value; where its name is taken, under that name with `payload_` before it.
    pub(super) fn keep(&mut self, name: &str, value: &RawValue) {
        let mut own = name.to_owned();
        while self.names.contains(&own) {
            own = format!("payload_{own}");
        }
        self.raw(&own, value.get());
    }

    /// Whether a name is taken.
    pub(super) fn has(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// What is there so far: an object that is not closed yet.
    pub(super) fn so_far(&self) -> &str {
        &self.json
    }

    /// Whether there is nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        self.json.is_empty()
    }

    /// The object as JSON.
    pub(super) fn finish(mut self) -> String {
        self.json.push_str(if self.json.is_empty() { "{}" } else { "}" });
        self.json
    }
}
