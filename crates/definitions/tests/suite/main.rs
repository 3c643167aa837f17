//! Definitions: what is read, and what is refused with which words.

mod cases;
mod folder;
mod hostile;
mod mapping;
mod reading;
mod row_mapping;
mod segments;
