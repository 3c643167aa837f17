//! The pure core: no socket, no clock, no chance; time is what a test says.

mod compaction;
mod groups;
mod limits;
mod logs;
mod properties;
mod support;
mod transactions;
