//! Ingestion from outside: the mapping, the door by its paths, the server, and the resolver on the engine.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod aliases;
mod description;
mod door;
mod errors;
mod identity;
mod identity_properties;
mod mapping;
mod mapping_properties;
mod message_links;
mod past;
mod preferences;
mod privacy;
mod resolver;
mod rpc;
mod sdk_shapes;
mod server;
mod spool;
mod state;
mod support;
mod telemetry;
mod unsubscribe;
mod visits;
mod webhook_mappings;
mod webhook_topics;
mod webhooks;
mod write_keys;
