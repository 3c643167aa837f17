//! The pure core: no socket, no clock, no chance; time is what a test says.

#![allow(clippy::unwrap_used, reason = "a test that can't go on should stop where it is")]

mod compaction;
mod groups;
mod limits;
mod logs;
mod properties;
mod support;
mod transactions;
