//! What goes out: changes of segments.

use schemas::{EncodeError, Schemas, SegmentChange};
use stream::Dataset;

/// A record that segmentation writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// A customer entered or left a segment.
    Change(Box<SegmentChange>),
}

impl stream::Output for Output {
    fn dataset(&self) -> Dataset {
        match self {
            Self::Change(_) => "customer.segments",
        }
    }

    fn key(&self) -> &str {
        match self {
            Self::Change(change) => &change.customer_id,
        }
    }

    fn encode(&self, schemas: &Schemas, buffer: &mut Vec<u8>) -> Result<bool, EncodeError> {
        match self {
            Self::Change(change) => schemas.encode(self.dataset(), &**change, buffer)?,
        }
        Ok(true)
    }
}
