//! A broker that stands still, and one that is killed: the services wait, go on by themselves, and send everything once.
#![allow(clippy::unwrap_used, reason = "a test may fail by it")]

use std::time::Duration;

use testkit::{Process, SmtpSink, wait_until};
use tests::installation::Installation;

const LIMIT: Duration = Duration::from_mins(2);
/// Longer than the sessions (3 s) and transactions (8 s) of a test's installation, and than the controller waits for its broker
/// (12 s): it then says for a moment that the cluster has no brokers, and whoever asks in that moment knows none any more.
const STANDSTILL: Duration = Duration::from_secs(16);

fn added(user: &str) -> String {
    format!(
        r#"{{"type":"track","event":"Product Added","messageId":"m-{user}","userId":"{user}",
            "properties":{{"cart_id":"c-{user}"}},"context":{{"traits":{{"email":"{user}@example.com"}}}}}}"#
    )
}

/// A cart is left, as soon as the door takes it; its reminder comes.
fn a_cart_is_left_and_reminded_of(installation: &Installation, mail: &SmtpSink, user: &str) {
    let mailed = mail.messages().unwrap().len();
    let what = format!("the door to take the cart of {user}");
    wait_until(LIMIT, &what, || installation.post("/v1/track", &[], &added(user)).ok()).unwrap();
    let messages = mail.wait_for_messages(mailed + 1, LIMIT).unwrap();
    assert_eq!(messages.last().unwrap().to, [format!("{user}@example.com")]);
}

#[test]
fn after_a_broker_that_stood_still_or_was_killed_every_service_goes_on_by_itself() {
    let mail = SmtpSink::start().unwrap();
    let (installation, services) = Installation::start_shop(&mail, &["1s"]).unwrap();
    a_cart_is_left_and_reminded_of(&installation, &mail, "before");

    installation.kafka.pause().unwrap();
    std::thread::sleep(STANDSTILL);
    installation.kafka.resume().unwrap();
    a_cart_is_left_and_reminded_of(&installation, &mail, "after-a-standstill");

    installation.kafka.kill9().unwrap();
    installation.kafka.restart().unwrap();
    a_cart_is_left_and_reminded_of(&installation, &mail, "after-a-kill");

    assert!(services.iter().all(Process::is_running));
    let sent = installation.records("messaging.outcomes").unwrap();
    assert_eq!(sent.len(), 3, "{sent:?}");
    assert_eq!(mail.messages().unwrap().len(), 3);
}
