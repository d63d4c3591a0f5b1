//! Files of requests that are answered while nobody waits.
//!
//! 1. The file is read through: a batch with a line that makes no sense fails as a whole.
//! 2. Each line is a turn like any other, of the key that made the batch as that is at the moment. A [`Share`](share::Share) of
//!    the pool is for all batches together, and no line begins while requests of clients wait for a worker.
//! 3. What comes of a line is written together with the counts before anything else is known of it, so a line that was
//!    answered is never run again; one that was under way when the server was killed is.
//! 4. When no line is left, or the batch ends before, files are made of what was written. They and the end of the batch
//!    become known at once.
//!
//! Knows no HTTP, nor how failures are worded.

mod check;
mod error;
mod finish;
mod job;
mod lines;
mod messages;
mod records;
mod service;
mod share;
mod tidy;

pub use error::Error;
pub use service::Batches;
pub use service::Config;
pub use service::Family;
pub use service::Tools;
