//! A request to the door.
//!
//! What must hold: it is answered as documented; what is refused leaves nothing; of what is taken each event is in the log once,
//! in its order, as a record that is read again, or is a dead letter to the letter.

use ingestion::shell::LogRecord;
use ingestion::{DEAD_LETTERS, RECEIVED, ids};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::fixture::{Answer, Fixture};
use crate::input::Input;
use crate::records::{self, header};
use crate::seeds::token_for;

thread_local! {
    static FIXTURE: Fixture = Fixture::new();
}

pub(crate) fn run(bytes: &[u8]) {
    let Some(mut input) = Input::read(bytes) else { return };
    if let Some((page, rest)) = input.path.split_once("{token}") {
        input.path = format!("{page}{}{rest}", token_for(page));
    }
    let Some(request) = input.request(input.body()) else { return };
    let path = request.uri().path().to_owned();
    FIXTURE.with(|fixture| {
        let answer = fixture.send(request);
        records::are_read_again(fixture, &answer.records);
        if path.starts_with("/v1/") {
            is_a_call(fixture, &input, &path, &answer);
        } else if records::is_of_a_page(&path) {
            records::is_a_page(&answer);
        } else {
            is_elsewhere(&answer, &input);
        }
    });
}

fn is_a_call(fixture: &Fixture, input: &Input<'_>, path: &str, answer: &Answer) {
    let takes = input.method == "POST" && path != "/v1/m";
    match (input.method.as_str(), answer.status.as_u16()) {
        ("POST", 200) if takes => all_is_stored(fixture, input, path, &answer.records),
        (_, 200) => assert_eq!(answer.records, [], "only calls write"),
        ("HEAD", 401 | 404 | 405) => assert_eq!(answer.records, []),
        _ => records::is_documented_refusal(answer),
    }
}

/// An event, as far as it is compared.
#[derive(Deserialize)]
struct Named {
    #[serde(rename = "messageId")]
    message_id: String,
}

#[derive(Deserialize)]
struct Batch<'a> {
    #[serde(borrow)]
    batch: Vec<&'a RawValue>,
}

fn all_is_stored(fixture: &Fixture, input: &Input<'_>, path: &str, stored: &[LogRecord]) {
    assert!(stored.iter().all(|record| matches!(record.dataset, RECEIVED | DEAD_LETTERS)));
    let Some(text) = input.text_seen().map(records::kept) else { return };
    let events: Vec<&str> = if matches!(path, "/v1/batch" | "/v1/b") {
        // One that names its batch twice is read by the door alone.
        let Ok(batch) = serde_json::from_str::<Batch<'_>>(&text) else { return };
        batch.batch.into_iter().map(RawValue::get).collect()
    } else {
        vec![text.trim_matches([' ', '\t', '\r', '\n'])]
    };
    assert_eq!(stored.len(), events.len(), "each event is stored once");
    for (index, (record, json)) in stored.iter().zip(events).enumerate() {
        if record.dataset == DEAD_LETTERS {
            assert_eq!(record.value, json.as_bytes(), "a dead letter is the event to the letter");
            assert_eq!(header(record, "__connect.errors.offset"), index.to_string());
        } else if let Ok(Named { message_id: id }) = serde_json::from_str(json)
            && (1..=ids::MAX_MESSAGE_ID_BYTES).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric())
            && ids::names_somebody(&id)
        {
            assert_eq!(records::event(&fixture.schemas, record).message_id, id, "in its order");
        }
    }
}

fn is_elsewhere(answer: &Answer, input: &Input<'_>) {
    // A webhook without a signature: WooCommerce's ping.
    assert_eq!(answer.records, [], "nobody signed this");
    if answer.status != 200 && input.method != "HEAD" {
        records::is_documented_refusal(answer);
    }
}
