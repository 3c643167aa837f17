//! What comes in: storefront events, and wishes about a customer's data.

use domain::Timestamp;
use schemas::{PrivacyRequest, Schemas};
use stream::{Decoded, Poison, RecordRef};

use crate::received::{self, Received};

/// Index of the wishes among the inputs.
const PRIVACY: usize = 1;

/// A record that concerns whoever its key names.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// A storefront event, as it came.
    Received(Received),
    /// A customer, or a shop, asks something about their data.
    Privacy(Box<PrivacyRequest>),
}

pub(crate) fn decode(schemas: &Schemas, record: &RecordRef<'_>) -> Result<Decoded<Input>, Poison> {
    if record.input != PRIVACY {
        let Decoded { key, at, input } = received::decode(schemas, record)?;
        return Ok(Decoded { key, at, input: Input::Received(input) });
    }
    let key = record.customer()?;
    let value =
        record.value.ok_or_else(|| Poison { reason: "no_value", detail: "the record has no value".to_owned() })?;
    let request: PrivacyRequest =
        schemas.decode(value).map_err(|error| Poison { reason: "malformed", detail: error.to_string() })?;
    Ok(Decoded { key, at: Timestamp::from_millis(request.at), input: Input::Privacy(Box::new(request)) })
}
