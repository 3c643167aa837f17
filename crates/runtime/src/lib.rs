//! Hosts services: configuration, telemetry, admin port, gRPC server, signals and drain.
//!
//! Wanted properties:
//! - nothing is bound and nothing is started before the whole configuration is known to be good;
//! - what a process does is seen from outside: logs with trace ids, traces, metrics, named readiness conditions;
//! - a part that ends when nobody asked it to ends the process, with its name and its reason;
//! - on SIGTERM: readiness goes off, doors stop accepting, workers finish what they hold, all within a deadline.

pub mod config;

pub mod admin;
pub mod grpc;
pub mod host;
mod launch;
pub mod metrics;
pub mod readiness;
pub mod telemetry;

pub use launch::launch;
