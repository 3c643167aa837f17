//! What goes out: what happens to customers, and the changes of their segments.

use schemas::{CustomerEvent, EncodeError, Schemas, SegmentChange};
use stream::Dataset;

/// A record that segmentation writes.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Something happened to a customer.
    Event(Box<CustomerEvent>),
    /// She is forgotten: a record without a value.
    Forgotten(stream::Key),
    /// She entered or left a segment.
    Change(Box<SegmentChange>),
}

impl stream::Output for Output {
    fn dataset(&self) -> Dataset {
        match self {
            Self::Event(_) | Self::Forgotten(_) => "customer.events",
            Self::Change(_) => "customer.segments",
        }
    }

    fn key(&self) -> &str {
        match self {
            Self::Event(event) => &event.customer_id,
            Self::Forgotten(customer) => customer,
            Self::Change(change) => &change.customer_id,
        }
    }

    fn encode(&self, schemas: &Schemas, buffer: &mut Vec<u8>) -> Result<bool, EncodeError> {
        match self {
            Self::Event(event) => schemas.encode(self.dataset(), &**event, buffer)?,
            Self::Forgotten(_) => return Ok(false),
            Self::Change(change) => schemas.encode(self.dataset(), &**change, buffer)?,
        }
        Ok(true)
    }
}
