use std::collections::BTreeSet;
use std::fmt::{self, Write as _};

use super::tree::{Node, Table, Value};

/// The values in force. Displays as TOML with each value's origin beside it; secrets are redacted.
#[derive(Clone)]
pub struct Effective {
    pub(super) tree: Node,
    pub(super) secrets: BTreeSet<Vec<String>>,
}

impl fmt::Debug for Effective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Effective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Value::Table(sections) = &self.tree.value else { return Ok(()) };
        for (at, (name, section)) in sections.iter().enumerate() {
            if at > 0 {
                f.write_char('\n')?;
            }
            if let Value::Table(table) = &section.value {
                self.write_table(f, &mut vec![name.clone()], table)?;
            }
        }
        Ok(())
    }
}

impl Effective {
    /// Values first, as TOML wants it, then the tables within.
    fn write_table(&self, f: &mut fmt::Formatter<'_>, path: &mut Vec<String>, table: &Table) -> fmt::Result {
        writeln!(f, "[{}]", path.iter().map(|key| bare(key)).collect::<Vec<_>>().join("."))?;
        for (key, node) in table {
            path.push(key.clone());
            if !matches!(node.value, Value::Table(_)) {
                let value =
                    if self.secrets.contains(path) { "\"<redacted>\"".to_owned() } else { literal(&node.value) };
                writeln!(f, "{:<60} # {}", format!("{} = {value}", bare(key)), node.origin)?;
            }
            path.pop();
        }
        for (key, node) in table {
            if let Value::Table(inner) = &node.value {
                path.push(key.clone());
                writeln!(f)?;
                self.write_table(f, path, inner)?;
                path.pop();
            }
        }
        Ok(())
    }
}

fn bare(key: &str) -> String {
    let is_bare = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if is_bare { key.to_owned() } else { text(key) }
}

fn text(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn literal(value: &Value) -> String {
    match value {
        Value::Bool(flag) => flag.to_string(),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Text(content) => text(content),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(|item| literal(&item.value)).collect::<Vec<_>>().join(", "))
        }
        Value::Table(table) => {
            let entry = |(key, node): (&String, &Node)| format!("{} = {}", bare(key), literal(&node.value));
            format!("{{ {} }}", table.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
    }
}
