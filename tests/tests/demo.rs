//! The demo as somebody runs it: the binary, its pages, and what lies in the mailbox against what the shop sent.
#![allow(clippy::unwrap_used, reason = "a test may fail by it")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;
use testkit::{Process, wait_until};
use tests::{root, vuelve};

/// On a busy machine.
const LIMIT: Duration = Duration::from_mins(2);
const HOUR: i64 = 3_600;

#[test]
fn it_ends_by_itself_once_enough_messages_have_come_and_says_when_the_first_one_did() {
    let demo = demo(&["--until-messages", "3", "--speed", "20000"]);
    demo.wait_for_success(LIMIT).unwrap();
    assert!(demo.log().contains("The first e-mail came "), "{}", demo.log());
}

#[test]
fn what_lies_in_the_mailbox_is_what_the_journeys_say_and_the_pages_show_it_safely() {
    let demo = demo(&["--speed", "20000", "--seed", "5"]);
    let pages = pages(&demo);
    let of_kinds = |mailbox: &Value| -> BTreeSet<String> {
        mailbox.as_array().unwrap().iter().map(|message| text(message, "template")).collect()
    };
    // A first and a second reminder of carts, and one of a look.
    let mailbox = wait_until(LIMIT, "reminders of three kinds", || {
        let mailbox = json(&pages, "/mailbox.json");
        (of_kinds(&mailbox).len() >= 3).then_some(mailbox)
    })
    .unwrap();
    check(&mailbox, &json(&pages, "/shop.json"));
    check_pages(&pages, &mailbox);
    check_unsubscribing(&pages, &mailbox);
    assert!(demo.term(Duration::from_secs(30)).unwrap().success(), "{}", demo.log());
}

fn demo(arguments: &[&str]) -> Process {
    let demo = Process::spec("vuelve-demo", vuelve()).args(["demo", "--listen", "127.0.0.1:0"]).args(arguments);
    demo.dir(root()).start().unwrap()
}

/// Where it says that its pages are.
fn pages(demo: &Process) -> String {
    demo.wait_for_log("mailbox  http", LIMIT).unwrap();
    let log = demo.log();
    let (_, address) = log.split_once("status   ").unwrap();
    address.lines().next().unwrap().trim_end_matches('/').to_owned()
}

/// Each reminder is due when the journey says, by what the shop sent up to then; none after the purchase.
fn check(mailbox: &Value, sent: &Value) {
    let mut additions: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    let mut purchases: BTreeMap<String, i64> = BTreeMap::new();
    let mut looks: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for call in sent.as_array().unwrap() {
        let at = seconds(call, "at");
        match call["event"].as_str().unwrap() {
            "Product Added" => additions.entry(text(call, "cart")).or_default().push(at),
            "Order Completed" => assert!(purchases.insert(text(call, "cart"), at).is_none()),
            "Product Viewed" => looks.entry(text(call, "customer")).or_default().push(at),
            _ => {}
        }
    }
    let mut seen = BTreeSet::new();
    for message in mailbox.as_array().unwrap() {
        let (due, trigger) = (seconds(message, "due_at"), &message["trigger"]);
        assert!(seen.insert((text(message, "run_id"), text(message, "step"))), "twice: {message}");
        assert_eq!(text(message, "to"), format!("{}@example.com", text(message, "customer")));
        assert!(seconds(message, "sent_at") - due <= 600, "a step of the shop's time is ten minutes: {message}");
        let after = match text(message, "template").as_str() {
            "cart-reminder-1" => HOUR,
            "cart-reminder-2" => 24 * HOUR,
            "cart-reminder-3" => 72 * HOUR,
            "browse-follow-up" => {
                let last = looks[&text(message, "customer")].iter().filter(|at| **at < due).max().unwrap();
                assert_eq!(due - last, 4 * HOUR, "{message}");
                continue;
            }
            other => panic!("nobody has a template called {other}"),
        };
        let cart = text(trigger, "cart");
        let last = additions[&cart].iter().max().unwrap();
        assert_eq!((due - last, seconds(trigger, "at")), (after, *last), "{message}");
        assert!(purchases.get(&cart).is_none_or(|bought| *bought >= due), "bought before: {message}");
    }
}

fn check_pages(pages: &str, mailbox: &Value) {
    let newest = &mailbox[0];
    let path = format!("/mailbox/{}", newest["number"]);
    let list = get(pages, "/mailbox", "es-ES");
    assert!(list.body.contains("<html lang=\"es\">") && list.body.contains("Buzón"), "{}", list.body);
    let page = get(pages, &path, "en");
    assert!(page.body.contains("<html lang=\"en\">"));
    assert!(page.body.contains("<iframe sandbox referrerpolicy"), "{}", page.body);
    assert!(page.body.contains(&text(newest, "journey")) && page.body.contains("and did not buy."), "{}", page.body);
    assert!(page.policy.starts_with("default-src 'none'; style-src 'self'"), "{}", page.policy);
    let body = get(pages, &format!("{path}/body"), "en");
    assert!(body.policy.starts_with("sandbox; default-src 'none'"), "{}", body.policy);
    assert!(body.body.contains("<html") && !body.body.contains("<script"), "{}", body.body);
    for missing in ["/mailbox/0", "/mailbox/none", "/mailbox/99999999/body", "/nowhere"] {
        assert_eq!(get(pages, missing, "en").status, 404, "{missing}");
    }
    let status = get(pages, "/", "en");
    assert!(status.body.contains("cart-recovery first") && status.policy.contains("default-src 'none'"));
}

/// The link leads to the door, and there she can say that she wants no more.
fn check_unsubscribing(pages: &str, mailbox: &Value) {
    let link = text(&mailbox[0], "unsubscribe_url");
    let (door, path) = link.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let door = format!("http://{door}");
    assert_ne!(door, pages);
    assert_eq!(get(&door, &format!("/{path}"), "en").status, 200);
    let answer = ureq::post(&link).send_form([("List-Unsubscribe", "One-Click")]).unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    let preferences = text(&mailbox[0], "preferences_url").strip_prefix(&door).unwrap().to_owned();
    assert!(get(&door, &format!("{preferences}?lang=es"), "en").body.contains("Recordatorios y ofertas"));
}

struct Answer {
    status: u16,
    policy: String,
    body: String,
}

fn get(pages: &str, path: &str, language: &str) -> Answer {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut response = agent.get(format!("{pages}{path}")).header("accept-language", language).call().unwrap();
    let policy = response.headers().get("content-security-policy");
    let policy = policy.map_or_else(String::new, |policy| policy.to_str().unwrap().to_owned());
    Answer { status: response.status().as_u16(), policy, body: response.body_mut().read_to_string().unwrap() }
}

fn json(pages: &str, path: &str) -> Value {
    serde_json::from_str(&get(pages, path, "en").body).unwrap()
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_else(|| panic!("{name} is no text in {value}")).to_owned()
}

/// A time, in whole seconds since 1970: the shop opens at a fraction of one, which all times share.
fn seconds(value: &Value, name: &str) -> i64 {
    text(value, name).parse::<jiff::Timestamp>().unwrap().as_second()
}
