use schemas::{EncodeError, Schemas, StorefrontEvent};
use stream::{Dataset, Output};

/// What the resolver writes.
#[derive(Clone, Debug, PartialEq)]
pub enum Resolved {
    /// The event, under its customer.
    Event(Box<StorefrontEvent>),
    /// A record that lay on another partition than its key's, put where it belongs.
    Forward {
        /// Its key, as it came.
        key: String,
        /// The event, with one hop more.
        event: Box<StorefrontEvent>,
    },
}

impl Output for Resolved {
    fn dataset(&self) -> Dataset {
        match self {
            Self::Event(_) => crate::EVENTS,
            Self::Forward { .. } => crate::RECEIVED,
        }
    }

    fn key(&self) -> &str {
        match self {
            Self::Event(event) => event.customer_id.as_deref().unwrap_or_default(),
            Self::Forward { key, .. } => key,
        }
    }

    fn encode(&self, schemas: &Schemas, buffer: &mut Vec<u8>) -> Result<bool, EncodeError> {
        let (Self::Event(event) | Self::Forward { event, .. }) = self;
        schemas.encode(self.dataset(), event.as_ref(), buffer).map(|()| true)
    }
}
