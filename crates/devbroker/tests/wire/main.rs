//! librdkafka, unmodified, against the broker on a real port.

#![allow(clippy::unwrap_used, reason = "a test that can't go on should stop where it is")]

mod admin;
mod groups;
mod limits;
mod produce_and_fetch;
mod registry;
mod support;
mod transactions;
mod versions;
