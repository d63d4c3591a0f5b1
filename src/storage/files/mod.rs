//! Client files: metadata in the store, contents in a folder or in the store.
//!
//! 1. A [`FileDraft`] receives the content, within the size limits of the project.
//! 2. The content is on disk under its final name, or in the store, before a record references it, so a
//!    record never references a file that a crash has lost.
//! 3. Contents without a record, left by a crash, are removed: those in a folder at the next start, those
//!    in the store after an hour. Expired files are removed periodically.
//! 4. A server that shares its records counts the space of a project in the store, so that the limits
//!    hold over all servers.
//!
//! Files belong to projects. Independent of HTTP and of the files' contents.

mod config;
mod content_parts;
mod contents;
mod draft;
mod error;
mod folder;
mod record;
mod service;
mod space_records;
#[cfg(test)]
mod tests;
mod usage;

pub use config::Config;
pub use config::ContentLocation;
pub use contents::FileContent;
pub use draft::FileDraft;
pub use draft::FinishedFile;
pub use error::Error;
pub use service::Files;
