//! Batches: files of requests answered in the background.
//!
//! 1. The input file is validated; an invalid line fails the whole batch.
//! 2. Each line is a regular turn, authorized as the key that created the batch at the time the
//!    line runs. All batches together use a [`BatchThrottle`](throttle::BatchThrottle) of the pool, and lines yield to
//!    waiting client requests for a limited time.
//! 3. The outcome of a line and the updated counts are written in one transaction, so an answered
//!    line never runs again. A line in progress when the server was killed runs again.
//! 4. Servers that share a store run the lines by [`slices`]: the server that owns the batch, and others
//!    that have room. An outcome counts only while its slice is that of its server.
//! 5. When no line is left, or the batch ends early, the output files are made from the outcomes.
//!    The files and the end of the batch become visible in one transaction.
//!
//! Independent of HTTP and of how failures are worded.

mod all_projects;
mod assist;
mod check;
mod cleanup;
mod config;
mod error;
mod finish;
mod job;
mod lines;
mod messages;
mod outcome_facts;
mod records;
mod recovery;
mod service;
mod sliced_run;
mod slices;
mod store_waits;
mod stored_batch;
mod throttle;

pub use all_projects::BatchFailure;
pub use all_projects::OwnedBatch;
pub use config::Config;
pub use error::Error;
pub use service::BatchDeps;
pub use service::BatchFamily;
pub use service::Batches;
