//! The `lazuli` command line.
fn main() {}
