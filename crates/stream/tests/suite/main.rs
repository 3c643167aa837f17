//! The engine, tried with a desk ([`shared::Desk`]): through the test driver, and on the worker with the driver played by
//! hand.

#![allow(missing_docs, unreachable_pub, reason = "what the tests share is told apart by its words")]
#![allow(clippy::unwrap_used, reason = "a test that finds no value fails, in a helper too")]

mod aborts;
mod cache;
mod claims;
mod clocks;
mod dead_letters;
mod halts;
mod headers;
mod held;
mod intervals;
mod labels;
mod marks;
mod properties;
mod revokes;
mod shared;
mod start_over;
mod tables;
mod timers;
