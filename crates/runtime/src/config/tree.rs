use std::collections::BTreeMap;

use super::origin::Origin;

/// A value and where it was written.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) origin: Origin,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    Array(Vec<Node>),
    Table(Table),
}

pub(super) type Table = BTreeMap<String, Node>;

impl Node {
    pub(super) const fn table(origin: Origin) -> Self {
        Self { value: Value::Table(Table::new()), origin }
    }

    /// Lays `over` on this: tables are merged key by key, anything else is replaced.
    pub(super) fn lay(&mut self, over: Self) {
        match (&mut self.value, over.value) {
            (Value::Table(under), Value::Table(over)) => {
                for (key, node) in over {
                    match under.get_mut(&key) {
                        Some(known) => known.lay(node),
                        None => drop(under.insert(key, node)),
                    }
                }
            }
            (_, value) => *self = Self { value, origin: over.origin },
        }
    }

    /// The node at a path, or as far down that path as there are nodes.
    pub(super) fn nearest(&self, path: &[String]) -> &Self {
        let deeper = path.split_first().and_then(|(key, rest)| match &self.value {
            Value::Table(table) => table.get(key).map(|node| node.nearest(rest)),
            Value::Array(items) => {
                key.parse().ok().and_then(|index: usize| items.get(index)).map(|node| node.nearest(rest))
            }
            _ => None,
        });
        deeper.unwrap_or(self)
    }

    pub(super) fn at(&self, path: &[String]) -> Option<&Self> {
        path.iter().try_fold(self, |node, key| match &node.value {
            Value::Table(table) => table.get(key),
            _ => None,
        })
    }

    /// Puts a node at a path, making the tables on the way; what stands in the way is replaced.
    pub(super) fn put(&mut self, path: &[String], node: Self) {
        let Some((key, rest)) = path.split_first() else {
            self.lay(node);
            return;
        };
        if !matches!(self.value, Value::Table(_)) {
            *self = Self::table(node.origin.clone());
        }
        if let Value::Table(table) = &mut self.value {
            table.entry(key.clone()).or_insert_with(|| Self::table(node.origin.clone())).put(rest, node);
        }
    }

    /// Takes the node at a path away; an item of an array goes with the whole array.
    pub(super) fn remove(&mut self, path: &[String]) {
        let Some((key, rest)) = path.split_first() else { return };
        if let Value::Table(table) = &mut self.value {
            match table.get_mut(key) {
                Some(node) if !rest.is_empty() && matches!(node.value, Value::Table(_)) => node.remove(rest),
                _ => drop(table.remove(key)),
            }
        }
    }
}

/// What kind of value it is, for people.
impl Value {
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Bool(_) => "a boolean",
            Self::Integer(_) => "a whole number",
            Self::Float(_) => "a number",
            Self::Text(_) => "a text",
            Self::Array(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}
