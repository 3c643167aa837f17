//! Where the fuzzer begins: what the libraries and the platforms send, and a spool with each kind of damage.

use std::fs;
use std::path::Path;

use links::{AddressHash, ClickToken, OpenToken, PreferencesToken, SentMessage, UnsubscribeToken};

use crate::Target;
use crate::fixture::{BROWSER_KEY, KEY, NOW, address_secret, link_keys};
use crate::spool::{name, op};

/// A seed: what it is, and its bytes.
pub type Seed = (String, Vec<u8>);

/// The seeds of a target.
pub fn seeds(target: Target) -> Vec<Seed> {
    match target {
        Target::Door => door(),
        Target::Webhooks => webhooks(),
        Target::SpoolReader => spool(),
    }
}

const TRACK: &str = r#"{"type":"track","event":"Product Added","userId":"u1","anonymousId":"a1","messageId":"m1","timestamp":"2026-03-01T11:59:30.000Z","properties":{"product_id":"p1","price":12.5,"quantity":2,"currency":"EUR","cart_id":"c1"},"context":{"library":{"name":"analytics.js","version":"2.3.2"},"page":{"path":"/cart"},"locale":"es-MX","timezone":"America/Mexico_City"}}"#;
const IDENTIFY: &str = r#"{"type":"identify","userId":"ana@example.com","messageId":"m2","traits":{"email":"ana@example.com","phone":"+34 600 000 000","firstName":"Ana"},"context":{"traits":{"tier":"gold"},"consent":{"marketing":true}},"originalTimestamp":1772366000000}"#;
const ORDER: &str = r#"{"type":"track","event":"Order Completed","anonymousId":"a1","messageId":"m3","properties":{"order_id":"o1","total":"1e2","revenue":25.50,"tax":-0,"coupon":"X","products":[{"sku":"s1","price":1.005,"quantity":1},{"product_id":7}]},"context":{"historical":true}}"#;
const ALIAS: &str = r#"{"type":"alias","previousId":"a1","userId":"u1"}"#;

fn request(path: &str, lines: &[&str], body: &str) -> Vec<u8> {
    let head = [&[&*format!("POST {path}")], lines].concat().join("\n");
    format!("{head}\n\n{body}").into_bytes()
}

fn door() -> Vec<Seed> {
    let (key, browser) = (format!("@key: {KEY}"), format!("@key: {BROWSER_KEY}"));
    let batch = format!(
        r#"{{"batch":[{TRACK},{IDENTIFY},{ORDER},{ALIAS},7,{{"type":"track"}}],"sentAt":"2026-03-01T12:00:00Z","context":{{"ip":"192.0.2.1"}},"writeKey":"{KEY}"}}"#
    );
    let mut seeds = vec![
        ("batch".to_owned(), request("/v1/batch", &["content-type: application/json"], &batch)),
        ("batch-gzip".to_owned(), request("/v1/b", &["content-encoding: gzip", "@pack: gzip", &key], &batch)),
        ("batch-zlib".to_owned(), request("/v1/batch?x=1", &["@pack: zlib", "@frames: 50", &browser], &batch)),
        ("bomb".to_owned(), request("/v1/track", &["@pack: gzip", "@repeat: 900000", &key], "         ")),
        ("long-batch".to_owned(), request("/v1/batch", &["@repeat: 40000", &key], r#"{"batch":[1,"#)),
        ("query-key".to_owned(), request(&format!("/v1/t?writeKey={KEY}"), &["content-type: text/plain"], TRACK)),
        ("no-key".to_owned(), request("/v1/track", &[], TRACK)),
        (
            "traced".to_owned(),
            request(
                "/v1/p",
                &[
                    "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                    "tracestate: a=b",
                    "vuelve-redrives: 2",
                    "content-length: 5",
                    &key,
                ],
                TRACK,
            ),
        ),
        (
            "surrogates".to_owned(),
            request(
                "/v1/track",
                &[&key],
                r#"{"event":"\ud800x\udc00","userId":"\ud83d\ude00","properties":{"a\ud800":[[[1e400]]]}}"#,
            ),
        ),
        ("settings".to_owned(), format!("GET /v1/projects/{KEY}/settings\nhost: x\n\n").into_bytes()),
        (
            "preflight".to_owned(),
            b"OPTIONS /v1/batch\norigin: https://a\naccess-control-request-method: POST\n\n".to_vec(),
        ),
        (
            "unsubscribe".to_owned(),
            request("/u/{token}", &["content-type: application/x-www-form-urlencoded"], "List-Unsubscribe=One-Click"),
        ),
        (
            "preferences".to_owned(),
            request("/p/{token}?lang=es", &["content-type: application/x-www-form-urlencoded"], "choice=no&offers=no"),
        ),
        ("click".to_owned(), b"GET /c/{token}\nuser-agent: Mozilla/5.0\n\n".to_vec()),
        ("open".to_owned(), b"GET /o/{token}\nsec-purpose: prefetch\naccept-language: es\n\n".to_vec()),
        ("ping".to_owned(), request("/webhooks/woocommerce", &[], "webhook_id=12")),
        ("nowhere".to_owned(), request("/webhooks/%ff", &[], "{}")),
        ("no-settings".to_owned(), b"GET /v1/projects/%ff/settings\n\n".to_vec()),
    ];
    for (path, body) in [
        ("identify", IDENTIFY),
        ("track", ORDER),
        ("page", TRACK),
        ("screen", TRACK),
        ("group", IDENTIFY),
        ("alias", ALIAS),
        ("m", ""),
    ] {
        seeds.push((path.to_owned(), request(&format!("/v1/{path}"), &[&key], body)));
    }
    seeds
}

fn webhooks() -> Vec<Seed> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = root.join("services/ingestion/tests/ingestion/webhooks");
    let text = |path: &Path| fs::read_to_string(path).expect("an example").replace('\n', " ");
    let mut seeds = Vec::new();
    for file in fs::read_dir(folder).expect("examples").flatten() {
        let (name, body) = (file.file_name().to_string_lossy().replace(".json", ""), text(&file.path()));
        for topic in topics(&name) {
            let (path, header) = if name.starts_with("shopify") {
                ("/webhooks/shopify", "x-shopify-webhook-id: w1\nx-shopify-topic")
            } else {
                ("/webhooks/woocommerce", "x-wc-webhook-delivery-id: w1\nx-wc-webhook-topic")
            };
            seeds.push((topic.replace(['/', '.'], "-"), request(path, &[&format!("{header}: {topic}")], &body)));
        }
    }
    let sale = text(&root.join("examples/webhooks/point-of-sale.json"));
    let members =
        r#"{"type":"members","members":[{"number":"1","email":"a@example.com","first_name":"A","agreed":true}]}"#;
    for (name, order, body) in
        [("sale", "@pack: none", sale.as_str()), ("members", "@pack: gzip", members), ("wrong", "@sign: wrong", &sale)]
    {
        seeds.push((name.to_owned(), request("/webhooks/till", &["x-pos-delivery: d1", order], body)));
    }
    seeds.push(("ping".to_owned(), request("/webhooks/woocommerce", &["@sign: given"], "webhook_id=12")));
    seeds
}

/// The topics that an example may come under.
fn topics(name: &str) -> &'static [&'static str] {
    match name {
        "shopify_carts_empty" => &["carts/create"],
        "shopify_carts_update" => &["carts/update"],
        "shopify_checkouts_create" => &["checkouts/create", "checkouts/update"],
        "shopify_customers_data_request" => &["customers/data_request"],
        "shopify_customers_redact" => &["customers/redact"],
        "shopify_customers_update" => &["customers/update"],
        "shopify_orders_create" => &["orders/create", "orders/paid", "orders/cancelled"],
        "shopify_refunds_create" => &["refunds/create"],
        "shopify_shop_redact" => &["shop/redact"],
        "woocommerce_customer" => &["customer.created", "customer.deleted"],
        "woocommerce_order" => &["order.created", "order.updated", "order.deleted", "product.updated"],
        _ => &["unknown/topic"],
    }
}

fn spool() -> Vec<Seed> {
    let real = |which: u8| vec![op::REAL, which];
    let note = |text: &str| [&[op::NOTE, text.len() as u8], text.as_bytes()].concat();
    let named = |name: &str, parts: &[Vec<u8>]| (name.to_owned(), parts.concat());
    vec![
        named("whole", &[real(0), real(1), real(2)]),
        named("torn", &[real(0), real(1), vec![op::TEAR, 5, 0]]),
        named("damaged", &[real(0), real(1), vec![op::FLIP, 3, 0, 90], real(2)]),
        named("segments", &[real(0), vec![op::SEGMENT, 0], real(1), vec![op::SEGMENT, 2], real(2)]),
        named("within", &[real(3), real(0)]),
        named("long", &[real(4), real(4), real(0)]),
        named("long-within", &[real(4), real(5), real(1)]),
        named("unknown", &[real(0), [&[op::SUMMED, 4], &b"\x01abc"[..]].concat(), real(1)]),
        named("noted", &[real(0), real(1), note(&format!("{} 67\n", name(1)))]),
        named("noted-within", &[real(0), real(1), note(&format!("{} 30\n", name(1)))]),
        named("last-note", &[note(&format!("{} 0\n", name(u64::MAX)))]),
        named("last-note-before", &[real(0), note(&format!("{} 0\n", name(u64::MAX - 1)))]),
        named(
            "names",
            &[real(0), [&[op::OTHER, 0, 3], &b"abc"[..]].concat(), [&[op::OTHER, 4, 3], &b"abc"[..]].concat()],
        ),
        named("bytes", &[[&[op::BYTES, 20], &b"salt--VS\xff\xff\xff\xff\0\0\0\0\0\0\0\0"[..]].concat()]),
        named("damaged-around", &[real(1), vec![op::HEAD, 90, 0], real(0), real(2)]),
        named("torn-around", &[real(1), vec![op::HEAD, 255, 0], real(0)]),
        named("longer-than-a-portion", &[real(4), real(1), vec![op::HEAD, 0, 255], real(4), real(0), real(5)]),
    ]
}

/// A link that messaging might have signed, for this page.
pub(crate) fn token_for(page: &str) -> String {
    let (keys, text) = (link_keys(), str::to_owned);
    let unsubscribe = || UnsubscribeToken {
        customer_id: text("ana-7"),
        message_id: text("message-1"),
        address_hash: AddressHash::of(&address_secret(), "ana@example.com"),
        category: text("cart"),
        shop: text("demo"),
    };
    let message = || SentMessage {
        customer_id: text("ana-7"),
        message_id: text("message-1"),
        category: text("cart"),
        shop: text("demo"),
        sent_at: NOW.as_millis() - 3_600_000,
    };
    let signed = match page {
        "/u/" => unsubscribe().sign(&keys),
        "/p/" => PreferencesToken(unsubscribe()).sign(&keys),
        "/c/" => {
            let target = "https://shop.example.com/cart?a=1".parse().expect("an address");
            ClickToken { message: message(), link: 2, target }.sign(&keys)
        }
        "/o/" => OpenToken(message()).sign(&keys),
        _ => return String::new(),
    };
    signed.expect("it can be signed")
}
