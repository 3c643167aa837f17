//! The contract's tests, in one binary.
#![allow(clippy::unwrap_used, reason = "a test that finds no value fails, in a helper too")]

mod codec;
mod compatibility;
mod contracts;
mod golden;
mod hostile_lengths;
mod rules;
mod shared;
mod topics;
