//! The layers under the flags: a TOML file and the environment, each turned into a tree whose nodes know their origin.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use super::bounded::read_text;
use super::origin::Origin;
use super::problems::Problem;
use super::size::ByteSize;
use super::tree::{Node, Table, Value};

/// What an environment variable of the configuration begins with.
const PREFIX: &str = "VUELVE__";
/// More than any configuration; keeps a wrong `--config` from being read for ever.
const MAX_FILE_SIZE: ByteSize = ByteSize::from_bytes(1 << 20);

/// Where the configuration is read from, beside the defaults: each layer goes over the one before.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// A TOML file.
    pub file: Option<PathBuf>,
    /// The environment: `VUELVE__SECTION__KEY=value` is taken from it, other names are left alone.
    pub environment: Vec<(OsString, OsString)>,
    /// `section.key=value`, as given with `--set`.
    pub flags: Vec<String>,
}

impl Sources {
    /// A file, if there is one, this process's environment, and flags.
    pub fn of_this_process(file: Option<PathBuf>, flags: Vec<String>) -> Self {
        Self { file, environment: std::env::vars_os().collect(), flags }
    }

    /// Lays every layer on the tree of defaults.
    pub(super) fn lay_on(&self, tree: &mut Node, problems: &mut Vec<Problem>) {
        if let Some(path) = &self.file {
            match read_file(path) {
                Ok(node) => tree.lay(node),
                Err(found) => problems.extend(found),
            }
        }
        for (name, value) in &self.environment {
            match from_environment(name, value) {
                Ok(Some((path, node))) => tree.put(&path, node),
                Ok(None) => {}
                Err(problem) => problems.push(problem),
            }
        }
        for flag in &self.flags {
            match from_flag(flag) {
                Ok((path, node)) => tree.put(&path, node),
                Err(problem) => problems.push(problem),
            }
        }
    }
}

fn read_file(path: &Path) -> Result<Node, Vec<Problem>> {
    let name: Arc<Path> = Arc::from(path);
    let problem =
        |message| Problem { key: String::new(), origin: Origin::File { path: Arc::clone(&name), line: 1 }, message };
    let text = read_text(path, MAX_FILE_SIZE).map_err(|message| vec![problem(message)])?;
    parse(&text, &|line| Origin::File { path: Arc::clone(&name), line })
}

/// Parses TOML; `origin` gives the origin of a line.
pub(super) fn parse(text: &str, origin: &dyn Fn(usize) -> Origin) -> Result<Node, Vec<Problem>> {
    let at = |offset: usize| origin(1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count());
    let (table, mut errors) = DeTable::parse_recoverable(text);
    errors.sort_by_key(|error| error.span().map_or(0, |span| span.start));
    if errors.is_empty() {
        return Ok(Node { value: Value::Table(from_table(table.into_inner(), &at)), origin: at(0) });
    }
    let problem = |error: toml::de::Error| Problem {
        key: String::new(),
        origin: at(error.span().map_or(0, |span| span.start)),
        message: format!("is not TOML: {}", error.message()),
    };
    Err(errors.into_iter().map(problem).collect())
}

fn from_table(table: DeTable<'_>, at: &dyn Fn(usize) -> Origin) -> Table {
    let entry = |(key, value): (toml::Spanned<std::borrow::Cow<'_, str>>, toml::Spanned<DeValue<'_>>)| {
        let origin = at(key.span().start);
        (key.into_inner().into_owned(), Node { value: from_value(value.into_inner(), at), origin })
    };
    table.into_iter().map(entry).collect()
}

fn from_value(value: DeValue<'_>, at: &dyn Fn(usize) -> Origin) -> Value {
    match value {
        DeValue::Boolean(flag) => Value::Bool(flag),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Integer(number),
            Err(_) => Value::Text(number.to_string()),
        },
        DeValue::Float(number) => {
            number.as_str().parse().map_or_else(|_| Value::Text(number.to_string()), Value::Float)
        }
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Datetime(time) => Value::Text(time.to_string()),
        DeValue::Array(items) => Value::Array(
            items
                .into_iter()
                .map(|item| Node { origin: at(item.span().start), value: from_value(item.into_inner(), at) })
                .collect(),
        ),
        DeValue::Table(table) => Value::Table(from_table(table, at)),
    }
}

/// Reads `[…]` or `{…}` out of a text from the environment or a flag.
pub(super) fn parse_inline(text: &str, origin: &Origin) -> Option<Value> {
    let node = parse(&format!("value = {text}"), &|_| origin.clone()).ok()?;
    match node.value {
        Value::Table(mut table) => table.remove("value").map(|node| node.value),
        _ => None,
    }
}

fn from_environment(name: &OsString, value: &OsString) -> Result<Option<(Vec<String>, Node)>, Problem> {
    let lossy = name.to_string_lossy();
    let Some(path) = lossy.strip_prefix(PREFIX) else { return Ok(None) };
    let origin = Origin::Environment(Arc::from(&*lossy));
    let path: Vec<String> = path.split("__").map(str::to_ascii_lowercase).collect();
    let problem = |message: &str| Problem { key: path.join("."), origin: origin.clone(), message: message.to_owned() };
    if path.len() < 2 || path.iter().any(String::is_empty) {
        return Err(problem("names no key; write VUELVE__SECTION__KEY, like VUELVE__KAFKA__REGISTRY_URL"));
    }
    let Some(value) = value.to_str() else { return Err(problem("is not UTF-8")) };
    let node = Node { value: Value::Text(value.to_owned()), origin };
    Ok(Some((path, node)))
}

fn from_flag(flag: &str) -> Result<(Vec<String>, Node), Problem> {
    let (key, value) = flag.split_once('=').unwrap_or((flag, ""));
    let origin = Origin::Flag(Arc::from(key.trim()));
    let path: Vec<String> = key.trim().split('.').map(str::to_owned).collect();
    if !flag.contains('=') || path.len() < 2 || path.iter().any(String::is_empty) {
        let message = "is not `section.key=value`; write it like --set kafka.commit_interval=200ms".to_owned();
        return Err(Problem { key: String::new(), origin, message });
    }
    Ok((path, Node { value: Value::Text(value.trim().to_owned()), origin }))
}
