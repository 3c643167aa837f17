//! Customers: who somebody is, and what is known of her.

use super::{Terms, Unfit, Written, parts};
use crate::mapping::draft::Draft;
use crate::mapping::event::Envelope;
use crate::mapping::json::Object;

impl Terms<'_> {
    pub(super) fn customer(&self, rows: &[Object<'_>], envelope: &Envelope<'_>) -> Result<Written, Unfit> {
        let mut row = rows.first().cloned().unwrap_or_default();
        let mut call = Draft::default();
        call.text("type", "identify");
        parts::who(&mut row, &mut call)?;
        // Without one it is of now: what a shop knows of a customer often has no date.
        call.text_if("timestamp", self.time(&mut row, &["time"], envelope.received_at)?.as_deref());
        let mut context = Draft::default();
        context.raw("library", &self.library());
        if let Some(consent) = parts::consent(&mut row)? {
            context.raw("consent", consent);
        }
        let mut traits = parts::traits(&mut row);
        traits.rest(&row, &[]);
        call.raw("traits", &traits.finish());
        call.raw("context", &context.finish());
        Ok(Written { call, id: None })
    }
}
