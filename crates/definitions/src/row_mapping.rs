//! A mapping of rows: which columns that are known have which value of a row, said in CEL.
//!
//! Wanted properties:
//! - pure; what is made of a row is bounded;
//! - a column that nobody knows is refused when the mapping is read, at its place;
//! - what a row lacks, or has as null, is left out; what can't be computed is told with its column and without any value;
//! - `when` that reads what a row lacks is no answer: the row may be one that is wanted, such as a line of an order.

use std::sync::Arc;

use serde_json::Value;

use crate::diagnostic::{Diagnostic, Report};
use crate::expression::{EvaluationError, Expression, Scope, Vocabulary};
use crate::fields::Fields;
use crate::mapping::{Lean, MappingError};
use crate::parse_mapping::one_document;
use crate::suggest;
use crate::values::{name, shortened};
use crate::yaml::Node;

const MAX_COLUMNS: usize = 300;

/// What a row becomes: columns by names that are known.
#[derive(Clone, Debug, PartialEq)]
pub struct RowMapping {
    /// Its name: what events say that they came by.
    pub name: Arc<str>,
    when: Option<Expression>,
    columns: Vec<(String, Expression)>,
}

/// The names that columns may have.
#[derive(Clone, Copy, Debug)]
pub struct RowNames {
    /// These.
    pub fixed: &'static [&'static str],
    /// And those that begin so, such as `traits.`, with something behind it.
    pub beginnings: &'static [&'static str],
}

/// Reads a mapping of rows; `file` is its name in the diagnostics.
pub fn parse_row_mapping(file: &str, source: &str, names: RowNames) -> Result<RowMapping, Vec<Diagnostic>> {
    one_document(file, source, |root, report| row_mapping(root, names, report))
}

fn row_mapping(node: &Node, names: RowNames, report: &mut Report<'_>) -> Option<RowMapping> {
    let mut fields = Fields::of(node, "a mapping of rows", report)?;
    let own_name = fields.require("mapping", report).and_then(|node| name(node, "a mapping", report));
    let condition = Vocabulary::Row { condition: true };
    let when = fields.take("when").and_then(|node| Expression::parse(node, condition, report));
    let columns = fields.require("columns", report).map(|node| columns(node, names, report)).unwrap_or_default();
    fields.finish(report);
    Some(RowMapping { name: own_name?, when, columns })
}

fn columns(node: &Node, names: RowNames, report: &mut Report<'_>) -> Vec<(String, Expression)> {
    let Some(mut entries) = Fields::of(node, "`columns`", report) else { return Vec::new() };
    let entries = entries.rest();
    if entries.is_empty() || entries.len() > MAX_COLUMNS {
        report.error(node.at, format!("a mapping has 1 to {MAX_COLUMNS} columns, not {}", entries.len()));
    }
    let mut columns = Vec::with_capacity(entries.len());
    for (key, node) in entries {
        let own = key.name.as_str();
        if !names.has(own) {
            let message = format!("there is no column `{}`", shortened(own));
            let help = suggest::help(own, names.fixed.iter().copied());
            let beginnings = names.beginnings.iter().map(|beginning| format!("`{beginning}…`"));
            let help: Vec<String> = help.into_iter().chain(beginnings).collect();
            report.error_with_help(key.at, message, help.join(", or "));
        }
        let expression = Expression::parse(node, Vocabulary::Row { condition: false }, report);
        columns.extend(expression.map(|expression| (own.to_owned(), expression)));
    }
    columns
}

impl RowNames {
    /// Whether a column may have this name.
    pub fn has(self, name: &str) -> bool {
        let goes_on = |beginning: &&str| name.strip_prefix(*beginning).is_some_and(|rest| !rest.is_empty());
        self.fixed.contains(&name) || self.beginnings.iter().any(goes_on)
    }
}

impl RowMapping {
    /// The columns that a row becomes, as JSON of at most so many bytes each, in the mapping's order; none if the mapping
    /// does not want it. What `when` reads has to be there; `has(…)` asks whether it is.
    pub fn columns(&self, row: &Value, max_bytes: usize) -> Result<Option<Vec<(&str, Value)>>, MappingError> {
        let mut scope = Scope::new();
        scope.set("row", Lean(row));
        if let Some(when) = &self.when {
            match when.evaluate(&scope) {
                Ok(true) => {}
                Ok(false) => return Ok(None),
                Err(error) => return Err(MappingError { place: "when".to_owned(), error }),
            }
        }
        let mut columns = Vec::with_capacity(self.columns.len());
        for (name, expression) in &self.columns {
            match expression.value(&scope, max_bytes) {
                Ok(Value::Null) => {}
                Ok(value) => columns.push((name.as_str(), value)),
                Err(EvaluationError::MissingValue) if !expression.reads().in_a_loop => {}
                Err(error) => return Err(MappingError { place: format!("columns.{name}"), error }),
            }
        }
        Ok(Some(columns))
    }

    /// One column of a row, whatever `when` says and whether the others can be computed or not.
    pub fn column(&self, name: &str, row: &Value, max_bytes: usize) -> Option<Value> {
        let mut scope = Scope::new();
        scope.set("row", Lean(row));
        let (_, expression) = self.columns.iter().find(|(known, _)| known == name)?;
        expression.value(&scope, max_bytes).ok().filter(|value| !value.is_null())
    }
}
