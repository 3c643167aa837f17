//! What must hold of every record that the door writes, and of every answer.

use ingestion::mapping::mend_surrogates;
use ingestion::shell::LogRecord;
use ingestion::{COMMANDS, DEAD_LETTERS, PRIVACY, RECEIVED, ids};
use schemas::{MessagingCommand, PrivacyRequest, Schemas, StorefrontEvent};
use serde_json::Value;

use crate::fixture::{Answer, Fixture, NOW};

/// What `services/ingestion/README.md` says that a call is answered, as long as the log stores everything and nobody is slow.
const REFUSALS: [(u16, &str); 8] = [
    (400, "unreadable"),
    (401, "wrong_write_key"),
    (401, "wrong_signature"),
    (404, "no_such_path"),
    (405, "wrong_method"),
    (413, "too_large"),
    (413, "too_many_events"),
    (400, "interrupted"),
];

/// Refused in the documented form: `code` and `message`, and nothing was written.
pub(crate) fn is_documented_refusal(answer: &Answer) {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let status = answer.status.as_u16();
    let code = body["code"].as_str().unwrap_or("(none)");
    assert!(REFUSALS.contains(&(status, code)), "{status} {code} is not documented: {:?}", answer.body);
    assert!(body["message"].is_string(), "a refusal says why");
    assert_eq!(answer.records, [], "nothing of what is refused is written");
}

/// Whether this path is one of people and mail programs, who are answered with pages.
pub(crate) fn is_of_a_page(path: &str) -> bool {
    ["/u/", "/p/", "/c/", "/o/"].iter().any(|page| path.starts_with(page))
}

/// A page, a pixel or a way on; nothing was written of what is refused.
pub(crate) fn is_a_page(answer: &Answer) {
    let status = answer.status.as_u16();
    assert!(matches!(status, 200 | 302 | 303 | 400 | 404 | 405), "{status} of a page");
    assert!(answer.records.len() <= 1, "one click is one record");
    let written = answer.records.first().map(|record| record.dataset);
    assert!(matches!(written, None | Some(RECEIVED | COMMANDS)), "{written:?}");
    assert!(written.is_none() || status < 400, "what is refused is not written");
}

/// Each record is read again, and says what its data set is for.
pub(crate) fn are_read_again(fixture: &Fixture, records: &[LogRecord]) {
    for record in records {
        match record.dataset {
            RECEIVED => {
                event(&fixture.schemas, record);
            }
            PRIVACY => {
                let request: PrivacyRequest = fixture.schemas.decode(&record.value).expect("a request");
                assert!(
                    request.customer_id.is_some_and(|id| !id.is_empty()) || record.key.as_ref() == Some(&request.shop)
                );
            }
            COMMANDS => {
                let _command: MessagingCommand = fixture.schemas.decode(&record.value).expect("a command");
                assert!(record.key.as_ref().is_some_and(|key| !key.is_empty()));
            }
            DEAD_LETTERS => {
                assert!(!header(record, "__connect.errors.exception.class.name").is_empty());
                assert_eq!(header(record, "content-type"), "application/json");
            }
            other => panic!("the door does not write to {other}"),
        }
    }
}

/// The event of a record, which is the same written again.
pub(crate) fn event(schemas: &Schemas, record: &LogRecord) -> StorefrontEvent {
    let event: StorefrontEvent = schemas.decode(&record.value).expect("an event");
    let mut again = Vec::new();
    schemas.encode(RECEIVED, &event, &mut again).expect("it was written");
    assert_eq!(again, record.value, "what was read is what was written");
    assert_eq!(record.key.as_deref(), ids::received_key(&event));
    assert!(record.key.as_ref().is_some_and(|key| !key.is_empty()), "everybody is somebody");
    assert!((1..=ids::MAX_MESSAGE_ID_BYTES).contains(&event.message_id.len()));
    assert!(event.event_time <= NOW.as_millis(), "nothing happens after now");
    for rest in [&event.properties_json, &event.traits_json, &event.context_json].into_iter().flatten() {
        let rest: Value = serde_json::from_str(rest).expect("the rest is JSON for every reader");
        assert!(rest.is_object());
    }
    event
}

pub(crate) fn header<'a>(record: &'a LogRecord, name: &str) -> &'a str {
    let value = record.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value);
    value.and_then(|value| str::from_utf8(value).ok()).unwrap_or_default()
}

/// A text as the door keeps it: halves of characters are none.
pub(crate) fn kept(text: &str) -> String {
    mend_surrogates(text).into_owned()
}
