//! `vuelve why`: a message's story, from what was recorded.

use schemas::{JourneyDecision, MessageOutcome};

use crate::shop::{Shop, track};

const JOURNEY: &str = "
journey: cart-recovery
version: 4
trigger: { event: Product Added }
correlate: cart_id
exit: [ { event: Order Completed, same: cart_id } ]
holdout: 0%
steps:
  - wait: 1s
  - message: { as: first, template: cart-reminder-1, channel: email, category: cart }
  - wait: 23h
";

const HELD_OUT: &str = "
journey: cart-recovery
version: 1
trigger: { event: Product Added }
holdout: 100%
steps:
  - message: { as: first, template: cart-reminder-1, channel: email, category: cart }
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_was_sent_tells_who_asked_for_it_when_and_what_became_of_it() {
    let shop = Shop::open(JOURNEY).await;
    shop.post("/v1/track", track("ana", "Product Added")).await;
    let outcome = shop
        .until("an outcome", async |shop| shop.all::<MessageOutcome>("messaging.outcomes").await.into_iter().next())
        .await;

    let told = shop.vuelve(&["why", &outcome.message_id]).await;
    assert_eq!((told.code, told.err.as_str()), (Some(0), ""));
    let parts = [
        format!("Message {} to customer ana\n", outcome.message_id),
        format!("Journey cart-recovery, version 4, run {}\n", outcome.run_id),
        "  entered: about cart-1; by event ana-Product Added-".to_owned(),
        "  message requested at step first: ".to_owned(),
        "  asked messaging for template cart-reminder-1 at step first: category cart; by email; due ".to_owned(),
        "  outcome sent at step first: by email; 1 attempt; due ".to_owned(),
        "\nIt was sent by email at ".to_owned(),
    ];
    let places: Vec<_> = parts.iter().map(|part| told.out.find(part)).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{places:?}\n{}", told.out);
    assert!(!told.out.contains("example.com") && !told.out.contains("Ana"), "no personal data: {}", told.out);

    let told = shop.vuelve(&["why", &outcome.message_id, "--customer", "ana", "--format", "json"]).await;
    let story: serde_json::Value = serde_json::from_str(&told.out).unwrap();
    assert_eq!((&story["customer_id"], &story["message_id"]), (&"ana".into(), &outcome.message_id.clone().into()));
    let kinds: Vec<&str> = story["entries"].as_array().unwrap().iter().map(|e| e["kind"].as_str().unwrap()).collect();
    assert!(kinds.contains(&"decision") && kinds.contains(&"requested") && kinds.contains(&"outcome"), "{kinds:?}");
    assert!(story["entries"][0]["record"].as_str().unwrap().contains("journeys.decisions.v1["), "{story}");
    assert!(!told.out.contains("example.com"), "{}", told.out);

    let told = shop.vuelve(&["why", &outcome.message_id, "--customer", "bea"]).await;
    assert_eq!(told.code, Some(1));
    assert!(told.err.contains("of customer bea"), "{}", told.err);

    let told = shop.vuelve(&["why", "no-such-message"]).await;
    assert_eq!((told.code, told.out.as_str()), (Some(1), ""));
    let kept = "journeys.decisions for 365 days, messaging.requests for 7 days, messaging.outcomes for 365 days";
    assert!(
        told.err.contains("nothing is known of a message `no-such-message`") && told.err.contains(kept),
        "{}",
        told.err
    );
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_was_withheld_says_that_she_is_held_out() {
    let shop = Shop::open(HELD_OUT).await;
    shop.post("/v1/track", track("ana", "Product Added")).await;
    let message_id = shop
        .until("a decision", async |shop| {
            let decisions = shop.all::<JourneyDecision>("journeys.decisions").await;
            decisions.into_iter().find_map(|decision| decision.message_id)
        })
        .await;
    let told = shop.vuelve(&["why", &message_id]).await;
    assert_eq!(told.code, Some(0), "{}", told.err);
    assert!(told.out.contains("  message withheld at step first: "), "{}", told.out);
    assert!(told.out.contains("\nIt was not sent: she is held out of the journey"), "{}", told.out);
    shop.close().await;
}
