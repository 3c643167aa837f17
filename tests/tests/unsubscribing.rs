//! One click on the link in a mail's header: no further mail comes, and what would have come says why it did not; whoever asks for
//! her is told that she can't be reached, until she wants to be written to again.
#![allow(clippy::unwrap_used, reason = "a test may fail by it")]

use std::time::Duration;

use proto::FieldMask;
use proto::segmentation::v1::segmentation_service_client::SegmentationServiceClient;
use proto::segmentation::v1::{Channel, GetCustomerRequest, Reachability, UnreachableReason};
use testkit::{SmtpSink, free_port, wait_until};
use tests::added;
use tests::installation::{Installation, State, smtp_sections};
use tonic::transport::Endpoint;

const LIMIT: Duration = Duration::from_mins(2);

#[test]
fn the_one_click_link_of_the_first_reminder_stops_the_second_and_opening_it_does_not() {
    let mail = SmtpSink::start().unwrap();
    let sections = smtp_sections(&mail) + "[messaging]\nclaim_deadline = \"2s\"\n";
    let installation = Installation::start_with("live", State::Memory, &sections).unwrap();
    let all = installation.run_with(&["--all"], 0, &[format!("links.base_url={}", installation.door())]).unwrap();
    installation.wait_for_door(&all).unwrap();
    installation.apply(&["1s", "5s"]).unwrap();

    // Somebody's scanner opens her link, and she herself clicks.
    installation.post("/v1/track", &[], &added("opens")).unwrap();
    installation.post("/v1/track", &[], &added("clicks")).unwrap();
    let first = mail.wait_for_messages(2, LIMIT).unwrap();
    let link = |user: &str| {
        let message = first.iter().find(|message| message.to[0].starts_with(user)).unwrap();
        assert_eq!(message.header("List-Unsubscribe-Post"), Some("List-Unsubscribe=One-Click"));
        message.header("List-Unsubscribe").unwrap().trim_matches(['<', '>']).to_owned()
    };
    assert_eq!(ureq::get(link("opens")).call().unwrap().status().as_u16(), 200);
    let clicked = ureq::post(link("clicks")).send_form([("List-Unsubscribe", "One-Click")]).unwrap();
    assert_eq!(clicked.status().as_u16(), 200);

    let outcomes = wait_until(LIMIT, "an outcome of every reminder", || {
        let outcomes = installation.records("messaging.outcomes").ok()?;
        (outcomes.len() >= 4).then_some(outcomes)
    })
    .unwrap();
    let of = |user: &str| {
        let hers = outcomes.iter().filter(|record| record.key.as_deref() == Some(user));
        hers.map(|record| record.value["outcome"].as_str().unwrap().to_lowercase()).collect::<Vec<_>>()
    };
    assert_eq!(of("opens"), ["sent", "sent"]);
    assert_eq!(of("clicks"), ["sent", "unsubscribed"]);
    assert_eq!(mail.messages().unwrap().iter().filter(|message| message.to[0].starts_with("clicks")).count(), 1);
    assert_eq!(installation.records("messaging.suppressions").unwrap().len(), 1);
}

const CART: &str = "
messaging: default
categories: { cart: { priority: 80 } }
---
journey: cart
version: 1
trigger: Product Added
holdout: 0%
steps: [ { message: { as: first, template: first, category: cart } } ]
---
segment: by-letter
version: 1
enter: customer.known && !customer.reachable.email
";
const FIRST: &str = r#"
template: first
version: 1
en:
  subject: Your cart
  body: '<mjml><mj-body><mj-section><mj-column><mj-text><a href="{{ preferences_url }}">choose</a></mj-text></mj-column></mj-section></mj-body></mjml>'
"#;

#[test]
fn who_unsubscribed_can_not_be_reached_and_is_in_segments_of_those_until_she_subscribes_again() {
    let mail = SmtpSink::start().unwrap();
    let sections = smtp_sections(&mail) + "[messaging]\nclaim_deadline = \"2s\"\n";
    let installation = Installation::start_with("live", State::Redis, &sections).unwrap();
    let services = installation.run_each(&["door", "resolver", "journeys"], 0..1).unwrap();
    let links = [format!("links.base_url={}", installation.door())];
    let _messaging = installation.run_with(&["messaging"], 0, &links).unwrap();
    let address = format!("127.0.0.1:{}", free_port().unwrap());
    let _segmentation = installation.run_with(&["segmentation"], 0, &[format!("grpc.listen={address}")]).unwrap();
    installation.wait_for_door(&services[0]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [("cart", CART), ("first", FIRST)] {
        std::fs::write(folder.path().join(format!("{name}.yaml")), text).unwrap();
    }
    installation.command(&["apply", &folder.path().display().to_string(), "--wait"]).unwrap();

    installation.post("/v1/track", &[], &added("ana")).unwrap();
    let message = mail.wait_for_messages(1, LIMIT).unwrap().remove(0);
    let reachable = |reachable, reason: UnreachableReason| {
        wait_until(LIMIT, "whether she can be reached", || {
            let told = reachability(&address, "ana")?;
            (told.reachable == reachable && told.reason() == reason).then_some(told)
        })
        .unwrap()
    };
    let changes = |count: usize| {
        wait_until(LIMIT, "a change of segments", || {
            let records = installation.records("customer.segments").ok()?;
            (records.len() >= count).then_some(records)
        })
        .unwrap()
    };
    assert_eq!(reachable(true, UnreachableReason::Unspecified).channel(), Channel::Email);

    let link = message.header("List-Unsubscribe").unwrap().trim_matches(['<', '>']).to_owned();
    assert_eq!(ureq::post(link).send_form([("List-Unsubscribe", "One-Click")]).unwrap().status().as_u16(), 200);
    assert!(reachable(false, UnreachableReason::Unsubscribed).since.is_some());
    let entered = changes(1).remove(0).value;
    assert_eq!([word(&entered["segment"]), word(&entered["change"])], ["by-letter", "entered"]);
    assert_eq!(word(&entered["cause"]), "reachability");

    let html = message.html.unwrap();
    let begin = format!("{}/p/", installation.door());
    let (_, rest) = html.split_once(&begin).unwrap_or_else(|| panic!("no preferences in {html}"));
    let preferences = format!("{begin}{}", rest.split('"').next().unwrap());
    assert_eq!(ureq::post(&preferences).send_form([("marketing", "on")]).unwrap().status().as_u16(), 200);
    reachable(true, UnreachableReason::Unspecified);
    let left = changes(2).pop().unwrap().value;
    assert_eq!([word(&left["change"]), word(&left["cause"])], ["left", "reachability"]);
}

fn word(value: &serde_json::Value) -> String {
    value.as_str().unwrap_or_default().to_lowercase()
}

/// Asks for her; none while nobody answers, or knows her.
fn reachability(address: &str, customer: &str) -> Option<Reachability> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        let mut client = SegmentationServiceClient::new(endpoint.connect().await.ok()?);
        let request = GetCustomerRequest {
            customer_id: customer.to_owned(),
            read_mask: Some(FieldMask { paths: vec!["reachability".to_owned()] }),
            ..GetCustomerRequest::default()
        };
        client.get_customer(request).await.ok()?.into_inner().customer?.reachability.pop()
    })
}
