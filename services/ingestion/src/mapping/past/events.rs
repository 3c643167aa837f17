//! Events: calls of the tracking API as they were sent, or columns.

use domain::Currency;

use super::names::AMOUNTS;
use super::{Terms, Unfit, Written, parts};
use crate::mapping::draft::Draft;
use crate::mapping::event::Envelope;
use crate::mapping::json::{self, Object};

/// When a call was sent and received says nothing any more: its time is not to be corrected by the clock of today.
const TIMES: [&str; 4] = ["timestamp", "originalTimestamp", "sentAt", "receivedAt"];

impl Terms<'_> {
    /// A call as the tracking API takes it.
    pub(super) fn call(&self, rows: &[Object<'_>], envelope: &Envelope<'_>) -> Result<Written, Unfit> {
        let mut row = rows.first().cloned().unwrap_or_default();
        let at = self.time(&mut row, &["timestamp", "originalTimestamp"], envelope.received_at)?;
        let at = at.ok_or(Unfit::NoTime { column: "timestamp" })?;
        for name in TIMES {
            row.remove(name);
        }
        let mut call = Draft::default();
        call.text("timestamp", &at);
        call.text_if("messageId", row.text("messageId").as_deref());
        row.remove("messageId");
        call.rest(&row, &[]);
        Ok(Written { call, id: None })
    }

    /// An event by its columns.
    pub(super) fn row_of_event(&self, rows: &[Object<'_>], envelope: &Envelope<'_>) -> Result<Written, Unfit> {
        let mut row = rows.first().cloned().unwrap_or_default();
        let mut call = Draft::default();
        let kind = row.text("type").unwrap_or_else(|| "track".to_owned());
        row.remove("type");
        call.text("type", &kind);
        for (column, field) in [
            ("event", "event"),
            ("message_id", "messageId"),
            ("previous_id", "previousId"),
            ("group_id", "groupId"),
            ("customer_id", "userId"),
            ("anonymous_id", "anonymousId"),
        ] {
            call.text_if(field, row.text(column).as_deref());
            row.remove(column);
        }
        let at = self.time(&mut row, &["time"], envelope.received_at)?;
        call.text("timestamp", &at.ok_or(Unfit::NoTime { column: "time" })?);
        let consent = parts::consent(&mut row)?;
        let (mut traits, mut properties, mut context) = (Draft::default(), Draft::default(), Draft::default());
        if let Some(consent) = consent {
            context.raw("consent", consent);
        }
        part(&mut row, "traits", &mut traits)?;
        part(&mut row, "properties", &mut properties)?;
        part(&mut row, "context", &mut context)?;
        context.raw("library", &self.library());
        let is_track = kind.eq_ignore_ascii_case("track");
        if !is_track {
            call.take("name", &mut row, "name");
        }
        if kind.eq_ignore_ascii_case("identify") || kind.eq_ignore_ascii_case("group") {
            traits.rest(&row, &[]);
        } else {
            properties.rest(&row, &[]);
        }
        let mut properties = properties.finish();
        if is_track {
            properties = self.with_amounts(&properties, envelope.source.currency)?;
        }
        call.raw("properties", &properties);
        call.raw("traits", &traits.finish());
        call.raw("context", &context.finish());
        Ok(Written { call, id: None })
    }

    /// Properties of a track event with their amounts as the mapping of events reads them; those of a list of products, too.
    fn with_amounts(&self, properties: &str, otherwise: Currency) -> Result<String, Unfit> {
        let mut object = Object::read(properties).unwrap_or_default();
        let currency = parts::currency(&object, otherwise)?;
        parts::check_whole(&object, "quantity")?;
        let mut draft = Draft::default();
        for column in AMOUNTS.into_iter().chain(["price"]) {
            draft.raw_if(column, self.amount(&mut object, column, currency)?);
        }
        if let Some(elements) = object.get("products").and_then(json::elements) {
            draft.raw("products", &self.products(&elements, "products", currency)?);
            object.remove("products");
        }
        draft.rest(&object, &[]);
        Ok(draft.finish())
    }
}

/// Takes a part of a call: the columns that begin with its name, and the object of that name.
fn part(row: &mut Object<'_>, name: &'static str, into: &mut Draft) -> Result<(), Unfit> {
    parts::take_beginning(&format!("{name}."), row, into);
    parts::take_object(name, row, into)
}
