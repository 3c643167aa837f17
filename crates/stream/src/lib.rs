//! The engine, sans-io, in Kafka Streams' words.

mod partitioner;
pub mod service;
mod settings;
pub mod store;
pub mod test_driver;
pub mod topology;
pub mod worker;

pub use partitioner::partition_of;
pub use service::*;
pub use settings::{TimeMode, WorkerSettings};
pub use store::*;
pub use test_driver::{Index, TestDriver, encode};
pub use topology::*;
pub use worker::{Batch, Counts, Decision, HaltReason, PartitionCommit, RecordFate, Takeover, Worker};
