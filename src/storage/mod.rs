//! Persistent storage, and answers that servers share.

pub mod files;
pub mod shared_cache;
pub mod store;
