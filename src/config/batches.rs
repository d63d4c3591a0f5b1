//! `[batches]`: how much of the pool batches take.

use serde::{Deserialize, Serialize};

use super::origin::{Check, Refusal};

/// The share of batches. `default.toml` says what each key means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batches {
    /// Lines of all batches together that run at a time; 0 for a third of the pool.
    pub parallel: usize,
}

impl Batches {
    /// Lines that run at a time, of a pool of `workers`.
    pub fn share_of(&self, workers: usize) -> usize {
        if self.parallel == 0 { (workers / 3).max(1) } else { self.parallel }
    }

    pub(super) fn check(&self) -> Result<(), Refusal> {
        Check::section("batches").number("parallel", self.parallel, 0..=1024)
    }
}

#[cfg(test)]
mod tests {
    use super::Batches;

    #[test]
    fn the_usual_share_is_a_third_and_one_at_least() {
        let share = |parallel, workers| Batches { parallel }.share_of(workers);
        assert_eq!([share(0, 1), share(0, 5), share(0, 9), share(4, 1)], [1, 1, 3, 4]);
    }
}
