//! Write keys, as they are configured.

use std::num::NonZeroU32;

use ingestion::shell::{DoorOptions, WriteKeyOptions, WriteKeys};

use crate::support::{variable, write_key};

fn problems(options: &[WriteKeyOptions]) -> Vec<String> {
    WriteKeys::load(options, variable).unwrap_err().iter().map(ToString::to_string).collect()
}

#[test]
fn a_key_comes_from_a_file_or_the_environment() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("key");
    std::fs::write(&file, "from-file\n").unwrap();
    let from_file = WriteKeyOptions { key_env: None, key_file: Some(file), ..write_key("b", "") };
    let keys = WriteKeys::load(&[from_file, write_key("c", "from-variable")], variable).unwrap();
    let id = |key: &str| keys.find(key).map(|found| found.id.as_str());
    assert_eq!([id("from-file"), id("from-variable")], [Some("b"), Some("c")]);
    assert_eq!([id(""), id("from-fil"), id("from-file ")], [None; 3]);
}

#[test]
fn of_a_file_each_line_is_a_key_and_what_it_holds_later_is_in_force_without_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("key");
    let holds = |text: &str| std::fs::write(&file, text).unwrap();
    holds("old\n");
    let from_file = WriteKeyOptions { key_env: None, key_file: Some(file.clone()), ..write_key("web", "") };
    let keys = WriteKeys::load(&[from_file, write_key("till", "tills")], variable).unwrap();
    let known = |texts: &[&str]| texts.iter().map(|text| keys.find(text).is_some()).collect::<Vec<_>>();
    assert!(!keys.reload(variable).unwrap(), "nothing has changed");

    holds("new\n\nold\n");
    assert!(keys.reload(variable).unwrap());
    assert_eq!(known(&["old", "new", "tills", ""]), [true, true, true, false]);
    assert_eq!(keys.find("new").unwrap().id, "web");

    holds("new\n");
    assert!(keys.reload(variable).unwrap());
    assert_eq!(known(&["old", "new", "tills"]), [false, true, true]);

    // A file that is being written, another shop's key, and no file at all: all stay as they were, and it is told why.
    for (text, says) in [(Some(""), "no key"), (Some("tills"), "same key"), (Some("a b"), "printable"), (None, "read")]
    {
        match text {
            Some(text) => holds(text),
            None => std::fs::remove_file(&file).unwrap(),
        }
        let problems = keys.reload(variable).unwrap_err();
        assert!(problems.iter().any(|problem| problem.to_string().contains(says)), "{problems:?}");
        assert_eq!(known(&["old", "new", "tills"]), [false, true, true]);
    }
}

#[test]
fn limits_that_a_full_batch_could_never_pass_are_refused() {
    let limits = |burst, day| WriteKeyOptions {
        events_per_second: NonZeroU32::new(10),
        burst_events: NonZeroU32::new(burst),
        events_per_day: NonZeroU32::new(day),
        ..write_key("web", "k")
    };
    assert!(WriteKeys::load(&[limits(2_500, 2_500)], variable).is_ok());
    for options in [limits(2_499, 2_500), limits(2_500, 2_499)] {
        assert!(problems(&[options])[0].contains("less than one batch"));
    }
    let no_rate = WriteKeyOptions { events_per_second: None, ..limits(2_500, 2_500) };
    assert!(problems(&[no_rate])[0].contains("`events_per_second`"));
}

#[test]
fn everything_that_is_wrong_is_told_at_once_and_names_the_place() {
    assert!(problems(&[])[0].contains("at least one"));
    let none = WriteKeyOptions { key_env: None, ..write_key("none", "") };
    let both = WriteKeyOptions { key_file: Some("key".into()), ..write_key("both", "k") };
    let unset = WriteKeyOptions { key_env: Some("UNSET".to_owned()), ..write_key("unset", "") };
    let no_file = WriteKeyOptions { key_env: None, key_file: Some("/nonexistent/key".into()), ..write_key("file", "") };
    let no_shop = WriteKeyOptions { shop: String::new(), ..write_key("shopless", "k1") };
    let twice = [write_key("twice", "k2"), write_key("twice", "k3")];
    let same = write_key("same", "k2");
    let (blank, ours) = (write_key("blank", "a b"), write_key("links", "k4"));
    let all: Vec<_> =
        [none, both, unset, no_file, no_shop].into_iter().chain(twice).chain([same, blank, ours]).collect();
    let found = problems(&all);
    for (index, says) in [
        (0, "exactly one of"),
        (1, "exactly one of"),
        (2, "UNSET"),
        (3, "/nonexistent/key"),
        (4, "`shop`"),
        (6, "ids are"),
        (7, "same key"),
        (8, "printable"),
        (9, "`id` is the source of what links"),
    ] {
        let prefix = format!("write_keys[{index}]");
        assert!(
            found.iter().any(|problem| problem.starts_with(&prefix) && problem.contains(says)),
            "{index}: {found:?}"
        );
    }
    assert_eq!(found.len(), 9);
}

#[test]
fn keys_are_not_shown() {
    let options = WriteKeyOptions { key_env: Some("SHOP_KEY".to_owned()), ..write_key("a", "") };
    let keys = WriteKeys::load(&[options], |_| Some("very-secret".to_owned())).unwrap();
    assert!(!format!("{keys:?}").contains("very-secret"));
}

#[test]
fn options_have_defaults_and_refuse_what_they_do_not_know() {
    let options: DoorOptions =
        serde_json::from_str(r#"{"append_deadline": "2s", "server": {"max_connections": 5}}"#).unwrap();
    assert_eq!(options.append_deadline.as_millis(), 2_000);
    assert_eq!((options.server.max_connections, options.max_calls), (5, 256));
    let error = serde_json::from_str::<DoorOptions>(r#"{"apend_deadline": "2s"}"#).unwrap_err().to_string();
    assert!(error.contains("apend_deadline"), "{error}");
    assert!(serde_json::from_str::<WriteKeyOptions>(r#"{"id": "a", "shop": "s", "currency": "EURO"}"#).is_err());
}
