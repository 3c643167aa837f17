//! Ids and draws that a replay and a restart make again: hashes of what they stand for.

use domain::Timestamp;
use sha2::{Digest, Sha256};

/// Thirty-two hex digits of SHA-256 over the parts, each with its length, so that no two lists of parts meet.
fn hash(kind: &str, parts: &[&str]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in std::iter::once(&kind).chain(parts) {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().into()
}

fn hex(hash: [u8; 32]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    hash.iter()
        .take(16)
        .flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]])
        .map(char::from)
        .collect()
}

/// The id of a run. `ordinal` counts the runs that began at that very time before it.
pub(crate) fn run(customer: &str, journey: &str, key: &str, started_at: Timestamp, ordinal: i32) -> String {
    hex(hash("run", &[customer, journey, key, &started_at.as_millis().to_string(), &ordinal.to_string()]))
}

/// The id of the message that a step of a run asks for.
pub(crate) fn message(run: &str, step: &str) -> String {
    hex(hash("message", &[run, step]))
}

/// The id of a decision: of what, which, where, when, and what it came of.
pub(crate) fn decision(parts: &[&str]) -> String {
    hex(hash("decision", parts))
}

/// The id that stands for a segment entered or left, where events have their message id.
pub(crate) fn transition(customer: &str, segment: &str, what: &str, at_millis: i64, message_id: &str) -> String {
    hex(hash("transition", &[customer, segment, what, &at_millis.to_string(), message_id]))
}

/// A key that is too long to keep, by its hash.
pub(crate) fn long_key(key: &str) -> String {
    hex(hash("key", &[key]))
}

/// Whether a customer is held out of a journey: a share of the customers, another set for each journey.
pub(crate) fn held_out(seed: &str, journey: &str, customer: &str, basis_points: u32) -> bool {
    let hash = hash("holdout", &[seed, journey, customer]);
    let number = hash.iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    number % 10_000 < u64::from(basis_points)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_stay_as_they_are_for_ever() {
        let start = Timestamp::from_millis(1_430_623_535_000);
        let run = run("c1", "cart-recovery", "", start, 0);
        assert_eq!(run.len(), 32);
        assert_eq!(run, super::run("c1", "cart-recovery", "", start, 0));
        assert_ne!(run, super::run("c1", "cart-recovery", "", start, 1));
        assert_ne!(message(&run, "first"), message(&run, "second"));
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(decision(&["ab", "c"]), decision(&["a", "bc"]));
    }

    #[test]
    fn a_holdout_of_ten_percent_takes_about_a_tenth_and_others_for_another_journey() {
        let held = |journey: &str| (0..10_000).filter(|n| held_out("", journey, &format!("c{n}"), 1_000)).count();
        assert!((850..1_150).contains(&held("a")), "{}", held("a"));
        let both = (0..10_000)
            .filter(|n| held_out("", "a", &format!("c{n}"), 1_000) && held_out("", "b", &format!("c{n}"), 1_000))
            .count();
        assert!((50..160).contains(&both), "{both}");
        assert!(!held_out("", "a", "c", 0));
        assert!(held_out("", "a", "c", 10_000));
    }
}
