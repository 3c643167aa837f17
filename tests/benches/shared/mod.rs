//! What the benchmarks share: the events, the real parts, plain Kafka clients, and how a run is measured.
#![allow(dead_code, reason = "each benchmark uses a part of it")]

pub(crate) mod calls;
pub(crate) mod event;
pub(crate) mod installation;
pub(crate) mod kafka_clients;
pub(crate) mod options;
pub(crate) mod pace;
pub(crate) mod percentiles;
pub(crate) mod sample;
pub(crate) mod spread;
pub(crate) mod storefront;
pub(crate) mod usage;
pub(crate) mod workload;
