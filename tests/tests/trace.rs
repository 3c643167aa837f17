//! One event can be followed from the click to the e-mail, through processes, topics and a timer, and nobody can be read
//! out of what is told of it.
#![allow(clippy::unwrap_used, reason = "a test may fail by it")]

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use testkit::{OtlpReceiver, Process, SmtpSink, Span};
use tests::installation::{Installation, State};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";
const LIMIT: Duration = Duration::from_mins(2);

/// Whom nobody may find in a span or a log line.
const ADDRESS: &str = "ana@example.com";
const FIRST_NAME: &str = "Anamaria";

const JOURNEY: &str = "\
journey: welcome
version: 1
trigger: { event: Signed Up }
holdout: 0%
steps:
  - wait: 1s
  - message: { as: hello, template: hello, channel: email, category: transactional }
";
const MESSAGING: &str = "\
messaging: default
categories:
  transactional: { priority: 100, consent: none }
";
const TEMPLATE: &str = "\
template: hello
version: 1
en:
  subject: 'Welcome, {{ customer.first_name }}'
  body: |
    <mjml><mj-body><mj-section><mj-column><mj-text>Hello {{ customer.first_name }}</mj-text></mj-column></mj-section></mj-body></mjml>
";

fn write_definitions(folder: &Path) {
    for (name, text) in [("welcome.yaml", JOURNEY), ("messaging.yaml", MESSAGING), ("hello.yaml", TEMPLATE)] {
        std::fs::write(folder.join(name), text).unwrap();
    }
}

#[test]
fn one_trace_leads_from_the_http_request_through_a_timer_to_the_sent_email() {
    let (collector, mail) = (OtlpReceiver::start().unwrap(), SmtpSink::start().unwrap());
    let installation = Installation::start("live", State::Memory).unwrap();
    let settings = [
        format!("telemetry.otlp_endpoint={}", collector.endpoint()),
        "telemetry.log_format=json".to_owned(),
        format!("messaging.smtp.port={}", mail.port()),
        "messaging.smtp.security=none".to_owned(),
        "messaging.smtp.from=hello@example.com".to_owned(),
        // Less than the short session of the tests.
        "messaging.claim_deadline=2s".to_owned(),
    ];
    let services = ["door", "resolver", "journeys", "messaging", "segmentation"];
    let processes = services.map(|service| installation.run_with(&[service], 0, &settings).unwrap());
    installation.wait_for_door(&processes[0]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    write_definitions(folder.path());
    installation.command(&["apply", &folder.path().display().to_string(), "--wait"]).unwrap();

    let caller = format!("00-{TRACE}-{CALLER}-01");
    let event = format!(
        r#"{{"type":"track","event":"Signed Up","userId":"ana-7",
            "context":{{"traits":{{"email":"{ADDRESS}","firstName":"{FIRST_NAME}"}}}}}}"#
    );
    // The second of the batch says of nobody what happened: the door logs that it went to the dead letters.
    let batch = format!(r#"{{"batch":[{event},{{"type":"track","event":"Signed Up"}}]}}"#);
    installation.post("/v1/batch", &[("traceparent", &caller)], &batch).unwrap();
    let messages = mail.wait_for_messages(1, LIMIT).unwrap();
    assert_eq!((&messages[0].to[..], messages[0].subject.as_str()), (&[ADDRESS.to_owned()][..], "Welcome, Anamaria"));

    let told = |spans: &[Span]| {
        let has = |name: &str| spans.iter().any(|span| span.name == name);
        has("send email") && has("send messaging.outcomes") && has("POST /v1/batch") && has("fire timer")
    };
    let spans = collector.wait_for_spans(LIMIT, told).unwrap();
    let expected = [
        ("send email", "CLIENT", "vuelve-messaging"),
        ("process messaging.requests", "CONSUMER", "vuelve-messaging"),
        ("send messaging.requests", "PRODUCER", "vuelve-journeys"),
        ("process customer.events", "CONSUMER", "vuelve-journeys"),
        ("send customer.events", "PRODUCER", "vuelve-segmentation"),
        ("process storefront.events", "CONSUMER", "vuelve-segmentation"),
        ("send storefront.events", "PRODUCER", "vuelve-resolver"),
        ("process storefront.received", "CONSUMER", "vuelve-resolver"),
        ("send storefront.received", "PRODUCER", "vuelve-door"),
        ("POST /v1/batch", "SERVER", "vuelve-door"),
    ];
    let email = spans.iter().find(|span| span.name == "send email").unwrap();
    let chain = chain(&spans, email);
    let found: Vec<_> = chain.iter().map(|span| (span.name.as_str(), span.kind.as_str(), span.service())).collect();
    assert_eq!(found, expected);
    assert!(chain.iter().all(|span| span.trace_id == TRACE && span.status != "ERROR"), "{chain:#?}");
    assert_eq!(chain.last().unwrap().parent_id.as_deref(), Some(CALLER));

    // The timer is a link, both ways: to what had set it, and from what it sent.
    let (request, trigger) = (chain[2], chain[3]);
    let firing = spans.iter().find(|span| span.name == "fire timer").unwrap();
    assert!(firing.trace_id != TRACE && firing.parent_id.is_none(), "{firing:#?}");
    assert_eq!((&firing.links[0].trace_id, &firing.links[0].span_id), (&trigger.trace_id, &trigger.span_id));
    assert_eq!((&request.links[0].trace_id, &request.links[0].span_id), (&firing.trace_id, &firing.span_id));
    let waited_nanos = request.start_nanos - trigger.start_nanos;
    assert!(waited_nanos > 1_000_000_000, "the wait of the journey lies between them: {waited_nanos} ns");

    let all = format!("{spans:?}");
    assert_nobody_is_in(&all, "a span");
    assert_logs_tell_the_trace_and_nobody(&processes);
}

/// From a span to the one whose parent was not received.
fn chain<'a>(spans: &'a [Span], from: &'a Span) -> Vec<&'a Span> {
    std::iter::successors(Some(from), |span| {
        spans.iter().find(|parent| Some(&parent.span_id) == span.parent_id.as_ref())
    })
    .collect()
}

fn assert_nobody_is_in(text: &str, what: &str) {
    for personal in [ADDRESS, FIRST_NAME] {
        assert!(!text.contains(personal), "{personal} is in {what}: {text}");
    }
}

/// Every line is JSON; what the door said while it took the call names the trace.
fn assert_logs_tell_the_trace_and_nobody(processes: &[Process]) {
    for process in processes {
        let log = process.log();
        assert_nobody_is_in(&log, process.name());
        for line in log.lines() {
            let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            assert!(
                line["timestamp"].is_string() && line["level"].is_string() && line["message"].is_string(),
                "{line}"
            );
        }
    }
    let said = processes[0].log();
    let mut lines = said.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let dead = lines.find(|line| line["message"] == "events went to the dead letters").unwrap();
    assert_eq!((dead["trace_id"].as_str(), dead["reason"].as_str()), (Some(TRACE), Some("no_id")), "{dead}");
}
