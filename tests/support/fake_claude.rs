//! Plays a CLI with faults.
fn main() {}
