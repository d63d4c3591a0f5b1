//! What outlives a request.
//!
//! - [`store`]: the embedded database, its backups and the files beside it.
//! - [`files`]: files that clients upload.

pub mod files;
pub mod store;
