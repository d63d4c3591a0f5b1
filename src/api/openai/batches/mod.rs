//! Request and response bodies of `/v1/batches`, and the lines of batch files.

mod line;
mod request;
mod types;

#[cfg(test)]
mod tests;

pub use line::Line;
pub use line::answer;
pub use line::failure;
pub use line::request_line;
pub use request::CreateRequest;
pub use request::decode;
pub use types::Batch;
pub use types::Counts;
pub use types::Fault;
pub use types::Faults;
pub use types::Status;

use super::list;

/// Returns the body of a list of batches.
pub fn list(batches: &[Batch], has_more: bool) -> String {
    list::body(batches, |batch| Some(&batch.id), has_more)
}
