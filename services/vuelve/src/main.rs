//! Vuelve, the one binary.

fn main() {}
