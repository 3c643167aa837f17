//! A journey with `existing` lets in who is in its segment already, each once, and takes nobody else along.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use schemas::{Decision, JourneyDecision};

use crate::shop::{Shop, track};

const CART: &str = "
journey: left-cart
version: 1
trigger: { event: Product Added }
steps: [ { wait: 23h } ]
";
/// Segment and journey come together: who is there is counted once everybody was judged.
const WELCOME: &str = "
segment: looked-around
enter: customer.total.product_views >= 1
---
journey: welcome
version: VERSION
trigger: { segment: looked-around, existing: 3600000/h }
steps: [ end ]
";

async fn apply(shop: &Shop, version: &str, flag: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("preset.yaml"), "preset: mine\nextends: basic\n").unwrap();
    std::fs::write(folder.path().join("welcome.yaml"), WELCOME.replace("VERSION", version)).unwrap();
    let told = shop.vuelve(&["apply", folder.path().to_str().unwrap(), flag]).await;
    assert_eq!(told.code, Some(0), "{}", told.err);
    told.out
}

/// Who has entered the journey, once and again.
async fn entered(shop: &Shop) -> Vec<String> {
    let decisions = shop.all::<JourneyDecision>("journeys.decisions").await;
    let entered = decisions.into_iter().filter(|told| told.journey == "welcome" && told.decision == Decision::Entered);
    let mut who: Vec<String> = entered.map(|told| told.customer_id).collect();
    who.sort();
    who
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_in_the_segment_when_its_journey_is_applied_is_let_in_once() {
    let shop = Shop::open(CART).await;
    let there: BTreeSet<String> = (0..20).map(|number| format!("customer-{number:02}")).collect();
    for customer in &there {
        shop.post("/v1/track", track(customer, "Product Viewed")).await;
    }
    shop.post("/v1/track", track("other", "Checkout Started")).await;
    // All that was told is counted once this one has a run.
    shop.post("/v1/track", track("last", "Product Added")).await;
    shop.until("what was told", async |shop| {
        let told = shop.all::<schemas::CustomerEvent>("customer.events").await;
        (told.iter().filter(|told| told.event.is_some()).count() == there.len() + 2).then_some(())
    })
    .await;

    let said = apply(&shop, "1", "--judged").await;
    assert!(said.contains("2 definitions written"), "{said}");
    let members = shop.all::<schemas::SegmentChange>("customer.segments").await;
    assert_eq!(
        members.iter().filter(|change| change.segment == "looked-around").count(),
        there.len(),
        "all are judged"
    );
    let who = shop.until("those who are there", async |shop| {
        let who = entered(shop).await;
        (who.len() >= there.len()).then_some(who)
    });
    assert_eq!(who.await, there.iter().cloned().collect::<Vec<_>>());
    let admissions = shop.all::<schemas::Admission>("customer.admissions").await;
    assert_eq!(admissions.iter().map(|admission| admission.members).collect::<Vec<_>>(), [20]);

    // Who comes later enters by herself, and another version lets nobody in again.
    shop.post("/v1/track", track("late", "Product Viewed")).await;
    shop.until("who came later", async |shop| entered(shop).await.contains(&"late".to_owned()).then_some(())).await;
    apply(&shop, "2", "--judged").await;
    shop.post("/v1/track", track("later", "Product Viewed")).await;
    shop.until("who came later still", async |shop| entered(shop).await.contains(&"later".to_owned()).then_some(()))
        .await;
    assert_eq!(entered(&shop).await.len(), there.len() + 2);
    shop.close().await;
}

/// While one process counts who is there, partition 0 may move to another, which counts as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_admission_that_two_processes_count_at_once_is_published_once() {
    let shop = Shop::open(CART).await;
    shop.post("/v1/track", track("ana", "Product Viewed")).await;
    apply(&shop, "1", "--judged").await;
    let (installation, timeout) = (shop.installation.clone(), Duration::from_secs(20));
    let others = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&others);
    let look = move || {
        let asked = AtomicBool::new(false);
        let go_on = || {
            if !asked.swap(true, Ordering::Relaxed) {
                let other = vuelve::admissions::look(&installation, timeout, &|| true).unwrap();
                counted.fetch_add(other.published.len(), Ordering::Relaxed);
            }
            true
        };
        vuelve::admissions::look(&installation, timeout, &go_on).unwrap().published.len()
    };
    let own = tokio::task::spawn_blocking(look).await.unwrap();
    assert!(own + others.load(Ordering::Relaxed) <= 1, "one of them, unless the shop's own process came first");
    shop.until("the admission", async |shop| {
        let admissions = shop.all::<schemas::Admission>("customer.admissions").await;
        (!admissions.is_empty()).then_some(admissions)
    })
    .await;
    assert_eq!(shop.all::<schemas::Admission>("customer.admissions").await.len(), 1);
    shop.close().await;
}
