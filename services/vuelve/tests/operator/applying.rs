//! `vuelve apply`, `pause`, `resume`, `stop` and `segment remove`: what is wrong is refused with its place, and nothing of it comes
//! in force.

use schemas::{Change, ChangeCause, Definition, SegmentChange};

use crate::shop::{Shop, track};

const JOURNEY: &str = "journey: quiet\nversion: 1\ntrigger: { event: Nothing }\nholdout: 0%\nsteps:\n  - wait: 1h\n";

/// A folder with this journey alone.
fn folder(journey: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("journey.yaml"), journey).unwrap();
    folder
}

async fn written(shop: &Shop) -> usize {
    shop.all::<Definition>("platform.definitions").await.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_with_something_wrong_is_refused_with_its_place_and_nothing_of_it_is_written() {
    let shop = Shop::open(JOURNEY).await;
    let before = written(&shop).await;
    for (journey, says) in [
        (JOURNEY.replace("trigger", "triger"), "journey.yaml:3:1: error: a journey has no key `triger`"),
        (JOURNEY.replace("wait: 1h", "message: { template: t }"), "journey.yaml:6:26: error: there is no template `t`"),
        // It is in force already, and says something else there.
        (JOURNEY.replace("1h", "2h"), "journey.yaml:1:1: error: version 1 of the journey `quiet` is in force"),
    ] {
        let wrong = folder(&journey);
        let told = shop.vuelve(&["apply", &wrong.path().display().to_string(), "--wait"]).await;
        assert_eq!((told.code, told.out.as_str()), (Some(1), ""), "{}", told.err);
        assert!(told.err.contains(says), "{says}: {}", told.err);
        assert_eq!(written(&shop).await, before);
    }
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn applying_writes_what_changed_and_a_word_about_a_journey_that_is_not_there_is_refused() {
    let shop = Shop::open(JOURNEY).await;
    let before = written(&shop).await;
    let same = folder(JOURNEY);
    let told = shop.vuelve(&["apply", &same.path().display().to_string(), "--wait"]).await;
    assert_eq!(
        (told.code, told.out.as_str()),
        (Some(0), "0 definitions written, 1 are as they were\n"),
        "{}",
        told.err
    );
    let raised = folder(&JOURNEY.replace("1h", "2h").replace("version: 1", "version: 2"));
    let told = shop.vuelve(&["apply", &raised.path().display().to_string(), "--wait"]).await;
    assert_eq!(
        (told.code, told.out.as_str()),
        (Some(0), "1 definitions written, 0 are as they were\n"),
        "{}",
        told.err
    );
    assert_eq!(written(&shop).await, before + 1);

    let told = shop.vuelve(&["pause", "quite"]).await;
    assert_eq!(told.code, Some(1));
    assert!(told.err.contains("there is no journey `quite`; did you mean `quiet`?"), "{}", told.err);
    assert_eq!(written(&shop).await, before + 1);
    let told = shop.vuelve(&["pause", "quiet", "--wait"]).await;
    assert_eq!((told.code, told.out.as_str()), (Some(0), "quiet is paused\n"), "{}", told.err);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_in_a_segment_that_is_removed_leaves_it_and_one_that_is_not_there_is_refused() {
    let shop = Shop::open(JOURNEY).await;
    let changes = async |shop: &Shop| {
        let all = shop.all::<SegmentChange>("customer.segments").await;
        let of_new = all.into_iter().filter(|change| change.segment == "new");
        of_new.map(|change| (change.change, change.cause)).collect::<Vec<_>>()
    };
    shop.post("/v1/track", track("ana", "Product Viewed")).await;
    let entered = (Change::Entered, ChangeCause::Event);
    shop.until("the segment", async |shop| (changes(shop).await == [entered]).then_some(())).await;

    let before = written(&shop).await;
    let told = shop.vuelve(&["segment", "remove", "neww"]).await;
    assert_eq!(told.code, Some(1));
    assert!(told.err.contains("there is no segment `neww`; did you mean `new`?"), "{}", told.err);
    assert_eq!(written(&shop).await, before);
    let told = shop.vuelve(&["segment", "remove", "new", "--wait"]).await;
    assert_eq!((told.code, told.out.as_str()), (Some(0), "new is removed\n"), "{}", told.err);
    let left = (Change::Left, ChangeCause::Removed);
    shop.until("her way out", async |shop| (changes(shop).await == [entered, left]).then_some(())).await;
    assert_eq!(shop.vuelve(&["segment", "remove", "new"]).await.code, Some(1));
    shop.close().await;
}
