//! A schema registry that speaks Confluent's API, for Avro, in memory.
//!
//! [`book`] decides (pure), [`http`] listens.

pub(crate) mod book;
mod compatibility;
pub(crate) mod http;
