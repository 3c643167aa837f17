//! What an operator asks and does, on a shop that runs in this process on the embedded broker.
#![allow(clippy::unwrap_used, reason = "a test may fail by it")]

mod admitting;
mod applying;
mod customers;
mod erasing;
mod erasing_ids;
mod erasing_over_grpc;
mod erasing_receipts;
mod freshness;
mod headers;
mod importing;
mod letters;
mod lookups;
mod panics;
mod recording;
mod shop;
mod why;
