//! The only crate that talks to Kafka.
//!
//! Wanted properties:
//! - what one batch writes is one transaction; what was not committed is read again;
//! - nothing blocks an async thread: whoever waits for the broker does so on a thread of its own;
//! - every error says which topic, partition and offset, and what to do.

mod admin;
mod append;
mod append_alone;
mod bearings;
mod clients;
mod dead_letters;
mod error;
mod http;
mod librdkafka;
mod place_reader;
pub mod port;
mod registry;
mod section;
mod time;
mod topics;
mod worker;

pub use admin::{Follower, ReadRecord, is_changelog_header};
pub use append::{Appender, Header, NewRecord};
pub use append_alone::append_alone;
pub use clients::{Cluster, MAX_RECORD_BYTES};
pub use dead_letters::{HeadersOf, LetterHead, REDRIVES_HEADER, redrive_record};
pub use error::KafkaFailure;
pub use http::http_client;
pub use librdkafka::{GroupMember, Librdkafka, LogReader, TransactionalProducer};
pub use place_reader::PlaceReader;
pub use registry::{Registry, RegistryError};
pub use section::{Progress, Section, bounds, read_section, read_topic};
pub use time::boot_time;
pub use topics::{TopicState, Topics};
pub use worker::{Act, Done, NoShell, Shell, WorkerOptions, WorkerReport, run_worker, run_worker_on};
