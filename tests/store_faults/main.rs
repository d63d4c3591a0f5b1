//! Kills and full disks against the store on disk: no start fails, nothing is lost whose write was confirmed, and the disk is given
//! back.
//!
//! This program is its own child: the child keeps records as it is told on its standard input, the parent kills it and fills
//! its disk. `KILLS=1000 ROUNDS=100 cargo test --test store_faults` is the long run of `make soak`.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test that meets the unexpected should stop there; it says how far it is, and starts itself again"
)]

mod child;
mod churn;
mod full_disk;
mod keeper;
mod kills;

use std::env;
use std::path::Path;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["child", folder, min_free] => child::run(Path::new(folder), min_free.parse().unwrap()),
        ["full-disk", folder] => full_disk::run(Path::new(folder), number_of("ROUNDS", 12)),
        _ => {
            churn::run(number_of("CHURN", 10_000));
            kills::run(number_of("KILLS", 60));
            full_disk::run_in_namespace();
        }
    }
}

/// How often something is done: the variable `name`, or `usual`.
fn number_of(name: &str, usual: u64) -> u64 {
    env::var(name).map_or(usual, |value| value.parse().expect(name))
}

/// Numbers that look random and are the same in each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}
