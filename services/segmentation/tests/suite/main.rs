//! What segmentation promises.
#![allow(clippy::unwrap_used, reason = "a test may fail by it")]
