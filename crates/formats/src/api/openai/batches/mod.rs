//! Request and response bodies of `/v1/batches`, and the lines of batch files.

mod check;
mod line;
mod request;
mod types;

#[cfg(test)]
mod tests;

pub use check::CheckedInput;
pub use check::InputCheck;
pub use line::BatchRequestLine;
pub use line::error_line;
pub use line::request_line;
pub use line::response_line;
pub use request::CreateBatchRequest;
pub use request::REQUEST;
pub use request::decode;
pub use types::Batch;
pub use types::BatchError;
pub use types::BatchErrors;
pub use types::BatchRequestCounts;
pub use types::BatchStatus;

use super::list;

/// Returns the body of a list of batches.
pub fn list_body(batches: &[Batch], has_more: bool) -> String {
    list::body(batches, |batch| Some(&batch.id), has_more)
}
