//! A Kafka broker in one process and in memory, with a schema registry beside it: for trying and testing.
//!
//! It is what `vuelve demo` and the fast tests run on. Unmodified clients (librdkafka, confluent-kafka, kcat) work on
//! it: produce, fetch, groups with any assignor, idempotent and transactional producers, admin. It keeps nothing when
//! it stops, knows one node only, and has neither TLS nor passwords; whatever claims correctness or speed is measured
//! on Apache Kafka. It should listen on loopback only: the codec takes array lengths on trust, so a client that means
//! harm can make the process run out of memory.
//!
//! [`core`] decides, without a clock or a socket; the wire shell around it only frames, waits and asks for the time.

mod broker;
pub mod core;
mod registry;
mod wire;

pub use broker::{DevBroker, DevBrokerConfig, banner};
