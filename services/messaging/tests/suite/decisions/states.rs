//! The state as the changelog holds it.

use messaging::MessagingState;
use schemas::conformance::check_state;

use super::shared::*;

#[test]
fn the_state_fits_its_schema() {
    check_state::<MessagingState>().unwrap();
}

#[test]
fn no_address_name_or_context_is_shown_by_debug() {
    let mut bench = Bench::new();
    let mut hostile = request("m-1", 0);
    hostile.context_json = Some(r#"{"note": "PERSONAL"}"#.to_owned());
    bench.send(&hostile);
    let state = format!("{:?}", bench.driver.state(CUSTOMER).unwrap());
    let action = format!("{:?}", bench.claim_one().2);
    for shown in [state, action] {
        assert!(!shown.contains("PERSONAL") && !shown.to_lowercase().contains("ana@"), "{shown}");
    }
}
