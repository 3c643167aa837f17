//! `vuelve deadletters`: looked at, and sent again.

use serde_json::{Value, json};

use crate::shop::{Shop, now, track};

const JOURNEY: &str = "journey: quiet\nversion: 1\ntrigger: { event: Nothing }\nholdout: 0%\nsteps:\n  - wait: 1h\n";

async fn list(shop: &Shop, count: usize) -> Vec<Value> {
    shop.until("the letters", async |shop| {
        let told = shop.vuelve(&["deadletters", "list", "--format", "json"]).await;
        assert_eq!(told.code, Some(0), "{}", told.err);
        let letters: Vec<Value> = told.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (letters.len() >= count).then_some(letters)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_goes_back_with_its_bytes_and_headers_and_how_often_is_counted_until_it_has_to_be_named() {
    let shop = Shop::open(JOURNEY).await;
    let began = now();
    shop.append("storefront.received", "ana", b"\xff no event", &[("traceparent", "kept"), ("own", "header")]).await;
    let letters = list(&shop, 1).await;
    let letter = &letters[0];
    assert_eq!(letter["original_topic"], "vuelve.storefront.received.v1");
    assert_eq!((&letter["redrives"], &letter["size_bytes"], &letter["key"]), (&json!(0), &json!(10), &json!("YW5h")));
    assert_eq!(letter["value"], "/yBubyBldmVudA==");
    let (partition, offset) = (letter["partition"].to_string(), letter["offset"].to_string());
    let one = ["deadletters", "redrive", "--partition", &partition, "--offset", &offset];

    // Without --yes nothing is done.
    let told = shop.vuelve(&one).await;
    assert_eq!(told.code, Some(0), "{}", told.err);
    assert!(told.out.ends_with("1 would be sent again; nothing was done (--yes does it), 0 left\n"), "{}", told.out);
    assert_eq!(list(&shop, 1).await.len(), 1);

    for round in 1..=3 {
        let newest = list(&shop, round).await.pop().unwrap();
        let (partition, offset) = (newest["partition"].to_string(), newest["offset"].to_string());
        let told =
            shop.vuelve(&["deadletters", "redrive", "--partition", &partition, "--offset", &offset, "--yes"]).await;
        assert_eq!(told.code, Some(0), "{}", told.err);
        assert!(told.out.contains("sent to vuelve.storefront.received.v1"), "{}", told.out);
        let came_back = list(&shop, round + 1).await.pop().unwrap();
        assert_eq!((&came_back["value"], &came_back["key"]), (&letter["value"], &letter["key"]));
        assert_eq!(came_back["redrives"], round);
    }

    // It came back three times: only the one that is named goes.
    let since = jiff::Timestamp::from_millisecond(began.as_millis()).unwrap().to_string();
    let told = shop.vuelve(&["deadletters", "redrive", "--all", "--since", &since]).await;
    assert_eq!(told.code, Some(1), "{}", told.out);
    assert!(told.out.contains("is left: it was sent again 3 times and came back each time"), "{}", told.out);
    assert!(told.out.contains("3 would be sent again"), "{}", told.out);

    // The headers of the record came along.
    let installation = shop.installation.clone();
    let read = move || {
        let mut last = Vec::new();
        let topic = installation.cluster.topic("storefront.received");
        kafka::read_topic(&installation.cluster, &topic, std::time::Duration::from_secs(10), |record| {
            last = record
                .headers
                .into_iter()
                .map(|h| (h.name.into_owned(), String::from_utf8(h.value.to_vec()).unwrap()))
                .collect();
            true
        })
        .unwrap();
        last
    };
    let headers = tokio::task::spawn_blocking(read).await.unwrap();
    let expected = [("traceparent", "kept"), ("own", "header"), ("vuelve-redrives", "3")];
    assert_eq!(headers, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));

    let told = shop.vuelve(&["deadletters", "list", "--topic", "messaging.requests"]).await;
    assert_eq!(told.out, "0 dead letters\n");
    let told = shop.vuelve(&["deadletters", "list", "--topic", "storefront.received", "--limit", "1"]).await;
    assert!(told.out.ends_with("4 dead letters; the newest are shown\n"), "{}", told.out);
    assert!(told.out.contains("(by ingestion; sent again 3 times)"), "{}", told.out);
    let told = shop.vuelve(&["deadletters", "redrive", "--partition", "0", "--offset", "99999"]).await;
    assert_eq!(told.code, Some(1));
    assert!(told.err.contains("there is no dead letter at partition 0, offset 99999"), "{}", told.err);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_of_the_door_goes_back_through_the_door_under_its_own_write_key_and_under_no_other() {
    let shop = Shop::open(JOURNEY).await;
    let bad = json!({ "type": "track", "event": "X" }).to_string();
    let batch =
        format!(r#"{{"batch":[{},{bad}]}}"#, track("ana", "Product Viewed").replacen('{', r#"{"type":"track","#, 1));
    shop.post("/v1/batch", batch).await;
    let letters = list(&shop, 1).await;
    assert_eq!((&letters[0]["original_topic"], &letters[0]["source"]), (&json!("/v1/batch"), &json!("demo")));
    assert_eq!((&letters[0]["reason"], &letters[0]["original_offset"]), (&json!("no_id"), &json!(1)));

    let told = shop.vuelve(&["deadletters", "redrive", "--all", "--yes"]).await;
    assert_eq!(told.code, Some(1));
    assert!(told.out.contains("(write key `demo`) and goes back through it: give --door URL"), "{}", told.out);

    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    std::fs::write(&key, &shop.embedded.write_key).unwrap();
    let key = key.display().to_string();
    let all = ["deadletters", "redrive", "--all", "--yes", "--door", &shop.door, "--write-key-file", &key];
    let told = shop.vuelve(&all).await;
    assert_eq!(told.code, Some(2), "whose key is it? {}", told.out);
    assert!(told.err.contains("--source <ID>"), "{}", told.err);

    // Another shop's event does not become this one's.
    let told = shop.vuelve(&[&all[..], &["--source", "other"]].concat()).await;
    assert_eq!(told.code, Some(1), "{} {}", told.out, told.err);
    let of_others = "0 sent again, 1 left\n1 of those left came in under the write key `demo`: give --source demo";
    assert!(told.out.contains(of_others), "{}", told.out);
    assert_eq!(list(&shop, 1).await.len(), 1);

    let told = shop.vuelve(&[&all[..], &["--source", "demo"]].concat()).await;
    assert_eq!(told.code, Some(0), "{} {}", told.out, told.err);
    assert!(told.out.contains("sent through the door by /v1/batch\n1 sent again, 0 left\n"), "{}", told.out);
    assert!(!told.out.contains(&shop.embedded.write_key));

    // Nothing about it was mended, so it comes back, and says so.
    let came_back = list(&shop, 2).await.pop().unwrap();
    assert_eq!((&came_back["redrives"], &came_back["value"]), (&json!(1), &letters[0]["value"]));

    std::fs::write(folder.path().join("wrong"), "a-key-that-nobody-has").unwrap();
    let wrong = folder.path().join("wrong").display().to_string();
    let told = shop.vuelve(&[&all[..all.len() - 1], &[&wrong, "--source", "demo"]].concat()).await;
    assert_eq!(told.code, Some(1));
    assert!(told.err.contains("refuses it (401)") && told.err.contains("could not be sent again"), "{}", told.err);
    shop.close().await;
}
