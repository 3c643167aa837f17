//! Past data: rows of a shop's orders, customers and events, put into the form of the Segment specification. From there they go
//! the way of every other event ([`map`](super::map)): ids, limits and what has which field are read in one place.
//!
//! Wanted properties:
//! - no row whatever makes it panic; what can't be taken is refused with a reason and the column;
//! - the same row becomes the same message id, whatever file it comes in and however often;
//! - strict where the door is soft: an amount, a currency, a number or a time that can't be read refuses the row, because who
//!   imports can mend it. No event is given another time than its own;
//! - lossless: a column without a field becomes a property or a trait, to the letter.

mod customers;
mod dated;
mod events;
mod names;
mod orders;
mod parts;
mod unfit;

use std::borrow::Cow;

use definitions::RowMapping;
use jiff::tz::TimeZone;
use schemas::StorefrontEvent;
use serde_json::Value;

use super::call::{Call, Shared};
use super::draft::Draft;
use super::event::Envelope;
use super::json::{Object, demands};
use super::names::canonical;
use super::webhooks::{MAX_DRAFT_BYTES, MAX_LINES, MAX_REST_BYTES, MAX_WEBHOOK_BYTES};
use super::{MAX_DEPTH, MAX_EVENT_BYTES, Refusal, Source, map};

pub use names::Kind;
pub use unfit::Unfit;

/// No row is larger (bytes of JSON), and neither is an order with all its rows.
pub const MAX_ROW_BYTES: usize = MAX_WEBHOOK_BYTES;
/// An order has no more rows.
pub const MAX_ROWS: usize = MAX_LINES;

/// How rows are read.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// What they are.
    pub kind: Kind,
    /// Whether they are calls of the tracking API, and not columns.
    pub calls: bool,
    /// What says which columns they have; without it, they have those of [`Kind::names`].
    pub mapping: Option<&'a RowMapping>,
    /// The time zone of times that name none; without it, such times are refused.
    pub time_zone: Option<&'a TimeZone>,
    /// Amounts in texts have a comma before their fraction, and points between thousands.
    pub decimal_comma: bool,
    /// Whether the events are marked as an import, which opens no journeys.
    pub historical: bool,
}

/// A call of the tracking API, but for its message id.
struct Written {
    call: Draft,
    /// What names the event beside its source; where there is nothing, what it says.
    id: Option<String>,
}

/// The order that a row is a line of, and the event of it: one order may be completed and refunded in one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneOrder {
    /// Its id.
    pub order_id: String,
    /// What happened to it, by its canonical name, where the row says so.
    event: Option<String>,
}

impl OneOrder {
    fn of(order_id: Option<String>, event: Option<String>) -> Option<Self> {
        Some(Self { order_id: order_id?, event: event.map(|event| canonical(&event).to_owned()) })
    }

    /// Whether another row is of the same; a row may leave out which event it is.
    pub fn is_with(&self, other: &Self) -> bool {
        let differs = self.event.as_ref().zip(other.event.as_ref()).is_some_and(|(one, other)| one != other);
        self.order_id == other.order_id && !differs
    }

    /// Takes over what another row says.
    pub fn fill_from(&mut self, other: &Self) {
        self.event = self.event.take().or_else(|| other.event.clone());
    }

    /// Tells it from all others of a file.
    pub fn key(&self) -> String {
        format!("{}\0{}", self.event.as_deref().unwrap_or(orders::COMPLETED), self.order_id)
    }
}

impl Terms<'_> {
    /// The columns of a row as a JSON object, by the mapping where there is one; none where that does not want it.
    pub fn columns<'r>(&self, row: &'r str) -> Result<Option<Cow<'r, str>>, Unfit> {
        if demands(row).depth > MAX_DEPTH {
            return Err(Refusal::TooDeep.into());
        }
        let Some(mapping) = self.mapping else {
            Object::read(row).ok_or(Refusal::NotAnObject)?;
            return Ok(Some(Cow::Borrowed(row)));
        };
        if demands(row).number_out_of_range {
            return Err(Refusal::NumberOutOfRange.into());
        }
        let value = serde_json::from_str(row).map_err(|_| Refusal::NotAnObject)?;
        let columns = mapping.columns(&value, MAX_ROW_BYTES).map_err(|error| Unfit::NotComputed { error })?;
        Ok(columns.map(|columns| {
            let mut draft = Draft::default();
            for (name, value) in columns {
                draft.raw(name, &value.to_string());
            }
            Cow::Owned(draft.finish())
        }))
    }

    /// What rows that stand together have in common, if they do: the order that they are lines of.
    pub fn together_by(&self, columns: &str) -> Option<OneOrder> {
        if self.kind != Kind::Orders {
            return None;
        }
        let columns = Object::read(columns)?;
        OneOrder::of(columns.text("order_id"), columns.text("event"))
    }

    /// The same of a row that has no columns, because something else in it can't be read, as far as that can be told.
    pub fn perhaps_together_by(&self, row: &str) -> Option<OneOrder> {
        if self.kind != Kind::Orders || demands(row).depth > MAX_DEPTH {
            return None;
        }
        let Some(mapping) = self.mapping else { return self.together_by(row) };
        let row = serde_json::from_str(row).ok()?;
        let text = |name| match mapping.column(name, &row, MAX_ROW_BYTES)? {
            Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        OneOrder::of(text("order_id"), text("event"))
    }

    /// The event that rows become by their columns: one row, or all of an order.
    pub fn event(&self, rows: &[impl AsRef<str>], envelope: &Envelope<'_>) -> Result<StorefrontEvent, Unfit> {
        if rows.len() > MAX_ROWS {
            return Err(Refusal::TooManyLines { count: rows.len() }.into());
        }
        let bytes = rows.iter().map(|row| row.as_ref().len()).sum();
        if bytes > MAX_ROW_BYTES {
            return Err(Unfit::TooLarge { bytes });
        }
        let rows = rows.iter().map(|row| Object::read(row.as_ref())).collect::<Option<Vec<_>>>();
        let rows = rows.ok_or(Refusal::NotAnObject)?;
        let Written { mut call, id } = match self.kind {
            Kind::Orders => self.order(&rows, envelope)?,
            Kind::Customers => self.customer(&rows, envelope)?,
            Kind::Events if self.calls => self.call(&rows, envelope)?,
            Kind::Events => self.row_of_event(&rows, envelope)?,
        };
        // Before the message id: what has none of its own is named by what it says.
        let json = if call.has("messageId") {
            call.finish()
        } else {
            let said = id.unwrap_or_else(|| call.so_far().to_owned());
            call.text("messageId", &self.message_id(&envelope.source, &said));
            call.finish()
        };
        let most_event_bytes = if self.kind == Kind::Orders { MAX_DRAFT_BYTES } else { MAX_EVENT_BYTES };
        let shared = Shared::default();
        let call = Call { events: vec![&json], write_key: None, shared_bytes: 0, most_event_bytes, shared };
        let mut event = map(&call, 0, envelope)?;
        let rest = [&event.properties_json, &event.traits_json, &event.context_json];
        let bytes = rest.into_iter().flatten().map(String::len).sum::<usize>();
        if bytes > MAX_REST_BYTES {
            return Err(Unfit::TooLarge { bytes });
        }
        event.historical |= self.historical;
        Ok(event)
    }

    /// Names an event by its source, its shop and what tells it from others there.
    fn message_id(&self, source: &Source<'_>, said: &str) -> String {
        let named = format!("{}\0{}\0{}\0{said}", self.kind.word(), source.id, source.shop);
        format!("i-{:032x}", xxhash_rust::xxh3::xxh3_128(named.as_bytes()))
    }

    /// The context's part that says by what the event came.
    fn library(&self) -> String {
        let mut library = Draft::default();
        let name = self.mapping.map_or("vuelve", |mapping| &*mapping.name);
        library.text("name", &format!("{name}-import"));
        library.finish()
    }
}
