//! A mail comes; its link leads to the shop, and that she followed it is an event that her journey has waited for; on the page
//! of preferences she says what she wants to get.
#![allow(clippy::unwrap_used, reason = "a test may fail by it")]

use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::{SmtpSink, wait_until};
use tests::added;
use tests::installation::{Installation, State, smtp_sections};
use ureq::http::Response;
use ureq::{Agent, Body};

const LIMIT: Duration = Duration::from_mins(2);
const CART: &str = "https://shop.example.com/cart?from=mail&day=1";
const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0";
/// Whoever follows a link sooner than this after sending is taken for a program.
const NO_MACHINE_AFTER: Duration = Duration::from_millis(3_500);

const MESSAGING: &str = "messaging: default\ncategories: { cart: { priority: 80 } }\n";
const JOURNEY: &str = "
journey: cart
version: 1
trigger: Product Added
holdout: 0%
steps:
  - wait: 1s
  - message: { as: first, template: first, category: cart }
  - wait: { for: { event: Email Link Clicked, about: first }, timeout: 10m }
  - message: { as: thanks, template: first, category: cart }
";
const TEMPLATE: &str = r#"
template: first
version: 1
en:
  subject: Your cart
  body: |
    <mjml><mj-body><mj-section><mj-column>
      <mj-button href="https://shop.example.com/cart?from=mail&amp;day=1">Back to my cart</mj-button>
      <mj-text><a href="{{ unsubscribe_url }}">off</a> <a href="{{ preferences_url }}">choose</a></mj-text>
    </mj-column></mj-section></mj-body></mjml>
"#;

/// Asks for a page under this name, and goes nowhere from there.
fn open(url: &str, user_agent: &str) -> Response<Body> {
    let config = Agent::config_builder().max_redirects(0).max_redirects_will_error(false).http_status_as_error(false);
    Agent::new_with_config(config.user_agent(user_agent).build()).get(url).call().unwrap()
}

/// The door's address in a mail that begins with this path.
fn link(html: &str, door: &str, path: &str) -> String {
    let begin = format!("{door}{path}");
    let (_, rest) = html.split_once(&begin).unwrap_or_else(|| panic!("no {begin} in {html}"));
    format!("{begin}{}", rest.split('"').next().unwrap())
}

fn click(link: &str, user_agent: &str) {
    let answer = open(link, user_agent);
    assert_eq!(answer.status().as_u16(), 302);
    assert_eq!(answer.headers()["location"], CART);
}

/// The properties of her events of a name, once there are so many.
fn properties(installation: &Installation, name: &str, count: usize) -> Vec<Value> {
    wait_until(LIMIT, "the event of a link", || {
        let records = installation.records("storefront.events").ok()?;
        let named = records.iter().filter(|record| record.value["name"] == name);
        let properties: Vec<Value> = named
            .map(|record| {
                assert_eq!(record.key.as_deref(), Some("ana"));
                serde_json::from_str(record.value["properties_json"].as_str().unwrap()).unwrap()
            })
            .collect();
        (properties.len() >= count).then_some(properties)
    })
    .unwrap()
}

#[test]
fn a_link_in_a_mail_leads_to_the_shop_and_her_journey_goes_on_with_her_click() {
    let mail = SmtpSink::start().unwrap();
    let sections = smtp_sections(&mail)
        + "[messaging]\nclaim_deadline = \"2s\"\ntracking = { opens = true }\n[messaging.shops.test]\nurl = \"https://shop.example.com\"\n";
    let installation = Installation::start_with("live", State::Memory, &sections).unwrap();
    let door = installation.door();
    let all = installation.run_with(&["--all"], 0, &[format!("links.base_url={door}")]).unwrap();
    installation.wait_for_door(&all).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [("messaging", MESSAGING), ("journey", JOURNEY), ("template", TEMPLATE)] {
        fs::write(folder.path().join(format!("{name}.yaml")), text).unwrap();
    }
    installation.command(&["apply", &folder.path().display().to_string(), "--wait"]).unwrap();

    installation.post("/v1/track", &[], &added("ana")).unwrap();
    let html = mail.wait_for_messages(1, LIMIT).unwrap()[0].html.clone().unwrap();
    let sent = Instant::now();
    assert!(!html.contains(CART) && html.contains("/u/"), "{html}");

    // A scanner at delivery, and she herself later.
    click(&link(&html, &door, "/c/"), "Slackbot-LinkExpanding 1.0");
    assert_eq!(properties(&installation, "Email Link Clicked", 1)[0]["machine_reason"], "scanner");
    std::thread::sleep(NO_MACHINE_AFTER.saturating_sub(sent.elapsed()));
    let picture = open(&link(&html, &door, "/o/"), BROWSER);
    assert_eq!((picture.status().as_u16(), &picture.headers()["content-type"]), (200, &"image/gif".parse().unwrap()));
    assert_eq!(properties(&installation, "Email Opened", 1)[0]["machine"], false);
    assert_eq!(mail.messages().unwrap().len(), 1, "the scanner's click is not hers");
    click(&link(&html, &door, "/c/"), BROWSER);
    let clicks = properties(&installation, "Email Link Clicked", 2);
    assert_eq!((&clicks[1]["machine"], clicks[1]["link_url"].as_str()), (&Value::Bool(false), Some(CART)));
    assert_eq!(mail.wait_for_messages(2, LIMIT).unwrap().len(), 2);

    // What she chooses is what is held against her address, and is taken back.
    let preferences = link(&html, &door, "/p/");
    assert!(preferences.ends_with("?lang=en"));
    assert_eq!(open(&preferences, BROWSER).status().as_u16(), 200);
    for (choice, written) in [("off", 1), ("on", 2)] {
        assert_eq!(ureq::post(&preferences).send_form([("marketing", choice)]).unwrap().status().as_u16(), 200);
        let suppressions = wait_until(LIMIT, "the suppression", || {
            let records = installation.records("messaging.suppressions").ok()?;
            (records.len() >= written).then_some(records)
        })
        .unwrap();
        assert_eq!(suppressions.last().unwrap().value.is_null(), choice == "on");
    }
}
