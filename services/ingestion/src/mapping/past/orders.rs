//! Orders: of one row each, or of a row for each of their lines.

use domain::Currency;
use serde_json::value::RawValue;

use super::names::{AMOUNTS, LINE, OF_A_LINE};
use super::{Terms, Unfit, Written, parts};
use crate::mapping::draft::Draft;
use crate::mapping::event::Envelope;
use crate::mapping::json::{self, Object};
use crate::mapping::names::canonical;

/// What an order is, where nothing else is said.
pub(super) const COMPLETED: &str = "Order Completed";

impl Terms<'_> {
    pub(super) fn order(&self, rows: &[Object<'_>], envelope: &Envelope<'_>) -> Result<Written, Unfit> {
        let mut head = head(rows)?;
        let order_id = head.text("order_id").ok_or(Unfit::NoOrderId)?;
        let currency = parts::currency(&head, envelope.source.currency)?;
        let lines = self.lines(rows, &mut head, currency)?;
        let event = head.text("event").unwrap_or_else(|| COMPLETED.to_owned());
        head.remove("event");
        let mut call = Draft::default();
        call.text("type", "track");
        call.text("event", &event);
        parts::who(&mut head, &mut call)?;
        let at = self.time(&mut head, &["time"], envelope.received_at)?;
        call.text("timestamp", &at.ok_or(Unfit::NoTime { column: "time" })?);
        let mut properties = Draft::default();
        for column in AMOUNTS {
            if let Some(amount) = self.amount(&mut head, column, currency)? {
                properties.raw(column, &amount);
            }
        }
        if !lines.is_empty() {
            properties.raw("products", &format!("[{}]", lines.join(",")));
        }
        let mut context = Draft::default();
        context.raw("library", &self.library());
        if let Some(consent) = parts::consent(&mut head)? {
            context.raw("consent", consent);
        }
        context.raw("traits", &parts::traits(&mut head).finish());
        parts::take_beginning("properties.", &mut head, &mut properties);
        properties.rest(&head, &[]);
        call.raw("properties", &properties.finish());
        call.raw("context", &context.finish());
        Ok(Written { call, id: Some(format!("{}\0{order_id}", canonical(&event))) })
    }

    /// The products of an order: of its rows, and of a list where it has one.
    fn lines(&self, rows: &[Object<'_>], head: &mut Object<'_>, currency: Currency) -> Result<Vec<String>, Unfit> {
        let mut lines = Vec::new();
        for column in ["items", "products"] {
            let Some(raw) = head.get(column) else { continue };
            let elements = json::elements(raw).ok_or(Unfit::BadProducts { column })?;
            for element in elements {
                lines.push(self.product(element, column, currency)?);
            }
            head.remove(column);
        }
        for row in rows {
            let mut row = row.clone();
            parts::check_whole(&row, "quantity")?;
            let mut line = Draft::default();
            line.raw_if("price", self.amount(&mut row, "price", currency)?);
            for (column, field) in OF_A_LINE {
                line.take(field, &mut row, column);
            }
            parts::take_beginning(LINE, &mut row, &mut line);
            if !line.is_empty() {
                lines.push(line.finish());
            }
        }
        Ok(lines)
    }

    /// A list of products.
    pub(super) fn products(
        &self,
        elements: &[&RawValue],
        column: &'static str,
        currency: Currency,
    ) -> Result<String, Unfit> {
        let products: Result<Vec<_>, _> =
            elements.iter().map(|element| self.product(element, column, currency)).collect();
        Ok(format!("[{}]", products?.join(",")))
    }

    /// A product of a list.
    fn product(&self, element: &RawValue, column: &'static str, currency: Currency) -> Result<String, Unfit> {
        let mut product = Object::read(element.get()).ok_or(Unfit::BadProducts { column })?;
        parts::check_whole(&product, "quantity")?;
        let own = parts::currency(&product, currency)?;
        let mut line = Draft::default();
        line.raw_if("price", self.amount(&mut product, "price", own)?);
        line.rest(&product, &[]);
        Ok(line.finish())
    }
}

/// What all rows of an order say of it: a row may leave out what another has said, but not say something else.
fn head<'r>(rows: &[Object<'r>]) -> Result<Object<'r>, Unfit> {
    let mut head = Object::default();
    for row in rows {
        let mut rest = row.clone();
        rest.retain(|name, raw| !is_of_a_line(name) && raw.get() != "null");
        let says_else = |(name, raw): &(&str, &RawValue)| {
            let is_event = *name == "event";
            head.get(name).is_some_and(|known| !(same(known, raw) || is_event && same_event(known, raw)))
        };
        if let Some((name, _)) = rest.members().find(says_else) {
            return Err(Unfit::Differs { column: name.to_owned() });
        }
        head.fill_from(rest);
    }
    Ok(head)
}

fn same(one: &RawValue, other: &RawValue) -> bool {
    one.get() == other.get()
}

/// Whether two names are of one event: also where one is of version 1, or in other capitals.
fn same_event(one: &RawValue, other: &RawValue) -> bool {
    let (one, other) = (json::text(one), json::text(other));
    one.zip(other).is_some_and(|(one, other)| canonical(&one.value) == canonical(&other.value))
}

fn is_of_a_line(name: &str) -> bool {
    name.starts_with(LINE) || OF_A_LINE.iter().any(|(column, _)| *column == name)
}
