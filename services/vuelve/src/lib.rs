//! Vuelve: every service in one binary, and the command line tool.
#![warn(clippy::print_stdout, clippy::print_stderr, reason = "they panic where nobody reads; `terminal` does not")]

pub mod admissions;
pub mod customers;
pub mod definition_topic;
pub mod demo;
pub mod embedded;
pub mod erasure;
pub mod folders;
pub mod headers;
pub mod hosting;
pub mod import;
pub mod letters;
pub mod preview;
pub mod quintiles;
pub mod replay;
pub mod services;
pub mod terminal;
mod whole_file;
pub mod why;
pub mod written;
