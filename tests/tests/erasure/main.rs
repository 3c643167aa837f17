//! A customer who is erased is nowhere any more, once compaction and retention are through: not a byte of her on the broker's
//! disk, in the door's spool, in Redis, in logs, traces and exports. What comes late makes nothing of her, nobody else is touched, and
//! whoever sees it through may be killed at any stage.
#![allow(clippy::unwrap_used, reason = "a test may fail by it")]

mod calls;
mod scan;
mod shop;

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proto::privacy::v1::PrivacyStage;
use schemas::Cleanup;
use serde_json::{Value, json};
use testkit::wait_until;
use tests::installation::PARTITIONS;
use tonic::Code;

use crate::calls::{MAY_ERASE, MAY_LOOK};
use crate::scan::{Patterns, in_folder};
use crate::shop::{LIMIT, Shop, UNLINKED};

const ANA: &str = "ana-17";
const BERTA: &str = "berta-4";
/// Whom an operator erases at the same time.
const DORA: &str = "dora-2";
const DEVICES: [&str; 2] = ["device-of-ana-1", "device-of-ana-2"];

/// What says who Ana is: nobody else has any of these, and nothing else is called so.
const MARKERS: [&str; 7] = [
    "zoraida.ximenez@erase.example",
    "Zoraida",
    "Ximenezmarker",
    "+34600123987",
    "Calle del Marcador",
    "palabra-de-rasgo",
    "seen-while-anonymous",
];
/// A device of hers that nobody knows by the time when she is erased.
const ANOTHER: &str = "device-of-ana-3";
/// The id of the call's wish.
const WISH: &str = "gdpr-ana";
/// Of what she did before, and is told only afterwards.
const LATE: &str = "told-only-afterwards";

#[test]
fn an_erased_customer_is_found_nowhere_and_nobody_else_is_touched() {
    let shop = Shop::open();
    let ana = json!({
        "email": MARKERS[0], "firstName": MARKERS[1], "lastName": MARKERS[2], "phone": MARKERS[3],
        "address": {"street": MARKERS[4]}, "likes": MARKERS[5],
    });
    let berta = json!({"email": "berta@stays.example", "firstName": "Berta", "likes": "something-else"});
    // Her visit waits in the spool while the broker is away, and is gone from there once the broker has it.
    let everything = Patterns::of(&MARKERS);
    shop.installation.kafka.pause().unwrap();
    shop.visit(ANA, DEVICES, &ana, MARKERS[6]);
    let spooled = in_folder(&everything, &shop.spool());
    shop.installation.kafka.resume().unwrap();
    assert!(MARKERS.iter().all(|marker| spooled.iter().any(|place| place.starts_with(marker))), "{spooled:?}");
    wait_until(LIMIT, "the spool to be empty", || in_folder(&everything, &shop.spool()).is_empty().then_some(()))
        .unwrap();
    shop.post("/v1/track", &json!({"event": "Product Viewed", "userId": DORA, "properties": {"product_id": "p-2"}}));
    shop.visit(BERTA, ["device-of-berta-1", "device-of-berta-2"], &berta, "p-1");
    // What can't be read is put aside, whatever it holds.
    shop.installation.produce("storefront.received", ANA, &[], format!("broken, {}", MARKERS[0]).as_bytes()).unwrap();

    // Berta got her message, Ana's waits for another attempt; both are in a run, and in a segment.
    shop.mail.wait_for_messages(1, LIMIT).unwrap();
    let before = wait_until(LIMIT, "all that is to be erased", || {
        let told = shop.installation.command(&["customers", "data", ANA, "--out", "-"]).ok()?;
        let data: Value = serde_json::from_str(&told).unwrap();
        let states = &data["states"];
        let waits = states["messaging"][ANA]["messages"].as_array().is_some_and(|messages| messages.len() == 1);
        let runs = states["journeys"][ANA]["runs"].as_array().is_some_and(|runs| runs.len() == 1);
        let is_known = states["segmentation"][ANA]["ids"].as_array().is_some_and(|ids| ids.len() == 2);
        let letters = data["records"]["platform.deadletters"].as_array().is_some_and(|letters| letters.len() == 1);
        (waits && runs && is_known && letters).then_some(data)
    })
    .unwrap();
    // Her own copy has all of it, under each of her ids; what was put aside as the bytes that it is.
    let copy = before.to_string();
    assert!(MARKERS.iter().all(|marker| copy.contains(marker)), "{copy}");
    assert_eq!(before["ids"], json!([ANA, DEVICES[0], DEVICES[1]]));
    let letter = before["records"]["platform.deadletters"][0]["bytes"].as_str().unwrap();
    assert_eq!(STANDARD.decode(letter).unwrap(), format!("broken, {}", MARKERS[0]).as_bytes());

    // What is looked for can be found: each of it in the log, and what states hold in Redis.
    let found = shop.found(&MARKERS);
    for marker in MARKERS {
        assert!(found.iter().any(|place| place.starts_with(marker) && place.contains(".log of vuelve.")), "{marker}");
    }
    assert!(found.contains(&format!("{} in Redis", MARKERS[0])), "{found:?}");

    let untouched = ["segmentation.changelog", "journeys.changelog", "customer.profiles"];
    let of_berta = || untouched.map(|dataset| shop.last(dataset, BERTA).unwrap());
    let berta_before = of_berta();
    erase_while_erasers_are_killed(&shop);

    let request = wait_until(LIMIT, "the receipt", || {
        let requests = shop.requests();
        requests.iter().all(|request| request["state"] == "done").then_some(())?;
        requests.into_iter().find(|request| request["request_id"] == WISH)
    })
    .unwrap();

    // The receipt names all her ids, and every place; it was written once.
    assert_eq!((&request["customer_id"], &request["ids"]), (&json!(ANA), &json!([ANA, DEVICES[0], DEVICES[1]])));
    let places = request["places"].as_array().unwrap();
    assert!(places.iter().all(|place| place["removed_at"].is_string()), "{places:#?}");
    let named: BTreeSet<&str> = places.iter().map(|place| place["dataset"].as_str().unwrap()).collect();
    let specs = schemas::topics("vuelve", PARTITIONS as u32);
    let holding = specs.iter().filter(|spec| spec.holds_customers()).map(|spec| spec.dataset);
    assert_eq!(named, holding.collect());
    assert!(places.iter().any(|place| place["means"] == "store"));
    let mut stages: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for receipt in shop.installation.records("privacy.receipts").unwrap() {
        let of = |name: &str| receipt.value[name].as_str().unwrap().to_owned();
        stages.entry(of("customer_id")).or_default().push(of("stage"));
    }
    let each_once = || vec!["forgotten".to_owned(), "erased".to_owned()];
    assert_eq!(stages, [(ANA.to_owned(), each_once()), (DORA.to_owned(), each_once())].into());

    // Not a byte of hers.
    let nothing = |markers: &[&str]| {
        let gone = wait_until(UNLINKED, "nothing of hers", || shop.found(markers).is_empty().then_some(()));
        assert!(gone.is_ok(), "{:#?}", shop.found(markers));
    };
    nothing(&MARKERS);
    nothing(&[LATE]);
    let everything: Vec<&str> = MARKERS.into_iter().chain([LATE]).collect();
    let patterns = Patterns::of(&everything);
    for process in shop.processes() {
        let log = std::fs::read(process.log_path()).unwrap();
        assert_eq!(patterns.in_bytes(&log).next(), None, "in the log of {}", process.name());
    }
    let spans = shop.collector.spans();
    assert!(spans.len() > 10, "{spans:?}");
    let spans = format!("{spans:?}");
    assert_eq!(patterns.in_bytes(spans.as_bytes()).next(), None, "in traces");
    let table = shop.installation.command(&["customers", "export", "--out", "-"]).unwrap();
    assert_eq!(patterns.in_bytes(table.as_bytes()).next(), None, "{table}");

    // What came late made nothing of her; what is left names nobody.
    let after = wait_until(LIMIT, "no device to be hers", || {
        let told = shop.installation.command(&["customers", "data", ANA, "--out", "-"]).unwrap();
        let data: Value = serde_json::from_str(&told).unwrap();
        (data["ids"] == json!([ANA])).then_some(told)
    })
    .unwrap();
    assert_eq!(patterns.in_bytes(after.as_bytes()).next(), None, "{after}");
    let after: Value = serde_json::from_str(&after).unwrap();
    assert!(after["states"]["segmentation"][ANA]["erased_at"].is_number(), "{after:#}");
    assert_eq!(after["states"]["segmentation"][ANA]["seen"], json!([]));
    assert_eq!((&after["states"]["journeys"], &after["records"]["customer.profiles"]), (&json!({}), &Value::Null));
    assert_eq!(after["records"]["messaging.requests"], Value::Null);

    // Nobody else is touched.
    assert_eq!(of_berta(), berta_before);
    assert!(!shop.found(&["berta@stays.example"]).is_empty());
}

/// Asks for Ana by a call and for Dora by a command. Two processes could see it through: the one that does is killed before they
/// are forgotten, once they are, and before the last receipts. When this returns, nothing is left to be waited for but cleaning.
fn erase_while_erasers_are_killed(shop: &Shop) {
    // Nobody is forgotten as long as nobody hears of it.
    shop.resolver.kill9().unwrap();
    for (port, token) in [(0, MAY_LOOK), (1, "wrong-token-of-some-length")] {
        let refused = calls::erase(shop.grpc[port], token, ANA, WISH).unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated, "{token}");
    }
    assert_eq!(calls::look_up(shop.grpc[0], MAY_ERASE, ANA), Code::Unauthenticated);
    assert_eq!(calls::look_up(shop.grpc[0], MAY_LOOK, ANA), Code::Ok);
    let first = calls::erase(shop.grpc[0], MAY_ERASE, ANA, WISH).unwrap();
    let again = calls::erase(shop.grpc[1], MAY_ERASE, ANA, WISH).unwrap();
    assert_eq!((first.stage(), again.requested_at), (PrivacyStage::Pending, first.requested_at));
    shop.installation.command(&["customers", "erase", DORA, "--shop", "test"]).unwrap();

    let killed = shop.kill_the_owner();
    let states = shop.states();
    assert_eq!((states.len(), states.values().all(|state| state == "open")), (2, true), "{states:?}");
    shop.resolver.restart().unwrap();
    let all_are = |wanted: &str| shop.states().values().all(|state| state == wanted).then_some(());
    wait_until(LIMIT, "nobody to know them", || all_are("forgotten")).unwrap();
    let told = calls::erase(shop.grpc[1 - killed], MAY_ERASE, ANA, WISH).unwrap();
    assert_eq!((told.stage(), told.requested_at), (PrivacyStage::Forgotten, first.requested_at));
    shop.bring_back(killed);

    let killed = shop.kill_the_owner();
    // It happened before, and is told now, under each id.
    let late = json!({
        "event": "Product Viewed", "userId": ANA, "anonymousId": DEVICES[0], "timestamp": "2026-01-02T03:04:05Z",
        "properties": {"product_id": LATE}, "context": {"traits": {"lastName": LATE}},
    });
    shop.post("/v1/track", &late);
    shop.post("/v1/identify", &json!({"userId": ANA, "anonymousId": ANOTHER, "timestamp": "2026-01-02T03:04:05Z"}));
    shop.post(
        "/v1/identify",
        &json!({"anonymousId": DEVICES[1], "timestamp": "2026-01-02T03:04:05Z", "traits": {"lastName": LATE}}),
    );
    shop.bring_back(killed);

    // Topics of events are emptied first: compacted ones and Redis are left.
    let requests = shop.requests();
    let places = requests.iter().flat_map(|request| request["places"].as_array().unwrap());
    let kept = places.filter(|place| place["means"] != "retention").count();
    shop.hurry(Cleanup::Delete);
    shop.wait_until_left(kept);
    let killed = shop.kill_the_owner();
    assert!(all_are("forgotten").is_some(), "what is not compacted may hold her");
    shop.bring_back(killed);
    shop.hurry(Cleanup::Compact);
}
