//! Building blocks below everything else, without knowledge of APIs or models.
//!
//! - [`backoff`]: delays between attempts, with jitter.
//! - [`checks`]: checks of a setup, made at once.
//! - [`child_process`]: a supervised child that answers lines of JSON.
//! - [`compute`]: CPU-heavy work, off the threads that serve connections.
//! - [`fair_queue`]: fair queueing among tenants with weights (deficit round robin).
//! - [`http_client`]: HTTP calls that the server makes itself.
//! - [`platform`]: what the kernel gives, on Linux and on macOS.
//! - [`proc_fs`]: other processes, from `/proc` or by `ps`.
//! - [`run_registry`]: what runs in the background, by owner and id.
//! - [`service_notify`]: messages to the service manager that started this process.
//! - [`setting`]: readers of settings, for the `Config` of each part.
//! - [`text_table`]: tables of text for terminals.
//! - [`unix_client`]: HTTP calls over a Unix socket.

pub mod backoff;
pub mod checks;
pub mod child_process;
pub mod compute;
pub mod fair_queue;
pub mod http_client;
pub mod platform;
pub mod proc_fs;
pub mod run_registry;
pub mod service_notify;
pub mod setting;
pub mod text_table;
pub mod unix_client;
