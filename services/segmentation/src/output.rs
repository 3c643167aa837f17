//! What goes out: what happens to customers, the changes of their segments, and who they are.

use schemas::{CustomerEvent, CustomerProfile, EncodeError, PrivacyRequest, Schemas, SegmentChange};
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
    /// Who she is.
    Profile(Box<CustomerProfile>),
    /// Nobody any more.
    NoProfile(stream::Key),
    /// A device of hers is to be forgotten, too.
    Erase(Box<PrivacyRequest>),
}

impl stream::Output for Output {
    fn dataset(&self) -> Dataset {
        match self {
            Self::Event(_) | Self::Forgotten(_) => "customer.events",
            Self::Change(_) => "customer.segments",
            Self::Profile(_) | Self::NoProfile(_) => "customer.profiles",
            Self::Erase(_) => "privacy.requests",
        }
    }

    fn key(&self) -> &str {
        match self {
            Self::Event(event) => &event.customer_id,
            Self::Forgotten(customer) | Self::NoProfile(customer) => customer,
            Self::Change(change) => &change.customer_id,
            Self::Profile(profile) => &profile.customer_id,
            Self::Erase(request) => request.customer_id.as_deref().unwrap_or_default(),
        }
    }

    fn encode(&self, schemas: &Schemas, buffer: &mut Vec<u8>) -> Result<bool, EncodeError> {
        match self {
            Self::Event(event) => schemas.encode(self.dataset(), &**event, buffer)?,
            Self::Change(change) => schemas.encode(self.dataset(), &**change, buffer)?,
            Self::Profile(profile) => schemas.encode(self.dataset(), &**profile, buffer)?,
            Self::Erase(request) => schemas.encode(self.dataset(), &**request, buffer)?,
            Self::Forgotten(_) | Self::NoProfile(_) => return Ok(false),
        }
        Ok(true)
    }
}
