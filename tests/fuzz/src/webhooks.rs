//! A webhook, signed by the right secret unless the input says otherwise.
//!
//! What must hold: it is answered as documented; what it becomes is read again, and a dead letter is the payload to the letter;
//! a wrong signature leaves nothing.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use ingestion::{DEAD_LETTERS, PRIVACY, RECEIVED};
use sha2::Sha256;

use crate::fixture::{Answer, Fixture, NOW, SECRET};
use crate::input::Input;
use crate::records;

const SIGNATURES: [&str; 3] = ["x-shopify-hmac-sha256", "x-wc-webhook-signature", "x-pos-signature"];
const OTHER_SECRET: &str = "a secret of somebody else";

thread_local! {
    static FIXTURE: Fixture = Fixture::new();
}

pub(crate) fn run(bytes: &[u8]) {
    let Some(mut input) = Input::read(bytes) else { return };
    let body = input.body();
    let is_right = match input.order("sign") {
        Some("given") => false,
        Some("wrong") => {
            sign(&mut input, OTHER_SECRET, &body);
            false
        }
        _ => sign(&mut input, SECRET, &body),
    };
    let Some(request) = input.request(body) else { return };
    let is_of_a_page = records::is_of_a_page(request.uri().path());
    FIXTURE.with(|fixture| {
        let answer = fixture.send(request);
        if is_of_a_page {
            records::is_a_page(&answer);
        } else if answer.status == 200 {
            records::are_read_again(fixture, &answer.records);
            is_stored(&input, &answer, is_right);
        } else if input.method != "HEAD" {
            records::is_documented_refusal(&answer);
            assert!(answer.status != 401 || !is_right || input.path.starts_with("/v1/"), "the signature is right");
        }
    });
}

fn is_stored(input: &Input<'_>, answer: &Answer, is_right: bool) {
    let records = &answer.records;
    assert!(is_right || records.is_empty(), "nobody who may has signed this");
    assert!(records.iter().all(|record| matches!(record.dataset, RECEIVED | PRIVACY | DEAD_LETTERS)));
    let mut letters = records.iter().filter(|record| record.dataset == DEAD_LETTERS);
    if let Some(letter) = letters.next()
        && let Some(text) = input.text_seen()
    {
        assert_eq!(letter.value, records::kept(text), "a dead letter is the payload to the letter");
    }
    assert!(letters.next().is_none(), "a webhook has one dead letter at most");
}

/// Signs a body as the sender of its path does; returns whether it could.
fn sign(input: &mut Input<'_>, secret: &str, body: &[u8]) -> bool {
    for name in SIGNATURES {
        input.remove(name);
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any key will do");
    match input.path.split('?').next() {
        Some("/webhooks/shopify") => {
            mac.update(body);
            input.set(SIGNATURES[0], &STANDARD.encode(mac.finalize().into_bytes()));
        }
        Some("/webhooks/woocommerce") => {
            mac.update(body);
            input.set(SIGNATURES[1], &STANDARD.encode(mac.finalize().into_bytes()));
        }
        Some("/webhooks/till") => {
            input.set("x-pos-time", &(NOW.as_millis() / 1_000).to_string());
            for name in ["x-pos-delivery", "x-pos-time"] {
                // What is no text is no part of a signature.
                let part = input.header(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
                let Some(part) = part else { return false };
                // Twice, it would be no part either.
                input.set(name, &part);
                mac.update(part.as_bytes());
                mac.update(b".");
            }
            mac.update(body);
            let digits: Vec<String> = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
            input.set(SIGNATURES[2], &format!("sha256={}", digits.concat()));
        }
        _ => return false,
    }
    true
}
