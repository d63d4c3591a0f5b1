//! Persistent storage.

pub mod files;
pub mod store;
