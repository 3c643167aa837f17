//! What the door says of itself is so: schemathesis makes of the description calls of all kinds, good and bad, and finds nothing.
#![allow(clippy::unwrap_used, reason = "a test may fail by it")]

use std::time::Duration;

use testkit::clients::schemathesis;
use tests::installation::{Installation, State, WRITE_KEY};

const MOST: Duration = Duration::from_mins(1);

#[test]
fn schemathesis_finds_nothing_against_the_doors_description() {
    let installation = Installation::start("live", State::Memory).unwrap();
    let door = installation.run(&["door"], 0).unwrap();
    installation.wait_for_door(&door).unwrap();
    let description = format!("{}/openapi.yaml", installation.door());
    let report = schemathesis(&description, WRITE_KEY, &["--max-examples", "15"], MOST).unwrap();
    println!("{report}");
}
