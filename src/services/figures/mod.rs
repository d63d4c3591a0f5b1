//! Figures over time: a sample of all totals and levels each second, and hours that outlive a
//! restart.

mod hours;
mod sampler;
#[cfg(test)]
mod tests;

pub use hours::HourTable;
pub use sampler::FigureDeps;
pub use sampler::LevelReader;
pub use sampler::start_figures;
