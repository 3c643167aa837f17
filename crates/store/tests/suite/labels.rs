//! Who is found under a label. Wanted properties:
//! - a key is found under the labels of its state as the view has it, and under no others, whoever wrote it and how;
//! - who stays under a label while its members are listed page by page is in one page, whatever others do.

use store::{LookupError, Lookups, MembersQuery};
use stream::{Applied, Labels, StateStore};

use super::*;

fn found(lookups: &dyn Lookups, label: &str) -> Vec<String> {
    let all = lookups.members(&[(PARTITION, all_under(label))]).unwrap().remove(0);
    assert_eq!(all.count, all.keys.len() as u64);
    all.keys.iter().map(ToString::to_string).collect()
}

pub fn a_key_is_found_under_its_labels_and_no_longer_under_those_that_it_left(backend: &impl Backend) {
    let mut store = backend.open();
    let start = begun(&mut store, "g", 0);
    let lookups = backend.lookups(&store);
    let first = [moved("berta", "1", &[], &["vip", "new"]), moved("anna", "1", &[], &["vip"]), set("carla", "1")];
    let now = applied(&mut store, &start, 1, &first);
    assert_eq!(found(&*lookups, "vip"), ["anna", "berta"]);
    assert_eq!(found(&*lookups, "new"), ["berta"]);
    assert_eq!(found(&*lookups, "nobody"), [""; 0]);

    // By one who knows where she was, and by one who does not; who is not told of stays.
    let second =
        [moved("berta", "2", &["vip", "new"], &["vip", "lost"]), under("carla", "2", &["new"]), set("anna", "2")];
    let now = applied(&mut store, &now, 2, &second);
    assert_eq!(found(&*lookups, "vip"), ["anna", "berta"]);
    assert_eq!(found(&*lookups, "new"), ["carla"]);
    assert_eq!(found(&*lookups, "lost"), ["berta"]);
    let now = applied(&mut store, &now, 3, &[under("berta", "3", &["new"])]);
    assert_eq!(
        (found(&*lookups, "vip"), found(&*lookups, "new")),
        (vec!["anna".into()], vec!["berta".into(), "carla".into()])
    );

    // Who ends is under none, whatever is told of her.
    let known = StateChange { labels: Labels::no_longer(vec!["new".into()]), ..end("berta") };
    applied(&mut store, &now, 4, &[known, end("anna"), end("nobody")]);
    assert_eq!((found(&*lookups, "vip").len(), found(&*lookups, "new")), (0, vec!["carla".into()]));
    assert_eq!(lookups.members(&[(PARTITION, all_under("new"))]).unwrap()[0].position, position("g", 4));
}

pub fn of_several_changes_of_a_key_in_a_batch_the_last_labels_count(backend: &impl Backend) {
    let mut store = backend.open();
    let start = begun(&mut store, "g", 0);
    let lookups = backend.lookups(&store);
    let now = applied(&mut store, &start, 1, &[moved("anna", "1", &[], &["vip"]), moved("berta", "1", &[], &["vip"])]);
    let batch = [
        under("anna", "2", &["new"]),
        under("anna", "3", &["lost"]),
        set("anna", "4"),
        end("berta"),
        set("berta", "5"),
        under("carla", "2", &["vip"]),
        end("carla"),
    ];
    applied(&mut store, &now, 2, &batch);
    assert_eq!(found(&*lookups, "lost"), ["anna"]);
    for label in ["vip", "new"] {
        assert_eq!(found(&*lookups, label), [""; 0], "{label}");
    }
    assert_eq!(states(&mut store, &["anna", "berta", "carla"]), [some("4"), some("5"), None]);
}

pub fn a_rebuilt_view_finds_what_was_filled_in_and_nothing_of_the_view_before(backend: &impl Backend) {
    let mut store = backend.open();
    let start = begun(&mut store, "old", 0);
    let lookups = backend.lookups(&store);
    let now = applied(&mut store, &start, 1, &[under("anna", "1", &["vip", "gone"]), under("berta", "1", &["vip"])]);
    store.begin_rebuild(PARTITION, "new", LOG).unwrap();
    // As a changelog has it: earlier states first, and tombstones.
    let early = [under("anna", "1", &["vip", "gone"]), under("berta", "1", &["vip"]), under("carla", "1", &["vip"])];
    store.fill(PARTITION, "new", &early).unwrap();
    store.fill(PARTITION, "new", &[under("anna", "2", &["new"]), end("carla"), under("dora", "1", &["vip"])]).unwrap();
    assert_eq!(found(&*lookups, "vip"), ["anna", "berta"], "the view in use is as it was");
    assert_eq!(lookups.members(&[(PARTITION, all_under("vip"))]).unwrap()[0].position, now);
    store.switch(PARTITION, "new", LOG, 9).unwrap();
    assert_eq!(found(&*lookups, "vip"), ["berta", "dora"]);
    assert_eq!((found(&*lookups, "new"), found(&*lookups, "gone").len()), (vec!["anna".into()], 0));
    // And it goes on from there.
    applied(&mut store, &position("new", 9), 10, &[moved("dora", "2", &["vip"], &["new"])]);
    assert_eq!(
        (found(&*lookups, "vip"), found(&*lookups, "new")),
        (vec!["berta".into()], vec!["anna".into(), "dora".into()])
    );
}

pub fn a_stalled_worker_moves_nobody_and_a_repeated_batch_moves_her_once(backend: &impl Backend) {
    let (mut stalled, mut successor) = (backend.open(), backend.open());
    let start = begun(&mut stalled, "g", 0);
    let lookups = backend.lookups(&successor);
    let now = applied(&mut stalled, &start, 1, &[moved("anna", "1", &[], &["vip"])]);
    let two = [moved("anna", "2", &["vip"], &["new"]), moved("berta", "2", &[], &["vip"])];
    // The successor reads the batch from the changelog, and goes on.
    let healed = applied(&mut successor, &now, 2, &[under("anna", "2", &["new"]), under("berta", "2", &["vip"])]);
    let after = applied(&mut successor, &healed, 3, &[moved("anna", "3", &["new"], &["lost"])]);
    assert_eq!(stalled.apply(PARTITION, &now, 2, &two).unwrap(), Applied::Refused(Some(after.clone())));
    assert_eq!(successor.apply(PARTITION, &healed, 3, &two).unwrap(), Applied::AlreadyThere);
    assert_eq!(
        (found(&*lookups, "vip"), found(&*lookups, "new").len(), found(&*lookups, "lost")),
        (vec!["berta".into()], 0, vec!["anna".into()])
    );
}

pub fn a_restarted_worker_finds_the_labels_where_they_were_left(backend: &impl Backend) {
    let now = {
        let mut store = backend.open();
        let start = begun(&mut store, "g", 0);
        applied(&mut store, &start, 5, &[under("anna", "1", &["vip"])])
    };
    let mut store = backend.open();
    let lookups = backend.lookups(&store);
    assert_eq!(found(&*lookups, "vip"), ["anna"]);
    applied(&mut store, &now, 6, &[moved("anna", "2", &["vip"], &["new"])]);
    assert_eq!((found(&*lookups, "vip").len(), found(&*lookups, "new")), (0, vec!["anna".into()]));
}

pub fn keys_of_any_bytes_are_paged_through_in_the_order_of_their_bytes(backend: &impl Backend) {
    let mut store = backend.open();
    let start = begun(&mut store, "g", 0);
    let lookups = backend.lookups(&store);
    let long = "ü".repeat(1_000);
    let strange = [
        "",
        "(",
        "[",
        "-",
        "+",
        "\0",
        "\0\0",
        "a",
        "a\0",
        "a:b",
        "b",
        "{tag}",
        "line\r\nbreak",
        "ä",
        "\u{10ffff}",
        &long,
    ];
    let labels = ["vip", "", "(", "a:b", "\r\n", "ü"];
    let changes: Vec<_> = strange.iter().map(|key| moved(key, "1", &[], &labels)).collect();
    applied(&mut store, &start, 1, &changes);
    let mut expected = strange.map(str::to_owned);
    expected.sort();
    for label in labels {
        for limit in [1, 3, 100] {
            assert_eq!(pages(&*lookups, label, limit), expected, "under {label:?}, {limit} a page");
        }
    }
}

pub fn several_partitions_are_asked_at_once_and_each_is_by_itself(backend: &impl Backend) {
    let mut store = backend.open();
    for (partition, name) in [(1, "anna"), (2, "berta")] {
        store.begin_rebuild(partition, "g", LOG).unwrap();
        store.fill(partition, "g", &[under(name, "1", &["vip"]), under("carla", "1", &["vip"])]).unwrap();
        store.switch(partition, "g", LOG, 1).unwrap();
    }
    let lookups = backend.lookups(&store);
    let counted = MembersQuery { limit: 0, ..all_under("vip") };
    let after = MembersQuery { after: Some("anna".into()), ..all_under("vip") };
    let asked = [(2, all_under("vip")), (1, after), (1, all_under("lost")), (2, counted), (1, all_under("vip"))];
    for _ in 0..2 {
        let told = lookups.members(&asked).unwrap();
        let told: Vec<_> = told.iter().map(|told| (told.count, told.keys.iter().map(|key| &**key).collect())).collect();
        let expected: [(u64, Vec<&str>); 5] =
            [(2, vec!["berta", "carla"]), (2, vec!["carla"]), (0, vec![]), (2, vec![]), (2, vec!["anna", "carla"])];
        assert_eq!(told, expected);
    }
    assert!(lookups.members(&[]).unwrap().is_empty());
    let one_is_away = [(1, all_under("vip")), (3, all_under("vip"))];
    assert!(matches!(lookups.members(&one_is_away), Err(LookupError::Restoring(3))));
}

pub fn too_much_at_once_is_refused(backend: &impl Backend) {
    let mut store = backend.open();
    let start = begun(&mut store, "g", 0);
    let lookups = backend.lookups(&store);
    let many: Vec<String> = (0..=store::limits::LABELS_PER_KEY).map(|n| format!("l{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let long = "x".repeat(store::limits::LABEL_BYTES + 1);
    for labels in [&many[..], &[&long]] {
        for change in [under("anna", "1", labels), moved("anna", "1", labels, &[])] {
            assert!(store.apply(PARTITION, &start, 1, &[change]).is_err());
        }
    }
    let all = MembersQuery { limit: store::limits::MEMBERS_PER_LOOKUP, ..all_under("vip") };
    lookups.members(&[(PARTITION, all.clone())]).unwrap();
    assert!(matches!(lookups.members(&[(PARTITION, all.clone()), (PARTITION, all)]), Err(LookupError::Store(_))));
}

pub fn who_stays_is_listed_once_while_others_come_and_go_and_the_view_is_built_anew(backend: &impl Backend) {
    let mut store = backend.open();
    let mut now = begun(&mut store, "g", 0);
    let lookups = backend.lookups(&store);
    let name = |n: i64| format!("customer-{:03}", (n * 37) % 200);
    // Every other one stays.
    let all: Vec<_> = (0..200).map(|n| moved(&name(n), "1", &[], &["vip"])).collect();
    now = applied(&mut store, &now, 1, &all);
    let stays: Vec<String> = (0..200).step_by(2).map(|n| format!("customer-{n:03}")).collect();
    let mut listed: Vec<String> = Vec::new();
    for header in 2.. {
        let after = listed.last().map(|last| Key::from(last.as_str()));
        let query = MembersQuery { label: "vip".into(), after, limit: 7 };
        let page = lookups.members(&[(PARTITION, query)]).unwrap().remove(0).keys;
        if page.is_empty() {
            break;
        }
        listed.extend(page.iter().map(ToString::to_string));
        // Others leave, before and behind the page; others come; those who stay change.
        let other = |n: i64| format!("customer-{:03}", (n * 2 + 1) % 200);
        let mut batch: Vec<_> = (0..5).map(|n| under(&other(header * 5 + n), "2", &[])).collect();
        batch.push(moved(&format!("newcomer-{header}"), "2", &[], &["vip"]));
        batch.extend(stays.iter().step_by(9).map(|key| set(key, "2")));
        if header == 9 {
            let again: Vec<_> = stays.iter().map(|key| under(key, "3", &["vip"])).collect();
            store.begin_rebuild(PARTITION, "h", LOG).unwrap();
            store.fill(PARTITION, "h", &again).unwrap();
            store.switch(PARTITION, "h", LOG, header).unwrap();
            now = position("h", header);
        } else {
            now = applied(&mut store, &now, header, &batch);
        }
    }
    assert!(listed.is_sorted() && listed.windows(2).all(|pair| pair[0] != pair[1]), "nobody twice: {listed:?}");
    for key in stays {
        assert!(listed.contains(&key), "{key} stayed");
    }
}

pub fn lists_go_on_beside_a_writer_and_are_each_of_one_moment(backend: &impl Backend) {
    let mut store = backend.open();
    let start = begun(&mut store, "g", 0);
    let mut now = applied(&mut store, &start, 1, &[under("anna", "1", &["odd"])]);
    let lookups = backend.lookups(&store);
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::SeqCst) {
                    for (label, rest) in [("even", 0), ("odd", 1)] {
                        let told = lookups.members(&[(PARTITION, all_under(label))]).unwrap().remove(0);
                        let is_there = told.position.header_offset % 2 == rest;
                        assert_eq!((told.count, told.keys.len()), (u64::from(is_there), usize::from(is_there)));
                    }
                }
            });
        }
        for header in 2..200 {
            let labels = ["even", "odd"];
            let (before, label) = (labels[(header as usize + 1) % 2], labels[header as usize % 2]);
            now = applied(&mut store, &now, header, &[moved("anna", "x", &[before], &[label])]);
        }
        done.store(true, std::sync::atomic::Ordering::SeqCst);
    });
}
