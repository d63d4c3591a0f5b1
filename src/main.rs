//! The `claude-switchboard` binary.

fn main() {}
