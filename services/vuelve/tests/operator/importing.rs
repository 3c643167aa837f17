//! `vuelve import`: what it sends, and what it does not.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use schemas::{Decision, JourneyDecision, StorefrontEvent};
use serde_json::Value;
use tempfile::TempDir;

use crate::shop::{Shop, Told};

const JOURNEY: &str =
    "journey: thanks\nversion: 1\ntrigger: { event: Order Completed }\nholdout: 0%\nsteps:\n  - wait: 1h\n";

struct Past {
    folder: TempDir,
    file: PathBuf,
    secret: String,
}

impl Past {
    fn of(text: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let (file, secret) = (folder.path().join("orders.csv"), folder.path().join("secret"));
        fs::write(&file, text).unwrap();
        fs::write(&secret, "a secret of at least thirty-two bytes").unwrap();
        let secret = format!("links.address_secret_file={}", secret.display());
        Self { folder, file, secret }
    }

    fn command(&self, shop: &Shop, more: &[&str]) -> Command {
        let file = self.file.display().to_string();
        let given = ["import", "--orders", &file, "--shop", "demo", "--currency", "EUR", "--set", &self.secret];
        shop.command(&[&given, more].concat())
    }

    async fn import(&self, shop: &Shop, more: &[&str]) -> Told {
        let mut command = self.command(shop, more);
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap().into()
    }

    fn beside(&self, ending: &str) -> PathBuf {
        self.folder.path().join(format!("orders.csv{ending}"))
    }

    fn progress(&self) -> Value {
        serde_json::from_str(&fs::read_to_string(self.beside(".vuelve-progress")).unwrap()).unwrap()
    }
}

/// Orders of an hour ago, and one that can't be taken in the middle.
fn orders(count: usize) -> String {
    let at = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(1);
    let mut csv = "order_id,time,customer_id,total\n".to_owned();
    for number in 0..count {
        let total = if number == count / 2 { "much" } else { "10.00" };
        writeln!(csv, "o-{number},{at},c-{},{total}", number % 5).unwrap();
    }
    csv
}

async fn ids(shop: &Shop, count: usize) -> Vec<String> {
    shop.until("all events", async |shop| {
        let events = shop.all::<StorefrontEvent>("storefront.events").await;
        (events.len() >= count).then(|| events.into_iter().map(|event| event.message_id).collect())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_is_sent_once_and_opens_no_journey_unless_it_is_asked_to() {
    let shop = Shop::open(JOURNEY).await;
    let past = Past::of(&orders(21));
    let told = past.import(&shop, &[]).await;
    assert_eq!(told.code, Some(4), "{}", told.err);
    assert_eq!(told.out, "21 rows: 20 events sent, of 20 rows; 0 passed over, 1 rejected\n");
    let rejected: Value = serde_json::from_str(&fs::read_to_string(past.beside(".rejected.jsonl")).unwrap()).unwrap();
    assert_eq!((&rejected["line"], &rejected["reason"]), (&12.into(), &"bad_amount".into()));
    assert_eq!(ids(&shop, 20).await.len(), 20);
    assert_eq!(past.progress()["finished"], true);

    // What is done is done; without the progress, the resolver knows them all again.
    let told = past.import(&shop, &[]).await;
    assert!(
        told.code == Some(4) && told.err.contains("it was imported before, and nothing was sent now"),
        "{}",
        told.err
    );
    // A dry run is of its own, and a report that is lost ends nothing.
    assert_eq!(past.import(&shop, &["--dry-run"]).await.code, Some(4));
    assert!(past.beside(".dry-run.rejected.jsonl").exists() && past.beside(".rejected.jsonl").exists());
    let mut unfinished = past.progress();
    unfinished["finished"] = false.into();
    fs::write(past.beside(".vuelve-progress"), unfinished.to_string()).unwrap();
    fs::remove_file(past.beside(".rejected.jsonl")).unwrap();
    let told = past.import(&shop, &[]).await;
    assert!(told.code == Some(4) && told.err.contains("it begins anew"), "{}", told.err);
    fs::remove_file(past.beside(".vuelve-progress")).unwrap();
    assert_eq!(past.import(&shop, &[]).await.code, Some(4));
    assert_eq!(shop.all::<StorefrontEvent>("storefront.received").await.len(), 40);

    // One that is asked to opens journeys; it is also behind everything that came before it.
    let asked = Past::of(
        "order_id,time,email\nasked,TIME,eva@example.com\n"
            .replace("TIME", &jiff::Timestamp::now().to_string())
            .as_str(),
    );
    assert_eq!(asked.import(&shop, &["--open-journeys"]).await.code, Some(0));
    let entered = shop
        .until("a run", async |shop| {
            let decisions = shop.all::<JourneyDecision>("journeys.decisions").await;
            let entered = decisions.into_iter().filter(|decision| decision.decision == Decision::Entered);
            Some(entered.map(|decision| decision.customer_id).collect::<Vec<_>>()).filter(|found| !found.is_empty())
        })
        .await;
    assert!(entered.len() == 1 && entered[0].starts_with("address-"), "{entered:?}");
    let all = ids(&shop, 21).await;
    assert_eq!((all.len(), BTreeSet::from_iter(&all).len()), (21, 21), "each once");
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_that_was_stopped_goes_on_and_nothing_else_may_go_on_with_it() {
    let shop = Shop::open(JOURNEY).await;
    let past = Past::of(&orders(400));
    let mut slow = past.command(&shop, &["--limit-rate", "100"]);
    let slow = slow.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Some of it is done, and not all.
    shop.until("progress", async |_| past.beside(".vuelve-progress").exists().then_some(())).await;
    let told = past.import(&shop, &[]).await;
    assert!(told.code == Some(1) && told.err.contains("another import of this file is under way"), "{}", told.err);
    assert!(Command::new("kill").args(["-INT", &slow.id().to_string()]).status().unwrap().success());
    let told: Told = tokio::task::spawn_blocking(move || slow.wait_with_output().unwrap()).await.unwrap().into();
    assert_eq!(told.code, Some(130), "{}", told.err);
    assert!(told.err.contains("the same command goes on from here"), "{}", told.err);
    let rows = past.progress()["counts"]["rows"].as_u64().unwrap();
    assert!((1..400).contains(&rows), "{rows}");

    let told = past.import(&shop, &["--source", "other"]).await;
    assert!(told.err.contains("begun with --source `import`, and now it is `other`"), "{}", told.err);
    let text = fs::read_to_string(&past.file).unwrap();
    fs::write(&past.file, text.replace("10.00", "11.00")).unwrap();
    let told = past.import(&shop, &[]).await;
    assert_eq!(told.code, Some(1));
    assert!(told.err.contains("it is of another file, or this one has changed since"), "{}", told.err);
    assert!(
        told.err.contains("24 hours") && told.err.contains("mended rows go as a file of their own"),
        "{}",
        told.err
    );

    fs::write(&past.file, text).unwrap();
    let told = past.import(&shop, &[]).await;
    assert_eq!(told.out, "400 rows: 399 events sent, of 399 rows; 0 passed over, 1 rejected\n", "{}", told.err);
    let all = ids(&shop, 399).await;
    assert_eq!((all.len(), BTreeSet::from_iter(&all).len()), (399, 399));
    let rejected = fs::read_to_string(past.beside(".rejected.jsonl")).unwrap();
    assert_eq!(rejected.lines().count(), 1, "{rejected}");
    shop.close().await;
}
