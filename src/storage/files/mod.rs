//! Client files: metadata in the store, contents in a folder.
//!
//! 1. A [`FileDraft`] receives the content, within the size limits of the project.
//! 2. The content is on disk under its final name before a record references it, so a record never
//!    references a file that a crash has lost.
//! 3. Contents without a record, left by a crash, are removed at the next start. Expired files are
//!    removed periodically.
//!
//! Files belong to projects. Independent of HTTP and of the files' contents.

mod draft;
mod error;
mod folder;
mod record;
mod service;
#[cfg(test)]
mod tests;
mod usage;

pub use draft::FileDraft;
pub use draft::FinishedFile;
pub use error::Error;
pub use service::Config;
pub use service::Files;
