//! The real parts for tests: Apache Kafka, Redis, a schema registry, an SMTP server, an OTLP receiver.
//!
//! Wanted properties:
//! - A test names what it needs (`KafkaBroker::start()?`) and gets it on free loopback ports, ready to answer. What
//!   is not there yet is fetched, once, into a cache (`$VUELVE_TEST_CACHE`, by default `target/test-parts`).
//! - Nothing outlives a test, however it ends: see `watchdog`. With `VUELVE_TEST_KEEP` set, the files stay.
//! - A part that can't be had is an error that names it and quotes its log; no test is skipped in silence.
//! - Every wait is for a condition, with a deadline.
//!
//! All calls block. All methods take `&self`, so that a `LazyLock` can hold a part for several tests.

// Real parts run on real time; nothing here decides about customers.
#![allow(clippy::disallowed_methods)]

pub mod clients;
mod error;
mod http;
mod kafka;
mod otlp;
mod parts;
mod port;
mod process;
mod proxy;
mod redis;
mod registry;
mod smtp;
mod wait;
mod watchdog;

pub use error::{Error, Result};
pub use kafka::{KafkaBroker, KafkaOptions};
pub use otlp::{OtlpReceiver, Span, SpanLink};
pub use parts::{cache_dir, fetch_all, node_dir, python};
pub use port::free_port;
pub use process::{Process, ProcessSpec};
pub use proxy::TcpProxy;
pub use redis::{Redis, RedisOptions, RedisSnapshot};
pub use registry::SchemaRegistry;
pub use smtp::{Message, SmtpBehaviour, SmtpOptions, SmtpRule, SmtpSecurity, SmtpSink};
pub use wait::wait_until;
