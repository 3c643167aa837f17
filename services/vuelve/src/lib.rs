//! Vuelve: every service in one binary, and the command line tool.

pub mod definition_topic;
pub mod demo;
pub mod embedded;
pub mod folders;
pub mod headers;
pub mod hosting;
pub mod letters;
pub mod replay;
pub mod services;
pub mod why;
pub mod written;
