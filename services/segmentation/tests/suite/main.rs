//! What segmentation promises.
#![allow(clippy::unwrap_used, reason = "a test may fail by it")]

mod contract;
mod erasing;
mod identity;
mod judging;
mod lookups;
mod occasions;
mod profile;
mod properties;
mod quintiles;
mod reachability;
mod scores;
mod support;
mod told;
