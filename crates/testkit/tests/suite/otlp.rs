use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use testkit::OtlpReceiver;

use crate::{LIMIT, runs, timed};

const TRACE: &str = r#"{"resourceSpans":[{
  "resource":{"attributes":[{"key":"service.name","value":{"stringValue":"ingestion"}}]},
  "scopeSpans":[{"scope":{"name":"door"},"spans":[{
    "traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","name":"send storefront.received","kind":4,
    "startTimeUnixNano":"1544712660000000000","endTimeUnixNano":"1544712661000000000",
    "attributes":[{"key":"messaging.system","value":{"stringValue":"kafka"}}],
    "links":[{"traceId":"5b8efff798038103d269b633813fc60d","spanId":"eee19b7ec3c1b175"}],
    "status":{"code":2,"message":"the broker is away"}}]}]}]}"#;

fn post(receiver: &OtlpReceiver, body: &str) {
    let address = receiver.http_endpoint();
    let mut stream = TcpStream::connect(address.strip_prefix("http://").unwrap()).unwrap();
    write!(
        stream,
        "POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn the_receiver_gives_back_the_spans_that_were_sent() {
    let receiver = timed("otlp start", || OtlpReceiver::start().unwrap());
    assert!(receiver.spans().is_empty());
    post(&receiver, TRACE);
    let spans = receiver.wait_for_spans(LIMIT, |spans| !spans.is_empty()).unwrap();
    let [span] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!((span.service(), span.name.as_str()), ("ingestion", "send storefront.received"));
    assert_eq!((span.kind.as_str(), span.status.as_str()), ("PRODUCER", "ERROR"));
    assert_eq!(span.status_message, "the broker is away");
    assert_eq!(span.attributes["messaging.system"], "kafka");
    assert_eq!(span.links[0].trace_id, "5b8efff798038103d269b633813fc60d");
    assert_eq!(span.parent_id, None);

    let first = receiver.process().pid().unwrap();
    receiver.kill9().unwrap();
    receiver.restart().unwrap();
    assert!(receiver.spans().is_empty());
    post(&receiver, TRACE);
    receiver.wait_for_spans(LIMIT, |spans| spans.len() == 1).unwrap();
    let last = receiver.process().pid().unwrap();
    drop(receiver);
    assert!(!runs(first) && !runs(last));
}
