//! One click on the link in a mail's header: no further mail comes, and what would have come says why it did not.
#![allow(clippy::unwrap_used, reason = "a test may fail by it")]

use std::time::Duration;

use testkit::{SmtpSink, wait_until};
use tests::added;
use tests::installation::{Installation, State, smtp_sections};

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
