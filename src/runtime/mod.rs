//! What everything else runs on; knows nothing of APIs or models.
//!
//! - [`compute`]: work on large values, off the threads that serve connections.
//! - [`fair_queue`]: turns of tenants with weights (deficit round robin).
//! - [`proc_fs`]: what the kernel tells about processes.

pub mod compute;
pub mod fair_queue;
pub mod proc_fs;
