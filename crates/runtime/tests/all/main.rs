//! What the runtime promises to those who configure, run and watch a process. One program, so that it is linked once.
#![allow(clippy::unwrap_used, reason = "a test may fail by it")]

mod admin;
mod configuration;
mod grpc;
mod grpc_tls;
mod host;
mod launch;
mod telemetry;
