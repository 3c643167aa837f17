//! At which numbers an answer may change.
//!
//! Wanted property: between two neighbouring numbers of a field the answer of an expression differs only if the higher one is
//! among the thresholds, or if they are [`Thresholds::Anywhere`].

use std::collections::BTreeSet;
use std::sync::Arc;

use cel::common::ast::{CallExpr, Expr, LiteralValue};

use crate::expression::Reads;

/// The numbers of a field at which the answer of an expression may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Thresholds {
    /// When the field comes to one of these from below, or falls below it. None: its number does not matter.
    At(BTreeSet<i64>),
    /// Whenever the field changes.
    Anywhere,
}

/// What an expression does with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Usage {
    /// It asks whether it is there.
    Presence,
    /// It compares it with a number that is written there.
    Compared(i64),
    /// Anything else.
    Value,
}

const COMPARISONS: [&str; 6] = ["_<_", "_<=_", "_>_", "_>=_", "_==_", "_!=_"];

impl Usage {
    /// What a call does with its arguments.
    pub(crate) fn of_arguments(call: &CallExpr) -> [Self; 2] {
        match &call.args[..] {
            [left, right] if COMPARISONS.contains(&call.func_name.as_str()) => {
                [&right.expr, &left.expr].map(|other| whole_number(other).map_or(Self::Value, Self::Compared))
            }
            _ => [Self::Value; 2],
        }
    }
}

/// The number that is written there.
fn whole_number(expression: &Expr) -> Option<i64> {
    match expression {
        Expr::Literal(LiteralValue::Int(number)) => Some(*number.inner()),
        // `-(5)`; `-5` is a literal already.
        Expr::Call(call) if call.func_name == "-_" => match &call.args[..] {
            [argument] => whole_number(&argument.expr)?.checked_neg(),
            _ => None,
        },
        _ => None,
    }
}

impl Reads {
    /// Notes that a field of the customer is read.
    pub(crate) fn note(&mut self, path: Arc<str>, usage: Usage) {
        let thresholds = self.customer.entry(path).or_insert_with(|| Thresholds::At(BTreeSet::new()));
        match (usage, &mut *thresholds) {
            (Usage::Presence, _) | (_, Thresholds::Anywhere) => {}
            // Whichever of the six it is, its answer is the same below the number, at it, and above it.
            (Usage::Compared(number), Thresholds::At(numbers)) => {
                numbers.extend([number, number.saturating_add(1)]);
            }
            (Usage::Value, Thresholds::At(_)) => *thresholds = Thresholds::Anywhere,
        }
    }
}
