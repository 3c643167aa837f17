//! What each topic of a platform becomes, by payloads that were made after the published formats.

use ingestion::ids;
use links::AddressHash;
use schemas::{EventKind, PrivacyKind, PrivacyRequest, StorefrontEvent};
use serde_json::{Value, json};

use crate::support::{Fixture, NOW, address_secret, header_of};
use crate::webhooks::{door, fixture, shopify, woocommerce};

const CART: &str = "hWN2UExYdBgyC9dO9gTSxpvg";
const ANA: &str = "115310627314723954";

/// The first event that a Shopify webhook becomes.
async fn event_of(topic: &str, payload: &Value) -> StorefrontEvent {
    let door = door();
    shopify(&door, topic, "w1", payload.to_string()).await.is_accepted();
    let event = door.events().remove(0);
    assert_eq!((event.shop.as_str(), event.source.as_str()), ("demo", "madrid"));
    assert_eq!((event.library.as_deref(), event.message_id.as_str()), (Some("shopify-webhook"), "shopify-w1"));
    assert!(event.context_json.as_ref().unwrap().contains(&format!(r#""webhook":{{"topic":"{topic}"}}"#)));
    event
}

/// The one event that a WooCommerce webhook becomes.
async fn event_of_order(topic: &str, payload: &Value) -> StorefrontEvent {
    let door = door();
    woocommerce(&door, topic, "d1", payload).await.is_accepted();
    door.event()
}

fn with(mut payload: Value, changes: Value) -> Value {
    let Value::Object(changes) = changes else { panic!("an object") };
    payload.as_object_mut().unwrap().extend(changes);
    payload
}

fn rest(event: &StorefrontEvent) -> Value {
    event.properties_json.as_ref().map_or(Value::Null, |json| serde_json::from_str(json).unwrap())
}

/// Milliseconds of a time of the tests' day.
fn at(time: &str) -> i64 {
    format!("2026-03-01T{time}Z").parse::<jiff::Timestamp>().unwrap().as_millisecond()
}

fn hash_of(address: &str) -> String {
    AddressHash::of(&address_secret(), address).to_string()
}

#[tokio::test]
async fn a_cart_with_something_in_it_is_a_product_added_by_the_visitor_of_that_cart() {
    for topic in ["carts/create", "carts/update"] {
        let event = event_of(topic, &fixture("shopify_carts_update")).await;
        assert_eq!((event.kind, event.name.as_str()), (EventKind::Track, "Product Added"));
        assert_eq!((event.user_id.as_deref(), event.cart_id.as_deref()), (None, Some(CART)));
        assert_eq!(event.anonymous_id.as_deref(), Some("shopify-cart-hWN2UExYdBgyC9dO9gTSxpvg"));
        assert_eq!(event.event_time, at("11:40:02"));
        let last = event.product.as_ref().unwrap();
        assert_eq!((last.product_id.as_deref(), last.sku.as_deref()), (Some("7203412607115"), Some("PLATE-25")));
        assert_eq!((last.name.as_deref(), last.brand.as_deref()), (Some("Plate"), Some("Alfarería Sol")));
        assert_eq!((last.price_minor, last.currency.as_deref(), last.quantity), (Some(1_990), Some("EUR"), Some(2)));
        assert_eq!(event.products.len(), 2);
        assert_eq!(event.products[0].sku.as_deref(), Some("MUG-RED"));
        let kept = &rest(&event)["products"][1];
        assert_eq!(kept["properties"]["engraving"], "Para Ana", "what has no field is kept");
        assert_eq!(kept["line_item_id"], json!(42_101_883_175_051_u64));
    }
}

#[tokio::test]
async fn an_empty_cart_is_a_product_removed_and_of_the_same_visitor() {
    let event = event_of("carts/update", &fixture("shopify_carts_empty")).await;
    assert_eq!((event.name.as_str(), event.cart_id.as_deref()), ("Product Removed", Some(CART)));
    assert_eq!((event.product, event.products.len()), (None, 0));
    assert_eq!(event.anonymous_id.as_deref(), Some("shopify-cart-hWN2UExYdBgyC9dO9gTSxpvg"));
}

#[tokio::test]
async fn a_cart_whose_token_has_a_key_behind_it_is_the_cart_that_its_order_names() {
    let token = format!("{CART}?key=0f1e2d3c");
    let cart = with(fixture("shopify_carts_update"), json!({ "id": token, "token": token }));
    let event = event_of("carts/update", &cart).await;
    assert_eq!(event.cart_id.as_deref(), Some(CART));
    assert_eq!(rest(&event)["token"], token, "the key is kept");
    assert_eq!(event.product.unwrap().product_id.as_deref(), Some("7203412607115"), "and is no product");
}

#[tokio::test]
async fn a_visitor_that_the_shop_notes_on_the_cart_is_the_storefronts() {
    for name in ["anonymous_id", "ajs_anonymous_id", "vuelve_anonymous_id"] {
        let note = json!([{ "name": "gift", "value": "yes" }, { "name": name, "value": "visitor-77" }]);
        let cart = with(fixture("shopify_carts_update"), json!({ "note_attributes": note }));
        assert_eq!(event_of("carts/update", &cart).await.anonymous_id.as_deref(), Some("visitor-77"));
        // An order with both ids links them.
        let order = with(fixture("shopify_orders_create"), json!({ "note_attributes": note }));
        let event = event_of("orders/create", &order).await;
        assert_eq!((event.anonymous_id.as_deref(), event.user_id.as_deref()), (Some("visitor-77"), Some(ANA)));
        assert_eq!(rest(&event)["note_attributes"], note);
    }
}

#[tokio::test]
async fn checkouts_are_started_and_then_go_on() {
    let event = event_of("checkouts/create", &fixture("shopify_checkouts_create")).await;
    assert_eq!((event.name.as_str(), event.event_time), ("Checkout Started", at("11:50:00")));
    assert_eq!((event.cart_id.as_deref(), event.anonymous_id.as_deref()), (Some(CART), Some("visitor-77")));
    assert_eq!(event.user_id, Some(format!("address-{}", hash_of("ana@example.com"))), "a guest's address, hashed");
    let contact = event.contact.clone().unwrap();
    assert_eq!((contact.email.as_deref(), contact.first_name.as_deref()), (Some("ana@example.com"), Some("Ana")));
    assert_eq!(contact.locale.as_deref(), Some("es-ES"));
    assert_eq!(event.consent_marketing, None, "an empty box says nothing");
    let order = event.order.clone().unwrap();
    assert_eq!(
        (order.checkout_id.as_deref(), order.coupon.as_deref()),
        (Some("981820079255243537"), Some("PRIMAVERA"))
    );
    assert_eq!((order.total_minor, order.subtotal_minor, order.discount_minor), (Some(4_075), Some(3_580), Some(400)));
    assert_eq!((order.shipping_minor, order.tax_minor, order.currency.as_deref()), (Some(495), Some(0), Some("EUR")));
    assert_eq!(event.products[0].variant.as_deref(), Some("25 cm"));
    assert!(rest(&event)["abandoned_checkout_url"].as_str().unwrap().contains("recover"));

    let event = event_of("checkouts/update", &fixture("shopify_checkouts_create")).await;
    assert_eq!((event.name.as_str(), event.event_time), ("Checkout Step Completed", at("11:52:30")));
}

#[tokio::test]
async fn orders_are_completed_paid_and_cancelled() {
    let cancelled = json!({ "cancelled_at": "2026-03-01T12:59:00+01:00", "cancel_reason": "customer" });
    for (topic, name, time) in [
        ("orders/create", "Order Completed", "11:54:58"),
        ("orders/paid", "Order Updated", "11:56:00"),
        ("orders/cancelled", "Order Cancelled", "11:59:00"),
    ] {
        let event = event_of(topic, &with(fixture("shopify_orders_create"), cancelled.clone())).await;
        assert_eq!((event.name.as_str(), event.event_time), (name, at(time)));
        assert_eq!((event.user_id.as_deref(), event.cart_id.as_deref()), (Some(ANA), Some(CART)));
        assert_eq!(event.anonymous_id.as_deref(), Some("shopify-cart-hWN2UExYdBgyC9dO9gTSxpvg"));
        let order = event.order.clone().unwrap();
        assert_eq!((order.order_id.as_deref(), order.total_minor), (Some("820982911946154508"), Some(4_075)));
        assert_eq!(order.checkout_id.as_deref(), Some("981820079255243537"));
        assert_eq!((order.shipping_minor, order.tax_minor), (Some(495), Some(621)));
        let contact = event.contact.clone().unwrap();
        assert_eq!((contact.phone.as_deref(), contact.last_name.as_deref()), (Some("+34600000000"), Some("García")));
        assert_eq!(event.consent_marketing, Some(true));
        let rest = rest(&event);
        assert_eq!((&rest["name"], &rest["cancel_reason"]), (&json!("#1001"), &json!("customer")));
        assert_eq!(rest["products"][0]["payload_name"], "Plate - 25 cm", "a name that is taken is kept under another");
    }
}

#[tokio::test]
async fn an_order_says_also_whose_its_refunds_are() {
    let door = door();
    shopify(&door, "orders/create", "w1", fixture("shopify_orders_create").to_string()).await.is_accepted();
    let whose = door.events().pop().unwrap();
    assert_eq!((whose.kind, whose.message_id.as_str()), (EventKind::Identify, "shopify-w1-1"));
    assert_eq!(whose.anonymous_id.as_deref(), Some("shopify-order-820982911946154508"));
    assert_eq!((whose.user_id.as_deref(), whose.event_time), (Some(ANA), at("11:54:58")));
    assert_eq!((&whose.traits_json, &whose.contact, whose.consent_marketing), (&None, &None, None));
    shopify(&door, "refunds/create", "w2", fixture("shopify_refunds_create").to_string()).await.is_accepted();
    assert_eq!(ids::received_key(&door.event()), ids::received_key(&whose));
    // A guest's is hers whose address it is.
    let guest = with(fixture("shopify_orders_create"), json!({ "customer": null, "email": "Ana@Example.com" }));
    shopify(&door, "orders/create", "w3", guest.to_string()).await.is_accepted();
    let [order, whose] = door.events().try_into().unwrap();
    assert_eq!(whose.user_id, Some(format!("address-{}", hash_of("ana@example.com"))));
    assert_eq!((&whose.user_id, &whose.traits_json), (&order.user_id, &None));
}

#[tokio::test]
async fn a_guests_order_is_hers_by_her_address_and_a_tills_order_nobodys_but_its_own() {
    let guest = with(fixture("shopify_orders_create"), json!({ "customer": null, "email": "Ana@Example.com" }));
    let event = event_of("orders/create", &guest).await;
    assert_eq!(event.user_id, Some(format!("address-{}", hash_of("ana@example.com"))));
    assert_eq!(event.contact.unwrap().email.as_deref(), Some("Ana@Example.com"));
    assert_eq!(event.consent_marketing, Some(true), "the box was ticked");

    let nobody =
        json!({ "customer": null, "email": "", "contact_email": null, "cart_token": null, "checkout_token": null });
    let event = event_of("orders/create", &with(fixture("shopify_orders_create"), nobody)).await;
    assert_eq!((event.user_id, event.anonymous_id.as_deref()), (None, Some("shopify-cart-123456abcd")));
}

#[tokio::test]
async fn a_refund_is_the_sum_of_what_was_given_back_to_the_cent() {
    let event = event_of("refunds/create", &fixture("shopify_refunds_create")).await;
    assert_eq!((event.name.as_str(), event.event_time), ("Order Refunded", at("11:58:01")));
    assert_eq!(event.user_id, None, "`user_id` is the member of the staff");
    let order = event.order.clone().unwrap();
    assert_eq!((order.total_minor, order.currency.as_deref()), (Some(1_790), Some("EUR")), "without what failed");
    let product = &event.products[0];
    assert_eq!(
        (product.sku.as_deref(), product.quantity, product.price_minor),
        (Some("PLATE-25"), Some(1), Some(1_990))
    );
    assert_eq!(rest(&event)["products"][0]["refund_line_item"]["restock_type"], "no_restock");
    assert_eq!(rest(&event)["refund_id"], json!(890_088_186_047_892_319_u64));
}

#[tokio::test]
async fn a_refund_in_a_currency_without_cents_or_with_three_digits_is_exact_too() {
    for (currency, amounts, total) in [
        ("JPY", ["1500", "250"], 1_750),
        ("JPY", ["1500.00", "250.00"], 1_750),
        ("KWD", ["1.005", "0.001"], 1_006),
        ("USD", ["90071992547409.93", "0.01"], 9_007_199_254_740_994),
    ] {
        let transactions: Vec<_> = amounts
            .iter()
            .map(|amount| json!({ "status": "success", "amount": amount, "currency": currency }))
            .collect();
        let refund = with(fixture("shopify_refunds_create"), json!({ "transactions": transactions }));
        let order = event_of("refunds/create", &refund).await.order.unwrap();
        assert_eq!((order.total_minor, order.currency.as_deref()), (Some(total), Some(currency)));
    }
    // Amounts that can't be added make no total.
    let mixed = json!([{ "amount": "1.00", "currency": "EUR" }, { "amount": "1", "currency": "JPY" }]);
    let event =
        event_of("refunds/create", &with(fixture("shopify_refunds_create"), json!({ "transactions": mixed }))).await;
    assert_eq!(event.order.unwrap().total_minor, None);
}

#[tokio::test]
async fn a_customers_fields_are_her_traits_and_her_consent_is_what_her_record_says() {
    for (topic, time) in [("customers/create", 1_762_074_000_000), ("customers/update", at("11:30:00"))] {
        let event = event_of(topic, &fixture("shopify_customers_update")).await;
        assert_eq!((event.kind, event.user_id.as_deref()), (EventKind::Identify, Some(ANA)));
        assert_eq!((event.anonymous_id.as_deref(), event.event_time), (None, time));
        let contact = event.contact.unwrap();
        assert_eq!(
            (contact.email.as_deref(), contact.phone.as_deref()),
            (Some("ana@example.com"), Some("+34600000000"))
        );
        assert_eq!((contact.first_name.as_deref(), contact.last_name.as_deref()), (Some("Ana"), Some("García")));
        assert_eq!(event.consent_marketing, Some(false));
        let traits: Value = serde_json::from_str(&event.traits_json.unwrap()).unwrap();
        assert_eq!((&traits["tags"], &traits["orders_count"]), (&json!("vip"), &json!(3)));
    }
    for (state, wanted) in [("subscribed", Some(true)), ("pending", Some(false)), ("redacted", None)] {
        let customer = json!({ "email_marketing_consent": { "state": state } });
        let event = event_of("customers/update", &with(fixture("shopify_customers_update"), customer)).await;
        assert_eq!(event.consent_marketing, wanted, "{state}");
    }
}

#[tokio::test]
async fn a_webhook_that_is_sent_again_has_the_same_message_id_also_without_one_of_its_own() {
    let door = door();
    let body = fixture("shopify_carts_update").to_string();
    for id in ["w1", "w1", "", "", "x".repeat(200).as_str()] {
        shopify(&door, "carts/update", id, body.clone()).await.is_accepted();
    }
    let ids: Vec<_> = door.events().into_iter().map(|event| event.message_id).collect();
    assert_eq!((ids[0].as_str(), &ids[0], &ids[2]), ("shopify-w1", &ids[1], &ids[3]));
    assert!(ids[2].starts_with("shopify-h-") && ids[4].len() <= ids::MAX_MESSAGE_ID_BYTES);
    let other = with(fixture("shopify_carts_update"), json!({ "note": "other" })).to_string();
    shopify(&door, "carts/update", "", other).await.is_accepted();
    assert_ne!(door.event().message_id, ids[2]);
}

#[tokio::test]
async fn webhooks_out_of_order_say_when_each_of_them_happened_and_never_in_the_future() {
    let door = door();
    for (id, updated_at) in [("w3", "11:59:00"), ("w1", "11:57:00"), ("w2", "11:58:00"), ("w4", "18:00:00")] {
        let cart = json!({ "updated_at": format!("2026-03-01T{updated_at}.000Z") });
        let cart = with(fixture("shopify_carts_update"), cart).to_string();
        shopify(&door, "carts/update", id, cart).await.is_accepted();
    }
    let mut events = door.events();
    events.sort_by_key(|event| event.event_time);
    let ids: Vec<_> = events.iter().map(|event| event.message_id.as_str()).collect();
    assert_eq!(ids, ["shopify-w1", "shopify-w2", "shopify-w3", "shopify-w4"]);
    assert_eq!(events[3].event_time, NOW.as_millis());
}

#[tokio::test]
async fn erasures_and_exports_become_requests_without_the_address() {
    for (topic, payload, kind, customer) in [
        ("customers/redact", "shopify_customers_redact", PrivacyKind::Erase, true),
        ("customers/data_request", "shopify_customers_data_request", PrivacyKind::Export, true),
        ("shop/redact", "shopify_shop_redact", PrivacyKind::EraseShop, false),
    ] {
        let door = door();
        shopify(&door, topic, "w1", fixture(payload).to_string()).await.is_accepted();
        let record = door.records().remove(0);
        let wanted = PrivacyRequest {
            request_id: "shopify-w1".to_owned(),
            kind,
            customer_id: customer.then(|| ANA.to_owned()),
            address_hash: customer.then(|| hash_of("ana@example.com")),
            shop: "demo".to_owned(),
            at: NOW.as_millis(),
            source: "madrid".to_owned(),
            of_device: false,
        };
        assert_eq!(door.schemas.decode::<PrivacyRequest>(&record.value).unwrap(), wanted);
        assert_eq!(
            (record.dataset, record.key.as_deref()),
            ("privacy.requests", Some(if customer { ANA } else { "demo" }))
        );
        assert!(!String::from_utf8_lossy(&record.value).contains("example.com"));
    }
}

#[tokio::test]
async fn an_erasure_of_a_guest_names_her_as_her_orders_do_and_one_of_nobody_is_a_dead_letter() {
    let door = door();
    let guest = json!({ "customer": { "id": null, "email": "ana@example.com" } });
    shopify(&door, "customers/redact", "w1", guest.to_string()).await.is_accepted();
    let record = door.records().remove(0);
    assert_eq!(record.key, Some(format!("address-{}", hash_of("ana@example.com"))));

    for (payload, reason) in [
        (json!({ "customer": { "id": null, "email": null } }), "no_id"),
        (json!({ "customer": { "id": "x".repeat(300) } }), "id_too_long"),
    ] {
        shopify(&door, "customers/redact", "w2", payload.to_string()).await.is_accepted();
        let letter = door.records().remove(0);
        assert_eq!(letter.dataset, "platform.deadletters");
        assert_eq!(header_of(&letter, "__connect.errors.exception.class.name"), reason);
    }
}

#[tokio::test]
async fn an_order_of_woocommerce_is_told_by_its_status() {
    for (topic, status, name, word) in [
        ("order.created", "pending", "Checkout Started", "started"),
        ("order.created", "processing", "Order Completed", "taken"),
        ("order.updated", "processing", "Order Completed", "taken"),
        ("order.updated", "completed", "Order Completed", "taken"),
        ("order.created", "on-hold", "Order Completed", "taken"),
        ("order.updated", "cancelled", "Order Cancelled", "cancelled"),
        ("order.restored", "cancelled", "Order Cancelled", "cancelled"),
        ("order.updated", "refunded", "Order Refunded", "refunded"),
    ] {
        let event = event_of_order(topic, &with(fixture("woocommerce_order"), json!({ "status": status }))).await;
        assert_eq!((event.name.as_str(), event.message_id), (name, format!("woocommerce-demo-order-727-{word}")));
    }
    for status in ["failed", "wc-of-the-shops-own"] {
        let event =
            event_of_order("order.updated", &with(fixture("woocommerce_order"), json!({ "status": status }))).await;
        assert_eq!((event.name.as_str(), event.message_id.as_str()), ("Order Updated", "woocommerce-d1"));
        assert_eq!(rest(&event)["status"], status);
    }
}

#[tokio::test]
async fn an_order_of_woocommerce_has_its_amounts_in_its_own_currency_and_its_customer() {
    let event = event_of_order("order.created", &fixture("woocommerce_order")).await;
    assert_eq!((event.user_id.as_deref(), event.anonymous_id.as_deref()), (Some("26"), Some("visitor-88")));
    assert_eq!(event.event_time, at("11:41:28"), "when it was paid");
    let order = event.order.clone().unwrap();
    assert_eq!((order.order_id.as_deref(), order.currency.as_deref()), (Some("727"), Some("MXN")));
    assert_eq!((order.total_minor, order.tax_minor), (Some(46_340), Some(5_440)));
    assert_eq!((order.shipping_minor, order.discount_minor), (Some(9_900), Some(3_000)));
    assert_eq!(order.coupon.as_deref(), Some("bienvenida"));
    let product = &event.products[0];
    assert_eq!(
        (product.product_id.as_deref(), product.price_minor, product.quantity),
        (Some("93"), Some(17_000), Some(2))
    );
    assert_eq!(product.image_url.as_deref(), Some("https://shop.example.com/taza.png"));
    let contact = event.contact.clone().unwrap();
    assert_eq!((contact.email.as_deref(), contact.phone.as_deref()), (Some("luis@example.com"), Some("222 000 0000")));
    assert_eq!(rest(&event)["shipping_address"]["city"], "Puebla");

    let guest = json!({ "customer_id": 0, "meta_data": [] });
    let event = event_of_order("order.created", &with(fixture("woocommerce_order"), guest)).await;
    assert_eq!(event.user_id, Some(format!("address-{}", hash_of("luis@example.com"))));
    let nobody = json!({ "customer_id": 0, "meta_data": [], "billing": { "email": "" } });
    let event = event_of_order("order.created", &with(fixture("woocommerce_order"), nobody)).await;
    assert_eq!((event.user_id, event.anonymous_id.as_deref()), (None, Some("woocommerce-order-727")));
}

#[tokio::test]
async fn an_order_that_was_paid_long_ago_is_updated_and_not_completed_once_more() {
    let sent = json!({ "status": "completed", "date_paid_gmt": "2026-02-27T10:00:00", "date_created_gmt": "2026-02-27T10:00:00" });
    let event = event_of_order("order.updated", &with(fixture("woocommerce_order"), sent)).await;
    assert_eq!((event.name.as_str(), event.message_id.as_str()), ("Order Updated", "woocommerce-d1"));
    assert_eq!(event.event_time, at("11:41:30"));
    // What waited for its payment is completed when it is paid; what is paid at the door was so when it was placed.
    for (method, name) in [("stripe", "Order Completed"), ("cod", "Order Updated")] {
        let late =
            json!({ "status": "completed", "payment_method": method, "date_created_gmt": "2026-02-27T10:00:00" });
        let event = event_of_order("order.updated", &with(fixture("woocommerce_order"), late)).await;
        assert_eq!(event.name, name);
    }
}

#[tokio::test]
async fn what_woocommerce_gave_back_is_the_sum_of_its_refunds_else_the_whole_order() {
    let refunds = json!([{ "id": 1, "total": "-100.10" }, { "id": 2, "total": "-0.20" }]);
    for (refunds, currency, total) in
        [(refunds, "MXN", 10_030), (json!([{ "total": "-1500" }]), "CLP", 1_500), (json!([]), "MXN", 46_340)]
    {
        let order = json!({ "status": "refunded", "refunds": refunds, "currency": currency });
        let event = event_of_order("order.updated", &with(fixture("woocommerce_order"), order)).await;
        assert_eq!(event.order.unwrap().total_minor, Some(total));
    }
}

#[tokio::test]
async fn what_was_deleted_at_woocommerce_is_told_under_its_id_and_erases_nobody() {
    let event = event_of_order("order.deleted", &json!({ "id": 727 })).await;
    assert_eq!((event.name.as_str(), event.anonymous_id.as_deref()), ("Order Deleted", Some("woocommerce-order-727")));
    let event = event_of_order("customer.deleted", &json!({ "id": 26 })).await;
    assert_eq!((event.name.as_str(), event.user_id.as_deref()), ("Customer Deleted", Some("26")));
}

#[tokio::test]
async fn a_customer_of_woocommerce_has_traits_and_says_nothing_of_consent() {
    for topic in ["customer.created", "customer.updated"] {
        let event = event_of_order(topic, &fixture("woocommerce_customer")).await;
        assert_eq!((event.kind, event.user_id.as_deref()), (EventKind::Identify, Some("26")));
        assert_eq!((event.event_time, event.consent_marketing), (at("11:30:00"), None));
        let contact = event.contact.unwrap();
        assert_eq!(
            (contact.email.as_deref(), contact.phone.as_deref()),
            (Some("luis@example.com"), Some("222 000 0000"))
        );
        assert!(event.traits_json.unwrap().contains(r#""username":"luis""#));
    }
}

#[tokio::test]
async fn products_and_coupons_of_woocommerce_are_answered_and_left() {
    let door: Fixture = door();
    for topic in ["product.created", "product.updated", "coupon.deleted"] {
        woocommerce(&door, topic, "d1", &json!({ "id": 5 })).await.is_accepted();
    }
    assert_eq!(door.records(), []);
    woocommerce(&door, "action.of_a_plugin", "d2", &json!({ "id": 5 })).await.is_accepted();
    assert_eq!(header_of(&door.records()[0], "__connect.errors.exception.class.name"), "unknown_topic");
}

/// The texts and numbers of a payload, with the way to each.
fn leaves(value: &Value, path: &str, found: &mut Vec<(String, String)>) {
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, member)| leaves(member, &format!("{path}.{name}"), found));
        }
        Value::Array(elements) => elements.iter().for_each(|element| leaves(element, path, found)),
        Value::String(text) => found.push((path.to_owned(), text.clone())),
        Value::Number(number) => found.push((path.to_owned(), number.to_string())),
        Value::Bool(_) | Value::Null => {}
    }
}

#[tokio::test]
async fn nothing_that_a_payload_says_is_lost() {
    let door = door();
    for (topic, name) in [
        ("carts/update", "shopify_carts_update"),
        ("checkouts/create", "shopify_checkouts_create"),
        ("orders/create", "shopify_orders_create"),
        ("refunds/create", "shopify_refunds_create"),
        ("customers/update", "shopify_customers_update"),
        ("order.created", "woocommerce_order"),
        ("customer.updated", "woocommerce_customer"),
    ] {
        let payload = fixture(name);
        if topic.contains('/') {
            shopify(&door, topic, "w1", payload.to_string()).await.is_accepted();
        } else {
            woocommerce(&door, topic, "d1", &payload).await.is_accepted();
        }
        let event = door.events().remove(0);
        let kept: Vec<Value> = [&event.properties_json, &event.traits_json, &event.context_json]
            .into_iter()
            .flatten()
            .map(|json| serde_json::from_str(json).unwrap())
            .chain([serde_json::to_value(&event).unwrap()])
            .collect();
        let mut known = Vec::new();
        for value in &kept {
            leaves(value, "", &mut known);
        }
        let is_known = |text: &str| known.iter().any(|(_, value)| value == text);
        let mut said = Vec::new();
        leaves(&payload, "", &mut said);
        for (path, text) in said {
            let in_cents = text.replace('.', "");
            let in_cents = in_cents.trim_start_matches('0');
            assert!(is_known(&text) || is_known(in_cents), "{name}{path}: {text}");
        }
    }
}
