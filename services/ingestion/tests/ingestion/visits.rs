//! Who comes to the shop by a link of a message, and what the address that she comes to says of her.

use axum::body::Body;
use axum::http::Method;
use ingestion::shell::{DoorOptions, ShopHost, WriteKeyOptions};
use links::{ClickToken, KeyRing, OpenToken, VisitToken};
use schemas::StorefrontEvent;
use serde_json::{Value, json};

use crate::message_links::{BROWSER, as_browser, click_on, leads_to, message};
use crate::support::{Fixture, KEY, NOW, link_keys, request, write_key};

const HALF_AN_HOUR_MS: i64 = 30 * 60 * 1_000;

fn options() -> DoorOptions {
    let hosts = ["shop.example.com", "localhost:3000"].map(|host| ShopHost::try_from(host.to_owned()).unwrap());
    DoorOptions { identify_on_hosts: hosts.to_vec(), ..DoorOptions::default() }
}

fn visit() -> VisitToken {
    VisitToken { customer_id: "ana-7".to_owned(), shop: "demo".to_owned(), until: NOW.as_millis() + HALF_AN_HOUR_MS }
}

fn signed(visit: &VisitToken) -> String {
    visit.sign(&link_keys()).unwrap()
}

/// A page of somebody unknown at this address.
fn page(address: &str) -> Value {
    json!({
        "type": "page", "name": "Cart", "anonymousId": "d1", "messageId": "m1",
        "properties": { "url": address, "path": "/cart" }, "context": { "page": { "url": address, "referrer": address } },
    })
}

async fn told(door: &Fixture, event: &Value) -> StorefrontEvent {
    door.post("/v1/batch", json!({ "batch": [event] }).to_string()).await.is_accepted();
    door.event()
}

#[tokio::test]
async fn who_follows_a_link_to_the_shop_comes_with_a_token_and_her_device_is_known_by_it() {
    let door = Fixture::with(&options());
    let (start, end) = ("https://shop.example.com/cart?a=1&b=%C3%B1", "#top");
    let answer = as_browser(&door, Method::GET, &click_on(message(), 2, &format!("{start}{end}"))).await;
    let address = answer.header("location").to_owned();
    leads_to(&answer, &address);
    let token = address.strip_prefix(start).unwrap().strip_prefix("&vuelve_click=").unwrap().strip_suffix(end).unwrap();
    assert_eq!(VisitToken::verify(&link_keys(), token), Ok(visit()));
    let link = door.event();
    assert!(!link.properties_json.unwrap().contains("vuelve_click"), "the event names what was signed");

    let event = told(&door, &page(&address)).await;
    assert_eq!((event.user_id.as_deref(), event.anonymous_id.as_deref()), (Some("ana-7"), Some("d1")));
    assert_eq!(event.source, "links", "whom a message went to the shop need not know");
    let expected = told(&door, &page(&format!("{start}{end}"))).await;
    assert_eq!((&expected.user_id, expected.source.as_str()), (&None, "web"));
    assert_eq!(
        StorefrontEvent {
            user_id: None,
            source: expected.source.clone(),
            traceparent: expected.traceparent.clone(),
            ..event
        },
        expected
    );
}

#[tokio::test]
async fn who_orders_under_an_address_of_her_own_on_a_page_that_was_passed_on_is_not_whom_the_message_went_to() {
    let door = Fixture::with(&options());
    let mut order = page(&format!("https://shop.example.com/?vuelve_click={}", signed(&visit())));
    order["type"] = "track".into();
    order["event"] = "Order Completed".into();
    order["properties"] = json!({ "order_id": "o-1", "email": "friend@example.com" });
    let event = told(&door, &order).await;
    assert_eq!((event.user_id, event.address_id.is_some()), (None, true));
}

#[tokio::test]
async fn to_other_hosts_by_other_methods_and_for_programs_a_link_leads_to_the_letter() {
    let door = Fixture::with(&options());
    for target in [
        "https://www.shop.example.com/",
        "https://shop.example.com.evil.example.org/",
        "https://shop.example.com:8443/",
        "https://evil.example.org/?u=https://shop.example.com/",
        "http://localhost/",
    ] {
        leads_to(&as_browser(&door, Method::GET, &click_on(message(), 2, target)).await, target);
    }
    let shop = "https://shop.example.com/cart";
    let path = click_on(message(), 2, shop);
    leads_to(&as_browser(&door, Method::HEAD, &path).await, shop);
    leads_to(
        &door.send(request(Method::GET, &path).header("user-agent", "curl/8").body(Body::empty()).unwrap()).await,
        shop,
    );
    let ahead = request(Method::GET, &path).header("user-agent", BROWSER).header("sec-purpose", "prefetch");
    leads_to(&door.send(ahead.body(Body::empty()).unwrap()).await, shop);
    leads_to(&as_browser(&Fixture::new(), Method::GET, &path).await, shop);
    // Where there is no room for it, too.
    let long = format!("{shop}?{}", "x".repeat(1_950));
    leads_to(&as_browser(&door, Method::GET, &click_on(message(), 2, &long)).await, &long);
    for target in ["HTTPS://Shop.Example.COM", "http://localhost:3000/?a", "http://shop.example.com/#x"] {
        let answer = as_browser(&door, Method::GET, &click_on(message(), 2, target)).await;
        assert!(answer.header("location").contains("vuelve_click="), "{target}");
    }
}

#[tokio::test]
async fn a_token_that_is_wrong_in_any_way_says_nothing_and_is_not_stored() {
    let door = Fixture::with(&options());
    let click = ClickToken { message: message(), link: 1, target: "https://shop.example.com/".parse().unwrap() };
    let good = signed(&visit());
    let mut tampered = good.clone().into_bytes();
    tampered[20] = if tampered[20] == b'A' { b'B' } else { b'A' };
    let strangers = KeyRing::parse("k1:somebody else's long secret").unwrap();
    for token in [
        signed(&VisitToken { shop: "another".to_owned(), ..visit() }),
        signed(&VisitToken { until: NOW.as_millis(), ..visit() }),
        signed(&VisitToken { until: i64::MIN, ..visit() }),
        String::from_utf8(tampered).unwrap(),
        good[..good.len() - 1].to_owned(),
        visit().sign(&strangers).unwrap(),
        click.sign(&link_keys()).unwrap(),
        OpenToken(message()).sign(&link_keys()).unwrap(),
        "x".repeat(10_000),
        String::new(),
    ] {
        let address = |token: &str| format!("https://shop.example.com/cart?a=1&vuelve_click={token}#top");
        let event = told(&door, &page(&address(&token))).await;
        assert_eq!(event.user_id, None, "{token}");
        let stored = format!("{:?}{:?}", event.properties_json, event.context_json);
        assert!(!stored.contains("vuelve_click") && (token.is_empty() || !stored.contains(&token)), "{stored}");
        assert!(stored.contains("https://shop.example.com/cart?a=1#top"), "{stored}");
    }
    assert_eq!(
        told(&door, &page(&format!("https://shop.example.com/?vuelve_click={good}"))).await.user_id.unwrap(),
        "ana-7"
    );
}

#[tokio::test]
async fn a_token_says_who_comes_only_of_somebody_unknown_and_only_in_the_address_of_the_page() {
    let door = Fixture::with(&options());
    let token = signed(&visit());
    let search = format!("?vuelve_click={token}");
    let with = |changes: Value| {
        let mut event =
            json!({ "type": "track", "event": "X", "anonymousId": "d1", "context": { "page": { "search": search } } });
        event.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        event
    };
    for (event, user) in [
        (with(json!({})), Some("ana-7")),
        (with(json!({ "userId": "null" })), Some("ana-7")),
        (with(json!({ "userId": "bea" })), Some("bea")),
        (with(json!({ "userId": "bea", "anonymousId": null })), Some("bea")),
        (with(json!({ "context": { "page": { "referrer": format!("https://shop.example.com/{search}") } } })), None),
        (with(json!({ "context": { "page": { "url": format!("https://shop.example.com/#{search}") } } })), None),
        (with(json!({ "context": {}, "properties": { "url": format!("https://shop.example.com/{search}") } })), None),
    ] {
        let told = told(&door, &event).await;
        assert_eq!(told.user_id.as_deref(), user, "{event}");
        let whole = [told.properties_json, told.context_json].into_iter().flatten().collect::<String>();
        assert!(!whole.contains(&token), "{whole}");
    }
}

#[tokio::test]
async fn what_the_events_of_a_batch_share_tells_who_comes_and_no_dead_letter_holds_a_token() {
    let browsers = WriteKeyOptions { scope: ingestion::mapping::Scope::Browser, ..write_key("web", KEY) };
    let door = Fixture::with_keys(&options(), &[browsers]);
    let token = signed(&visit());
    let batch = json!({
        "context": { "page": { "search": format!("?a=1&vuelve_click={token}") } },
        "batch": [
            { "type": "track", "event": "X", "anonymousId": "d1" },
            { "type": "track", "event": "Y", "anonymousId": "d2", "context": { "page": { "search": "" } } },
            { "type": "identify", "anonymousId": "d3", "traits": { "at": format!("?vuelve_click={token}") } },
        ],
    });
    door.post("/v1/batch", batch.to_string()).await.is_accepted();
    let records = door.records();
    let whole = records.iter().map(|record| String::from_utf8_lossy(&record.value).into_owned()).collect::<String>();
    assert!(!whole.contains(&token) && !whole.contains("vuelve_click"), "{whole}");
    let events = records.iter().filter(|record| record.dataset == "storefront.received");
    let users: Vec<_> =
        events.map(|record| door.schemas.decode::<StorefrontEvent>(&record.value).unwrap().user_id).collect();
    assert_eq!(users, [Some("ana-7".to_owned()), None]);
    assert_eq!(records.len(), 3);
}

#[test]
fn a_host_is_one_as_it_stands_in_addresses() {
    for host in ["shop.example.com", "localhost:3000", "[::1]:80", "xn--nio-8ma.example.com"] {
        assert!(ShopHost::try_from(host.to_owned()).is_ok(), "{host}");
    }
    for wrong in [
        "",
        ":80",
        "https://shop.example.com",
        "shop.example.com/",
        "*.example.com",
        "a@b",
        "a b",
        "niño.example.com",
        "a?b",
    ] {
        assert!(ShopHost::try_from(wrong.to_owned()).is_err(), "{wrong}");
    }
}
