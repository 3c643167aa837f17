//! What holds every filter: what it does is counted, what it gives has a largest size, and what it would panic on, or make
//! without end, is refused before it begins.

use std::fmt;

use liquid_core::error::Error;
use liquid_core::model::ValueCow;
use liquid_core::parser::{FilterArguments, FilterReflection};
use liquid_core::{Expression, Filter, ParseFilter, Result, Runtime, Value, ValueView};

use super::scope::{MAX_VALUE_BYTES, spend, too_much};
use super::weight::weight;

/// No filter gives a longer list.
const MAX_ITEMS: i64 = 1_000;
/// Lengths and places in texts, and decimals, are smaller.
const MAX_COUNT: i64 = 1_000_000;
/// A longer format is no date's.
const MAX_FORMAT_BYTES: usize = 100;
/// `date` makes its own way of reading dates each time: that is worth so many bytes.
const DATE_BYTES: usize = 10 * 1024;

/// A filter that is held to its bounds.
#[derive(Clone)]
pub(super) struct Limited(pub(super) Box<dyn ParseFilter>);

impl ParseFilter for Limited {
    fn parse(&self, arguments: FilterArguments<'_>) -> Result<Box<dyn Filter>> {
        let positional: Vec<Expression> = arguments.positional.collect();
        let keyword: Vec<(&str, Expression)> = arguments.keyword.collect();
        let known = positional.iter().chain(keyword.iter().map(|(_, value)| value)).cloned().collect();
        let filter = self.0.parse(FilterArguments {
            positional: Box::new(positional.into_iter()),
            keyword: Box::new(keyword.into_iter()),
        })?;
        Ok(Box::new(LimitedFilter { name: self.0.reflection().name().to_owned(), arguments: known, filter }))
    }

    fn reflection(&self) -> &dyn FilterReflection {
        self.0.reflection()
    }
}

#[derive(Debug)]
struct LimitedFilter {
    name: String,
    arguments: Vec<Expression>,
    filter: Box<dyn Filter>,
}

impl fmt::Display for LimitedFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.filter.fmt(f)
    }
}

impl Filter for LimitedFilter {
    fn evaluate(&self, input: &dyn ValueView, runtime: &dyn Runtime) -> Result<Value> {
        let arguments: Vec<ValueCow<'_>> =
            self.arguments.iter().map(|argument| argument.try_evaluate(runtime).unwrap_or_default()).collect();
        let of_date = if self.name == "date" { DATE_BYTES } else { 0 };
        let taken =
            arguments.iter().map(|argument| weight(argument.as_view())).fold(weight(input), usize::saturating_add);
        spend(runtime, taken.saturating_add(of_date))?;
        if size_of_copies(&self.name, input, &arguments) > MAX_VALUE_BYTES {
            return Err(too_much(runtime, &format!("`{}` makes a text that is too long", self.name)));
        }
        if let Some(refusal) = refusal(&self.name, input, &arguments) {
            return Err(Error::with_msg(format!("`{}` {refusal}", self.name)));
        }
        let output = self.filter.evaluate(input, runtime)?;
        let size = weight(&output);
        if size > MAX_VALUE_BYTES || output.as_array().is_some_and(|items| items.size() > MAX_ITEMS) {
            return Err(too_much(runtime, &format!("`{}` makes a text or a list that is too long", self.name)));
        }
        spend(runtime, size)?;
        Ok(output)
    }
}

/// How many bytes come of the filters that write one argument many times; the others grow by no more than what they take.
fn size_of_copies(name: &str, input: &dyn ValueView, arguments: &[ValueCow<'_>]) -> usize {
    let text = |at: usize| arguments.get(at).map(ValueView::to_kstr).unwrap_or_default();
    match name {
        "replace" => {
            let (input, searched) = (input.to_kstr(), text(0));
            let times = input.matches(searched.as_str()).count();
            times.saturating_mul(text(1).len()).saturating_add(input.len())
        }
        "join" => input.as_array().map_or(0, |items| (items.size() as usize).saturating_mul(text(0).len())),
        _ => 0,
    }
}

/// What is wrong with what the filter is given, if it would panic on it or not come to an end.
fn refusal(name: &str, input: &dyn ValueView, arguments: &[ValueCow<'_>]) -> Option<String> {
    let first = arguments.first().map(ValueCow::as_view);
    match name {
        "plus" | "minus" | "times" | "divided_by" | "modulo" | "abs" => {
            let operand = first.map_or(Some(0), whole);
            whole(input)
                .zip(operand)
                .is_some_and(|(a, b)| overflows(name, a, b))
                .then(|| "gives too large a number".to_owned())
        }
        "slice" | "truncate" | "truncatewords" | "round" => {
            let is_large =
                |argument: &ValueCow<'_>| whole(argument.as_view()).is_some_and(|n| n.abs_diff(0) > MAX_COUNT as u64);
            arguments.iter().any(is_large).then(|| format!("takes numbers up to {MAX_COUNT}"))
        }
        "date" => {
            let format = first.map(ValueView::to_kstr).unwrap_or_default();
            let is_wide = format.split(|c: char| !c.is_ascii_digit()).any(|width| width.len() > 2);
            let input = input.to_kstr();
            if ["now", "today"].iter().any(|word| input.trim().eq_ignore_ascii_case(word)) {
                return Some("takes a date: the same message is the same whenever it is rendered".to_owned());
            }
            (format.len() > MAX_FORMAT_BYTES || is_wide)
                .then(|| format!("takes a format of up to {MAX_FORMAT_BYTES} bytes, with widths up to 99"))
        }
        // Sorting panics on an order that is none.
        "sort" => (!has_an_order(input, first)).then(|| "sorts numbers or texts, not both nor others".to_owned()),
        _ => None,
    }
}

fn whole(value: &dyn ValueView) -> Option<i64> {
    value.as_scalar().and_then(|scalar| scalar.to_integer())
}

fn overflows(name: &str, a: i64, b: i64) -> bool {
    let result = match name {
        "plus" => a.checked_add(b),
        "minus" => a.checked_sub(b),
        "times" => a.checked_mul(b),
        // Liquid says itself that nothing is divided by zero.
        "divided_by" | "modulo" if b != 0 => a.checked_div(b),
        "abs" => a.checked_abs(),
        _ => Some(0),
    };
    result.is_none()
}

/// Whether the items, or their fields of that name, are all numbers or all texts; what is not there comes last.
fn has_an_order(input: &dyn ValueView, field: Option<&dyn ValueView>) -> bool {
    let Some(items) = input.as_array() else { return true };
    let field = field.map(ValueView::to_kstr);
    let kinds = items.values().filter_map(|item| {
        let key = match &field {
            Some(field) => item.as_object().and_then(|fields| fields.get(field))?,
            None => item,
        };
        (!key.is_nil()).then(|| match key.type_name() {
            "whole number" | "fractional number" => "number",
            kind => kind,
        })
    });
    let mut kinds: Vec<&str> = kinds.collect();
    kinds.dedup();
    matches!(kinds[..], [] | ["number" | "string" | "boolean"])
}
