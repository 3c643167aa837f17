//! The seeds, and what was found once, without a fuzzer.

use fuzz::{Target, seeds};

fn holds(target: Target) {
    for (name, bytes) in seeds(target) {
        println!("{}: {name}", target.name());
        target.run(&bytes);
        // Cut short anywhere, as mutations do it.
        for length in (0..bytes.len()).step_by(bytes.len() / 16 + 1) {
            target.run(&bytes[..length]);
        }
    }
    for path in target.regressions() {
        println!("{}", path.display());
        target.run(&std::fs::read(path).unwrap());
    }
}

#[test]
fn every_request_of_the_door_is_answered_as_documented() {
    holds(Target::Door);
}

#[test]
fn every_webhook_is_answered_as_documented() {
    holds(Target::Webhooks);
}

#[test]
fn every_spool_is_read_up_to_its_damage_and_goes_on() {
    holds(Target::SpoolReader);
}
