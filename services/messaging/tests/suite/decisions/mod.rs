//! What becomes of a request: on the real worker, with no broker, no store and no mail server.

mod properties;
mod reachability;
mod refusals;
mod replays;
mod requests;
pub(crate) mod shared;
mod states;
mod suppressions;
mod takeovers;
