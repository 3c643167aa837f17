//! What the resolver remembers, without the engine.

use domain::{HumanDuration, Timestamp};
use ingestion::ResolverState;
use ingestion::state::Seen;
use proptest::prelude::*;
use schemas::{ChangelogRecord, Schemas};
use stream::State;

const DAY: HumanDuration = HumanDuration::from_hours(24);
const CHANGELOG: &str = "ingestion.changelog";

fn hours(hours: i64) -> Timestamp {
    Timestamp::from_seconds(1_772_366_400 + hours * 3600)
}

#[test]
fn a_message_is_known_for_the_whole_window_and_at_most_an_hour_longer() {
    let begin = Timestamp::from_seconds(1_772_366_400 + 1800);
    let mut state = ResolverState::default();
    assert_eq!(state.see("m", begin, DAY, 10), Seen::First);
    assert_eq!(state.clone().see("m", begin + DAY, DAY, 10), Seen::Again);
    assert_eq!(state.see("m", begin + DAY + HumanDuration::from_hours(1), DAY, 10), Seen::First);
}

#[test]
fn a_repeat_changes_nothing_also_where_an_hour_has_had_its_time() {
    let mut state = ResolverState::default();
    state.see("old", hours(0), DAY, 10);
    state.see("new", hours(20), DAY, 10);
    let before = state.clone();
    assert_eq!(state.see("new", hours(30), DAY, 10), Seen::Again);
    assert_eq!(state, before);
}

#[test]
fn the_eldest_are_forgotten_first_and_counted_beyond_the_cap() {
    let mut state = ResolverState::default();
    for n in 0..7 {
        state.see(&format!("m{n}"), hours(n / 2), DAY, 4);
    }
    assert_eq!((state.held(), state.forgotten), (4, 3));
    for n in 3..7 {
        assert_eq!(state.see(&format!("m{n}"), hours(3), DAY, 4), Seen::Again, "m{n}");
    }
    assert_eq!(state.see("m2", hours(3), DAY, 4), Seen::First);
}

#[test]
fn a_key_that_sends_no_more_has_no_state_in_the_end() {
    let mut state = ResolverState::default();
    for n in 0..7 {
        state.see(&format!("m{n}"), hours(n), DAY, 4);
    }
    let last = state.due().timer.unwrap();
    assert_eq!(last, hours(7) + DAY);
    state.expire(last);
    assert_eq!(state, ResolverState::default());
}

#[test]
fn a_shorter_window_holds_for_new_messages_and_old_ones_keep_theirs() {
    let mut state = ResolverState::default();
    state.see("old", hours(0), DAY, 10);
    state.see("new", hours(1), HumanDuration::from_hours(2), 10);
    assert_eq!(state.due().timer, Some(hours(1) + DAY), "the timer is the last to end");
    assert_eq!(state.see("new", hours(5), DAY, 10), Seen::First);
    assert_eq!(state.see("old", hours(6), DAY, 10), Seen::Again);
}

proptest! {
    #[test]
    fn the_changelog_gives_back_what_was_remembered(ids in proptest::collection::vec((0_u16..500, 0_i64..40), 0..200)) {
        let mut state = ResolverState::default();
        for (id, hour) in ids {
            state.see(&id.to_string(), hours(hour), DAY, 64);
        }
        prop_assert!(state.held() <= 64);
        prop_assert!(state.seen.windows(2).all(|pair| pair[0].until < pair[1].until));
        let schemas = Schemas::offline();
        let mut bytes = Vec::new();
        schemas.encode_changelog(CHANGELOG, None, Some(1), Some(&state), &mut bytes).unwrap();
        let record: ChangelogRecord<ResolverState> = schemas.decode(&bytes).unwrap();
        prop_assert_eq!(record.state, Some(state));
    }
}

#[test]
fn hashes_of_a_broken_length_are_refused() {
    let json = r#"{"seen": [{"until": 1, "hashes": [1, 2, 3]}]}"#;
    assert!(serde_json::from_str::<ResolverState>(json).is_err());
}
