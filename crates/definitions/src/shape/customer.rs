//! What segments see: the customer, by the table of her fields.

use super::{Known, Shape, Walk};
use crate::customer_fields::{CUSTOMER_FIELDS, FieldType, TRAITS, customer_group, elsewhere, names_in};
use crate::fields::LATER;
use crate::suggest;
use crate::thresholds::Usage;

/// Fields that the design names and a later version has.
const LATER_FIELDS: &[&str] = &["churn", "tier", "points"];

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

impl<'e> Walk<'e> {
    /// A group of fields is always there and is equal to nothing; reading it would be reading all of them.
    pub(super) fn no_value(&mut self, id: u64, group: Option<&'static str>) {
        let (whole, example) = match group {
            None => ("customer".to_owned(), "frequency"),
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
                    None => suggest::help(field, names.iter().copied()),
                };
                (format!("`{variable}` has no field `{field}`"), help)
            }
        };
        self.complain(id, message, help);
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
