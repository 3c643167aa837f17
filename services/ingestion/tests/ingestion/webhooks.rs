//! Webhooks as the door answers them. What a topic becomes is in `webhook_topics`.

use axum::body::Body;
use axum::http::Method;
use base64::Engine as _;
use hmac::{Hmac, KeyInit, Mac};
use ingestion::shell::{DoorOptions, LogError, WebhookKind, WebhookOptions, WebhookProblem, Webhooks};
use ingestion::{RECEIVED, Resolved, Resolver, ResolverPolicy};
use proptest::prelude::*;
use schemas::{EventKind, StorefrontEvent};
use serde_json::{Value, json};
use sha2::Sha256;
use stream::TestDriver;

use crate::support::{Answer, Fixture, Mood, NOW, header_of, request, variable};

/// [`variable`] holds it.
pub(crate) const SECRET: &str = "a secret of the platform";

/// A webhook of an id, its secret in the environment.
pub(crate) fn options(id: &str, kind: WebhookKind, secret: &str) -> WebhookOptions {
    let options: WebhookOptions =
        serde_json::from_str(r#"{"id": "", "kind": "shopify", "shop": "demo", "currency": "EUR"}"#).unwrap();
    WebhookOptions { id: id.to_owned(), kind, secret_env: Some(format!("KEY_{secret}")), ..options }
}

/// A door for `/webhooks/madrid` (Shopify) and `/webhooks/puebla` (WooCommerce).
pub(crate) fn door() -> Fixture {
    let webhooks =
        vec![options("madrid", WebhookKind::Shopify, SECRET), options("puebla", WebhookKind::WooCommerce, SECRET)];
    Fixture::with(&DoorOptions { webhooks, ..DoorOptions::default() })
}

pub(crate) fn fixture(name: &str) -> Value {
    let path = format!("{}/tests/ingestion/webhooks/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))).unwrap()
}

pub(crate) fn signature(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes())
}

/// Sends a Shopify webhook, signed.
pub(crate) async fn shopify(door: &Fixture, topic: &str, id: &str, body: impl Into<Vec<u8>>) -> Answer {
    let body = body.into();
    let signature = signature(SECRET, &body);
    send_shopify(door, topic, id, Some(&signature), body).await
}

async fn send_shopify(door: &Fixture, topic: &str, id: &str, signature: Option<&str>, body: Vec<u8>) -> Answer {
    let mut builder = request(Method::POST, "/webhooks/madrid")
        .header("content-type", "application/json")
        .header("x-shopify-topic", topic)
        .header("x-shopify-webhook-id", id);
    if let Some(signature) = signature {
        builder = builder.header("x-shopify-hmac-sha256", signature);
    }
    door.send(builder.body(Body::from(body)).unwrap()).await
}

/// Sends a WooCommerce webhook, signed.
pub(crate) async fn woocommerce(door: &Fixture, topic: &str, id: &str, body: &Value) -> Answer {
    let body = body.to_string();
    let builder = request(Method::POST, "/webhooks/puebla")
        .header("x-wc-webhook-topic", topic)
        .header("x-wc-webhook-delivery-id", id)
        .header("x-wc-webhook-signature", signature(SECRET, body.as_bytes()));
    door.send(builder.body(Body::from(body)).unwrap()).await
}

#[tokio::test]
async fn a_webhook_that_was_tampered_with_or_signed_by_somebody_else_is_401_and_leaves_nothing() {
    let door = door();
    let body = fixture("shopify_orders_create").to_string();
    let good = signature(SECRET, body.as_bytes());
    let tampered = body.replace("40.75", "00.75");
    assert_ne!(tampered, body);
    let others = signature("some other secret", body.as_bytes());
    for (signature, body) in [
        (Some(good.as_str()), tampered.as_str()),
        (Some(good.as_str()), &body[..body.len() - 1]),
        (Some(good.as_str()), ""),
        (Some(others.as_str()), &body),
        (Some(&good[..good.len() - 4]), &body),
        (Some("no base64!"), &body),
        (Some(""), &body),
        (None, &body),
        // Looked at before anything is parsed.
        (Some(good.as_str()), "not json"),
    ] {
        let answer = send_shopify(&door, "orders/create", "w1", signature, body.as_bytes().to_vec()).await;
        answer.is_refused(401, "wrong_signature", "signature");
    }
    assert_eq!(door.records(), []);
    send_shopify(&door, "orders/create", "w1", Some(&good), body.into_bytes()).await.is_accepted();
    assert_eq!(door.events().len(), 2);
}

#[tokio::test]
async fn while_a_secret_takes_the_place_of_another_both_are_in_force() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("secret");
    let (old, new) = ("the old secret of many bytes", "the new secret of many bytes");
    std::fs::write(&file, format!("{old}\n")).unwrap();
    let webhook = WebhookOptions {
        secret_env: None,
        secret_file: Some(file.clone()),
        ..options("madrid", WebhookKind::Shopify, "")
    };
    let door = Fixture::with(&DoorOptions { webhooks: vec![webhook], ..DoorOptions::default() });
    let body = fixture("shopify_carts_update").to_string().into_bytes();
    let statuses = async |door: &Fixture| {
        let mut found = Vec::new();
        for secret in [old, new] {
            let signature = signature(secret, &body);
            found.push(send_shopify(door, "carts/update", "w", Some(&signature), body.clone()).await.status.as_u16());
        }
        found
    };
    assert_eq!(statuses(&door).await, [200, 401]);
    for (text, wanted) in [(format!("{new}\n{old}\n"), [200, 200]), (format!("{new}\n"), [401, 200])] {
        std::fs::write(&file, text).unwrap();
        assert!(door.webhooks().reload(variable).unwrap());
        assert!(!door.webhooks().reload(variable).unwrap(), "nothing has changed since");
        assert_eq!(statuses(&door).await, wanted);
    }
    std::fs::write(&file, "short").unwrap();
    assert!(door.webhooks().reload(variable).unwrap_err()[0].problem.contains("16 to 255"));
    assert_eq!(statuses(&door).await, [401, 200], "all stays as it was");
}

#[tokio::test]
async fn a_path_of_nobody_is_404_and_a_method_that_is_not_post_405() {
    let door = door();
    for path in ["/webhooks/lisboa", "/webhooks/", "/webhooks"] {
        let nobody = request(Method::POST, path).body(Body::from("{}")).unwrap();
        door.send(nobody).await.is_refused(404, "no_such_path", "");
    }
    let get = request(Method::GET, "/webhooks/madrid").body(Body::empty()).unwrap();
    door.send(get).await.is_refused(405, "wrong_method", "");
}

#[tokio::test]
async fn what_is_signed_and_cannot_be_read_is_400() {
    let door = door();
    for (body, says) in [("", "empty"), ("{\"id\":", "not JSON"), ("[]", "not an object"), ("7", "not an object")] {
        shopify(&door, "orders/create", "w1", body).await.is_refused(400, "unreadable", says);
    }
    shopify(&door, "orders/create", "w1", vec![b'{', 0xff, b'}']).await.is_refused(400, "unreadable", "UTF-8");
    assert_eq!(door.records(), []);
}

#[tokio::test]
async fn an_unknown_topic_is_200_and_a_dead_letter_as_it_came() {
    let door = door();
    let body = json!({ "id": 1, "title": "Plate" }).to_string();
    shopify(&door, "products/update", "w9", body.clone()).await.is_accepted();
    let letter = door.records().remove(0);
    assert_eq!((letter.dataset, std::str::from_utf8(&letter.value).unwrap()), ("platform.deadletters", body.as_str()));
    for (name, value) in [
        ("__connect.errors.exception.class.name", "unknown_topic"),
        ("__connect.errors.topic", "/webhooks/madrid"),
        ("vuelve.source", "madrid"),
        ("vuelve.webhook.topic", "products/update"),
        ("vuelve.webhook.id", "w9"),
    ] {
        assert_eq!(header_of(&letter, name), value);
    }
}

#[tokio::test]
async fn a_webhook_is_200_only_once_the_log_has_it() {
    let door = door();
    let body = fixture("shopify_orders_create").to_string();
    for (mood, status, code) in [
        (Mood::Fails(LogError::Unavailable), 503, "unavailable"),
        (Mood::Fails(LogError::Overloaded), 429, "slow_down"),
    ] {
        door.log_is(mood);
        shopify(&door, "orders/create", "w1", body.clone()).await.is_refused(status, code, "");
        shopify(&door, "customers/redact", "w2", fixture("shopify_customers_redact").to_string())
            .await
            .is_refused(status, code, "");
        shopify(&door, "of/tomorrow", "w3", "{}").await.is_refused(status, code, "");
    }
    assert_eq!(door.records(), []);
}

#[tokio::test(start_paused = true)]
async fn a_platform_has_its_answer_within_5_s_also_where_the_log_says_nothing() {
    let door = door();
    door.log_is(Mood::NeverAnswers);
    let began = tokio::time::Instant::now();
    shopify(&door, "orders/create", "w1", fixture("shopify_orders_create").to_string()).await.is_refused(
        503,
        "unavailable",
        "",
    );
    assert!(began.elapsed().as_secs() <= 3);
}

#[tokio::test]
async fn an_order_of_many_lines_is_taken_whole_and_one_that_no_event_can_hold_loses_nothing() {
    let door = door();
    let with_lines = |count: usize| {
        let mut order = fixture("shopify_orders_create");
        let line = order["line_items"][0].clone();
        order["line_items"] = Value::Array(vec![line; count]);
        order.to_string()
    };
    shopify(&door, "orders/create", "w1", with_lines(300)).await.is_accepted();
    let event = door.events().remove(0);
    assert_eq!(event.products.len(), 300);
    assert!(event.properties_json.unwrap().len() > 100_000, "its rest is there");

    let large = with_lines(1_300);
    assert!(large.len() > 600_000 && large.len() < 1 << 20, "{}", large.len());
    shopify(&door, "orders/create", "w2", large.clone()).await.is_accepted();
    let records = door.records();
    let event: StorefrontEvent = door.schemas.decode(&records[0].value).unwrap();
    assert_eq!((event.products.len(), event.properties_json), (1_300, None));
    assert_eq!(event.order.unwrap().total_minor, Some(4_075));
    let letter = records.last().unwrap();
    assert_eq!(header_of(letter, "__connect.errors.exception.class.name"), "too_large");
    assert_eq!(letter.value, large.as_bytes());

    shopify(&door, "orders/create", "w3", " ".repeat((1 << 20) + 1)).await.is_refused(413, "too_large", "1048576");
}

#[tokio::test]
async fn a_ping_of_woocommerce_is_200_without_a_signature_and_nothing_else_is() {
    let door = door();
    let send = async |path: &str, body: &str| {
        let builder = request(Method::POST, path).header("content-type", "application/x-www-form-urlencoded");
        door.send(builder.body(Body::from(body.to_owned())).unwrap()).await
    };
    send("/webhooks/puebla", "webhook_id=12").await.is_accepted();
    for body in ["webhook_id=", "webhook_id=12&x=1", "webhook_id=1a", "", "{}"] {
        send("/webhooks/puebla", body).await.is_refused(401, "wrong_signature", "");
    }
    send("/webhooks/madrid", "webhook_id=12").await.is_refused(401, "wrong_signature", "");
    assert_eq!(door.records(), []);
}

#[test]
fn everything_that_is_wrong_with_webhooks_is_told_at_once() {
    let good = options("good", WebhookKind::Shopify, SECRET);
    let nameless = options("", WebhookKind::Shopify, SECRET);
    let no_path = options("a/b", WebhookKind::Shopify, SECRET);
    let shopless = WebhookOptions { shop: String::new(), ..options("shopless", WebhookKind::Shopify, SECRET) };
    let none = WebhookOptions { secret_env: None, ..options("none", WebhookKind::Shopify, "") };
    let unset =
        WebhookOptions { secret_env: Some("UNSET".to_owned()), ..options("unset", WebhookKind::WooCommerce, "") };
    let short = options("short", WebhookKind::WooCommerce, "15 bytes or so.");
    let all = [good.clone(), nameless, no_path, shopless, none, unset, short, good];
    let problems = Webhooks::load(&all, variable).unwrap_err();
    let told: Vec<_> =
        problems.iter().map(|WebhookProblem { index, problem, .. }| (*index, problem.as_str())).collect();
    for (index, says) in [
        (1, "ids are"),
        (2, "ids are"),
        (3, "`shop`"),
        (4, "exactly one of secret_file and secret_env"),
        (5, "UNSET"),
        (6, "16 to 255"),
        (7, "each used once"),
    ] {
        assert!(told.iter().any(|(at, problem)| *at == index && problem.contains(says)), "{index}: {told:?}");
    }
    assert_eq!(told.len(), 7);
    assert!(problems[0].to_string().starts_with("webhooks[1] (``): "));
    assert!(!format!("{problems:?}").contains("15 bytes"));
    assert!(Webhooks::load(&[], variable).is_ok(), "nobody needs webhooks");
}

#[test]
fn an_id_by_which_what_is_our_own_is_told_apart_is_refused() {
    for id in ["segmentation", "eraser", "operator", "grpc", "links"] {
        let problems = Webhooks::load(&[options(id, WebhookKind::Shopify, SECRET)], variable).unwrap_err();
        let told = problems[0].to_string();
        assert!(told.starts_with(&format!("webhooks[0] (`{id}`): `id` is a source of our own")), "{told}");
        assert_eq!(problems.len(), 1);
    }
}

#[test]
fn secrets_are_not_shown() {
    let webhooks = Webhooks::load(&[options("madrid", WebhookKind::Shopify, SECRET)], variable).unwrap();
    let shown = format!("{webhooks:?} {webhooks:#?}");
    assert!(shown.contains("madrid") && !shown.contains("secret"), "{shown}");
}

#[test]
fn a_kind_that_nobody_knows_is_refused() {
    let of = |kind: &str| {
        serde_json::from_value::<WebhookOptions>(json!({ "id": "a", "shop": "s", "secret_env": "S", "kind": kind }))
    };
    assert_eq!(of("woocommerce").unwrap().kind, WebhookKind::WooCommerce);
    assert!(of("magento").is_err());
}

/// What the resolver lets through of what the door stored.
pub(crate) fn resolved(door: &Fixture) -> Vec<StorefrontEvent> {
    let mut resolver = TestDriver::<Resolver>::new(ResolverPolicy::default());
    for record in door.records() {
        resolver.input(RECEIVED, &record.key.unwrap(), &record.value, NOW);
    }
    let event = |output| match output {
        Resolved::Event(event) => *event,
        Resolved::Forward { .. } => panic!("nothing is forwarded here"),
    };
    resolver.outputs().into_iter().map(event).collect()
}

#[tokio::test]
async fn a_webhook_that_is_replayed_goes_through_once() {
    let door = door();
    let order = fixture("shopify_orders_create").to_string();
    for id in ["w1", "w1", "w1"] {
        shopify(&door, "orders/create", id, order.clone()).await.is_accepted();
    }
    let events = resolved(&door);
    assert_eq!(
        events.iter().map(|event| event.kind).collect::<Vec<_>>(),
        [EventKind::Identified, EventKind::Track, EventKind::Identified, EventKind::Identify]
    );
    assert!(events.iter().all(|event| event.customer_id.as_deref() == Some("115310627314723954")));
}

#[tokio::test]
async fn an_order_that_changes_its_status_is_completed_once_and_each_other_change_is_told() {
    let door = door();
    let statuses = ["pending", "processing", "processing", "completed", "failed", "refunded", "refunded"];
    for (delivery, status) in statuses.into_iter().enumerate() {
        let mut order = fixture("woocommerce_order");
        order["status"] = status.into();
        woocommerce(&door, "order.updated", &format!("d{delivery}"), &order).await.is_accepted();
    }
    let told = resolved(&door).into_iter().filter(|event| event.kind == EventKind::Track);
    let names: Vec<_> = told.map(|event| event.name).collect();
    assert_eq!(names, ["Checkout Started", "Order Completed", "Order Updated", "Order Refunded"]);
}

/// Values under the names that mean something in payloads.
fn payload() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "-?[0-9]{0,4}(\\.[0-9]{0,4})?".prop_map(Value::from),
        "\\PC{0,6}".prop_map(Value::from),
        Just(json!("EUR")),
        Just(json!("processing")),
    ];
    let name = proptest::sample::select(
        &[
            "id",
            "token",
            "cart_token",
            "customer",
            "email",
            "line_items",
            "refund_line_items",
            "line_item",
            "transactions",
            "amount",
            "currency",
            "total",
            "total_price",
            "price",
            "price_set",
            "shop_money",
            "quantity",
            "product_id",
            "note_attributes",
            "name",
            "value",
            "meta_data",
            "key",
            "status",
            "billing",
            "shipping",
            "shipping_lines",
            "refunds",
            "customer_id",
            "order_id",
            "updated_at",
            "date_paid_gmt",
            "date_modified_gmt",
            "discount_codes",
            "code",
            "products",
            "payload_id",
            "email_marketing_consent",
            "state",
            "title",
        ][..],
    );
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(name.clone().prop_map(str::to_owned), inner, 0..8)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_is_sent_is_answered(
        body in proptest::collection::vec(any::<u8>(), 0..80), signature in "\\PC{0,50}", is_signed in any::<bool>(),
        topic in "[a-z/.]{0,20}"
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let answered = runtime.block_on(async {
            let door = door();
            let signature = if is_signed { self::signature(SECRET, &body) } else { signature };
            let mut builder = request(Method::POST, "/webhooks/madrid").header("x-shopify-topic", topic);
            if let Ok(value) = axum::http::HeaderValue::from_bytes(signature.as_bytes()) {
                builder = builder.header("x-shopify-hmac-sha256", value);
            }
            door.send(builder.body(Body::from(body)).unwrap()).await.status.as_u16()
        });
        prop_assert!(if is_signed { answered == 200 || answered == 400 } else { answered == 401 }, "{answered}");
    }

    #[test]
    fn whatever_a_payload_says_it_is_stored_as_an_event_or_a_dead_letter(payload in payload(), topic in 0_usize..20) {
        let topics = [
            "carts/update", "checkouts/create", "checkouts/update", "orders/create", "orders/paid", "orders/cancelled",
            "refunds/create", "customers/create", "customers/redact", "customers/data_request", "shop/redact", "order.created",
            "order.updated", "order.deleted", "order.restored", "customer.created", "customer.updated", "customer.deleted",
            "shop/update", "action.x",
        ];
        let topic = topics[topic];
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (status, stored) = runtime.block_on(async {
            let door = door();
            let answer = if topic.contains('/') {
                shopify(&door, topic, "w1", payload.to_string()).await
            } else {
                woocommerce(&door, topic, "d1", &payload).await
            };
            (answer.status.as_u16(), door.records().len())
        });
        let wanted = if payload.is_object() { (200, true) } else { (400, false) };
        prop_assert_eq!((status, stored > 0), wanted);
    }
}
