//! Files of clients: what is known of them in the store, their bytes in a folder.
//!
//! 1. A [`Draft`] takes bytes as they come, into a file that nobody else knows, as far as the project has room.
//! 2. Finished, its bytes are on disk under their own name before a record names them; so a record never promises what a
//!    crash has taken.
//! 3. What a crash leaves without a record is removed at the next start; what is beyond its time, from time to time.
//!
//! Files belong to projects. Knows no HTTP, nor what is in a file.

mod draft;
mod error;
mod folder;
mod service;
mod space;
#[cfg(test)]
mod tests;

pub use draft::Draft;
pub use draft::Finished;
pub use error::Error;
pub use service::Config;
pub use service::Files;
