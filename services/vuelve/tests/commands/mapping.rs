//! `vuelve mapping test`: what webhooks of anybody would become, before a door is asked.

use std::path::PathBuf;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tempfile::TempDir;

use crate::{err, out, root, vuelve};

const MAPPING: &str = "examples/webhooks/point-of-sale.yaml";
const PAYLOAD: &str = "examples/webhooks/point-of-sale.json";
const SECRET: &str = "a secret of the till";

fn file(folder: &TempDir, name: &str, text: &str) -> String {
    let path: PathBuf = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn the_example_becomes_the_event_that_a_door_would_store() {
    let output = vuelve(&["mapping", "test", MAPPING, "--payload", PAYLOAD, "--header", "X-Pos-Delivery: d1"]);
    assert_eq!((output.status.code(), err(&output)), (Some(0), String::new()));
    let event: serde_json::Value = serde_json::from_str(&out(&output)).unwrap();
    assert_eq!((&event["name"], &event["message_id"]), (&"Order Completed".into(), &"test:d1:0".into()));
    assert_eq!(event["order"]["total_minor"], 4_890);
}

#[test]
fn a_signature_is_looked_at_where_the_secret_is_given_but_not_how_old_it_is() {
    let folder = TempDir::new().unwrap();
    let secret = file(&folder, "secret", &format!("another secret of the till\n{SECRET}\n"));
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(b"d1.1700000000.");
    mac.update(&std::fs::read(root().join(PAYLOAD)).unwrap());
    let digits = mac.finalize().into_bytes().iter().flat_map(|byte| [byte >> 4, byte & 15]).collect::<Vec<_>>();
    let hex: String = digits.into_iter().filter_map(|digit| char::from_digit(digit.into(), 16)).collect();
    for (time, code) in [("1700000000", 0), ("1700000001", 1)] {
        let headers =
            [format!("X-Pos-Time: {time}"), format!("X-Pos-Signature: sha256={hex}"), "X-Pos-Delivery: d1".to_owned()];
        let headers = headers.iter().flat_map(|header| ["--header", header]);
        let arguments = ["mapping", "test", MAPPING, "--payload", PAYLOAD, "--secret-file", &secret];
        let output = vuelve(&arguments.into_iter().chain(headers).collect::<Vec<_>>());
        assert_eq!(output.status.code(), Some(code), "{}", err(&output));
        assert!(code == 0 || err(&output).contains("not signed with this secret"), "{}", err(&output));
    }
}

#[test]
fn what_is_wrong_with_a_mapping_or_would_be_refused_ends_with_one() {
    let folder = TempDir::new().unwrap();
    let wrong = file(
        &folder,
        "wrong.yaml",
        "mapping: till\nsignature: { header: X-S }\nevents: [{ event: E, user_id: pyload.a }]\n",
    );
    let output = vuelve(&["mapping", "test", &wrong]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        err(&output).contains("wrong.yaml:3:31: error: `pyload` is unknown; did you mean `payload`?"),
        "{}",
        err(&output)
    );

    let strict = file(
        &folder,
        "strict.yaml",
        "mapping: till\nsignature: { header: X-S }\nevents:\n  - { when: has(payload.a), event: E, user_id: payload.a }\n",
    );
    let output = vuelve(&["mapping", "test", &strict]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    for (payload, says) in [
        ("{\"b\": 1}", "would go to the dead letters: no event"),
        ("{\"a\": \"null\"}", "event 0 would go to the dead letters: "),
        ("{\"a\": ", "not.json"),
    ] {
        let payload = file(&folder, "not.json", payload);
        let output = vuelve(&["mapping", "test", &strict, "--payload", &payload]);
        assert_eq!((output.status.code(), out(&output)), (Some(1), String::new()));
        assert!(err(&output).contains(says), "{says}: {}", err(&output));
    }
}
