//! What segments see: the customer, by the table of her fields.

use cel::common::ast::{CallExpr, Expr, LiteralValue};

use super::{Known, Shape, Walk, is_a_score};
use crate::customer_fields::{CUSTOMER_FIELDS, FieldType, SCORES, TRAITS, customer_group, elsewhere, names_in};
use crate::fields::LATER;
use crate::suggest;
use crate::thresholds::Usage;

/// Fields that the design names and a later version has.
const LATER_FIELDS: &[&str] = &["points"];

impl FieldType {
    const fn shape(self) -> &'static Shape {
        match self {
            Self::Boolean => &Shape::Boolean,
            Self::Integer => &Shape::Number,
            Self::Text => &Shape::Text,
            Self::Texts => &Shape::List(&Shape::Text),
            Self::Any => &Shape::Free,
        }
    }
}

const BOOLEAN: &str = "true or false";
const NUMBER: &str = "a number";
const TEXT: &str = "a text";
const LIST: &str = "a list";

/// What the values of a part are, where that is known.
fn kind_of(part: &Expr, known: Known<'_>) -> Option<&'static str> {
    Some(match (part, known) {
        (Expr::Literal(LiteralValue::Boolean(_)), _) | (_, Known::Shape(Shape::Boolean)) => BOOLEAN,
        (Expr::Literal(LiteralValue::Int(_) | LiteralValue::UInt(_) | LiteralValue::Double(_)), _)
        | (_, Known::Shape(Shape::Number)) => NUMBER,
        (Expr::Literal(LiteralValue::String(_)), _) | (_, Known::Shape(Shape::Text)) => TEXT,
        (Expr::List(_), _) | (_, Known::Shape(Shape::List(_))) => LIST,
        _ => return None,
    })
}

impl<'e> Walk<'e> {
    /// Compared with something of another type a field is never equal, greater or less, and where true or false is expected
    /// anything else has no answer: such a segment would stay empty, and nobody would be told why.
    pub(super) fn check_types(&mut self, id: u64, call: &CallExpr, arguments: &[Known<'e>]) {
        let kinds: Vec<_> = call.args.iter().zip(arguments).map(|(part, known)| kind_of(&part.expr, *known)).collect();
        match (call.func_name.as_str(), &kinds[..]) {
            ("_<_" | "_<=_" | "_>_" | "_>=_" | "_==_" | "_!=_", [Some(left), Some(right)]) if left != right => {
                let mixed = [LIST, TEXT].iter().all(|kind| [left, right].contains(&kind));
                let help =
                    mixed.then(|| "`'x' in customer.favourite_brands` asks whether it is in the list".to_owned());
                self.complain(id, format!("{left} can't be compared with {right}"), help);
            }
            ("_&&_" | "_||_" | "!_" | "_?_:_", kinds) => {
                let conditions = if call.func_name == "_?_:_" { &kinds[..1] } else { kinds };
                for (part, kind) in call.args.iter().zip(conditions) {
                    if let Some(kind) = kind.filter(|kind| *kind != BOOLEAN) {
                        self.complain(part.id, format!("true or false is expected here, not {kind}"), None);
                    }
                }
            }
            _ => {}
        }
    }

    /// A group of fields is always there and is equal to nothing; reading it would be reading all of them.
    pub(super) fn no_value(&mut self, id: u64, group: Option<&'static str>) {
        let (whole, example) = match group {
            None => ("customer".to_owned(), "frequency"),
            Some(SCORES) => (format!("customer.{SCORES}"), "churn"),
            Some(group) => (format!("customer.{group}"), names_in(Some(group)).first().copied().unwrap_or_default()),
        };
        let help = format!("name one of its fields, such as `{whole}.{example}`");
        self.complain(id, format!("`{whole}` is no value by itself"), Some(help));
    }

    pub(super) fn customer_field(
        &mut self,
        id: u64,
        group: Option<&'static str>,
        field: &str,
        usage: Usage,
    ) -> Known<'e> {
        if group == Some(SCORES) {
            return self.customer_score(id, field, usage);
        }
        let names = names_in(group);
        if !names.contains(&field) {
            self.no_field(id, group, field, &names);
            return Known::Nothing;
        }
        let path = group.map_or_else(|| field.to_owned(), |group| format!("{group}.{field}"));
        if path == TRAITS {
            return Known::Traits;
        }
        match CUSTOMER_FIELDS.iter().find(|known| known.path == path) {
            Some(found) => {
                self.reads.note(path.into(), usage);
                Known::Shape(found.field_type.shape())
            }
            None => Known::Customer(customer_group(&path)),
        }
    }

    fn no_field(&mut self, id: u64, group: Option<&str>, field: &str, names: &[&str]) {
        let (message, help) = match (group, field) {
            (None, "segments") => ("a segment can't depend on other segments".to_owned(), None),
            (None, later) if LATER_FIELDS.contains(&later) => (format!("`customer.{later}` {LATER}"), None),
            _ => {
                let variable = group.map_or_else(|| "customer".to_owned(), |group| format!("customer.{group}"));
                let help = match elsewhere(field) {
                    Some(path) => Some(format!("did you mean `customer.{path}`?")),
                    None => is_a_score(field).or_else(|| suggest::help(field, names.iter().copied())),
                };
                (format!("`{variable}` has no field `{field}`"), help)
            }
        };
        self.complain(id, message, help);
    }

    /// What others scored under that name.
    fn customer_score(&mut self, id: u64, name: &str, usage: Usage) -> Known<'e> {
        self.check_score_name(id, name);
        self.reads.note(format!("{SCORES}.{name}").into(), usage);
        Known::Shape(&Shape::Number)
    }

    /// The trait of that name, whatever the shop sends.
    pub(super) fn customer_trait(&mut self, name: &str, usage: Usage) -> Known<'e> {
        self.reads.note(format!("{TRAITS}.{name}").into(), usage);
        Known::Nothing
    }

    /// All traits: which of them is known only when the condition is judged.
    pub(super) fn all_traits(&mut self, usage: Usage) {
        self.reads.note(TRAITS.into(), usage);
    }
}
