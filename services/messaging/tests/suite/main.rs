//! Messaging's tests: what it decides, what it renders, what it sends.

#![allow(clippy::unwrap_used, reason = "a test that can't go on panics")]

mod decisions;
mod rendering;
mod sending;
