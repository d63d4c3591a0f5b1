//! The store on disk under SIGKILL and with full disks: every start succeeds, no confirmed write is
//! lost, and disk space is reclaimed.
//!
//! This program is its own child: the child changes records on commands from its standard input,
//! the parent kills it and fills its disk. `KILLS=1000 ROUNDS=100 cargo test --test store_faults`
//! is the long run.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test fails by a panic; this one prints its progress and starts itself again"
)]

mod child;
mod churn;
mod full_disk;
mod kills;
mod store_child;

use std::env;
use std::path::Path;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["child", folder, min_free] => child::run(Path::new(folder), min_free.parse().unwrap()),
        ["full-disk", folder] => full_disk::run(Path::new(folder), number_from_env("ROUNDS", 12)),
        _ => {
            churn::run(number_from_env("CHURN", 10_000));
            kills::run(number_from_env("KILLS", 60));
            full_disk::run_in_namespace();
        }
    }
}

/// Returns the number in the variable `name`, or `default`.
fn number_from_env(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |value| value.parse().expect(name))
}

/// Pseudo-random numbers, the same in each run.
struct PseudoRandom(u64);

impl PseudoRandom {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}
