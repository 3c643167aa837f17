//! librdkafka, unmodified, against the broker on a real port.

mod admin;
mod groups;
mod produce_and_fetch;
mod registry;
mod support;
mod transactions;
