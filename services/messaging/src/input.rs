//! What the inputs say, read from their records.

use domain::Timestamp;
use links::AddressHash;
use schemas::{CommandKind, Contract, DecodeError, MessageRequest, MessagingCommand, RequestAction, Schemas};
use stream::{Decoded, Key, Poison, RecordRef};

use crate::topology;

/// Ids of messages are kept in the state, many of them: a longer one is refused.
const MAX_MESSAGE_ID_BYTES: usize = 255;
/// A longer reason is cut off.
const MAX_REASON_BYTES: usize = 255;

/// What an input's record asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// Send this message.
    Request(Box<MessageRequest>),
    /// Cancel what is not yet claimed of a run.
    Cancel(Cancel),
    /// Write to an address no more.
    Unsubscribe(Wish),
    /// Write to it again.
    Subscribe(Wish),
    /// She is forgotten: a record without a value.
    Erased,
    /// Something newer than this reader.
    Unknown,
}

/// The end of a run: its messages that are not yet claimed are not to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cancel {
    /// The run.
    pub run_id: String,
    /// Why, as a fixed word.
    pub reason: Option<String>,
}

/// A customer's wish to get no more messages at an address, or to get them again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The address; none if the command names it in no form that we know.
    pub address: Option<AddressHash>,
    /// The message from which it came.
    pub message_id: Option<String>,
    /// The shop.
    pub shop: String,
    /// When she asked.
    pub at: Timestamp,
}

/// Reads a record of one of the topology's inputs.
pub(crate) fn decode(schemas: &Schemas, record: &RecordRef<'_>) -> Result<Decoded<Input>, Poison> {
    let key = key_of(record)?;
    match record.input {
        topology::REQUESTS => request(schemas, record, key),
        _ => command(schemas, record, key),
    }
}

fn request(schemas: &Schemas, record: &RecordRef<'_>, key: Key) -> Result<Decoded<Input>, Poison> {
    if record.value.is_none() {
        return Ok(Decoded { key, at: Timestamp::MIN, input: Input::Erased });
    }
    let request: MessageRequest = value_of(schemas, record)?;
    same_customer(&key, &request.customer_id)?;
    let at = Timestamp::from_millis(request.requested_at);
    let input = match request.action {
        RequestAction::Request if request.message_id.len() > MAX_MESSAGE_ID_BYTES => {
            return Err(poison("message_id_too_long", "the message's id has more than 255 bytes"));
        }
        RequestAction::Request => Input::Request(Box::new(request)),
        RequestAction::Cancel => {
            Input::Cancel(Cancel { run_id: request.run_id, reason: request.reason.map(shortened) })
        }
        RequestAction::Other => Input::Unknown,
    };
    Ok(Decoded { key, at, input })
}

/// A claimed message keeps it until it ends.
fn shortened(mut reason: String) -> String {
    reason.truncate(reason.floor_char_boundary(MAX_REASON_BYTES));
    reason
}

fn command(schemas: &Schemas, record: &RecordRef<'_>, key: Key) -> Result<Decoded<Input>, Poison> {
    let command: MessagingCommand = value_of(schemas, record)?;
    same_customer(&key, &command.customer_id)?;
    // By a door's clock that goes ahead she would have wished it after what she wishes next.
    let at = Timestamp::from_millis(command.at).min(record.timestamp);
    let wish = Wish {
        address: command.address_hash.and_then(|text| text.parse().ok()),
        message_id: command.message_id,
        shop: command.shop,
        at,
    };
    let input = match command.kind {
        CommandKind::Unsubscribe => Input::Unsubscribe(wish),
        CommandKind::Subscribe => Input::Subscribe(wish),
        CommandKind::Other => Input::Unknown,
    };
    Ok(Decoded { key, at, input })
}

fn key_of(record: &RecordRef<'_>) -> Result<Key, Poison> {
    let key = record.key.filter(|key| !key.is_empty());
    let key = key.ok_or_else(|| poison("no_key", "the record has no key; the customer id is expected"))?;
    std::str::from_utf8(key).map(Key::from).map_err(|_| poison("malformed_key", "the record's key is not UTF-8"))
}

/// Reads a record's value in the schema that its writer used.
pub(crate) fn value_of<T: Contract>(schemas: &Schemas, record: &RecordRef<'_>) -> Result<T, Poison> {
    let value = record.value.ok_or_else(|| poison("no_value", "the record has no value"))?;
    schemas.decode(value).map_err(|error: DecodeError| Poison { reason: "malformed", detail: error.to_string() })
}

fn same_customer(key: &Key, customer_id: &str) -> Result<(), Poison> {
    if **key == *customer_id {
        Ok(())
    } else {
        Err(poison("key_mismatch", "the record's key is not the customer id that its value names"))
    }
}

pub(crate) fn poison(reason: &'static str, detail: &str) -> Poison {
    Poison { reason, detail: detail.to_owned() }
}
