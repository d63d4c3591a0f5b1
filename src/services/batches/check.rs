//! Validation of an input file.

use std::collections::HashSet;
use std::io;

use super::lines::InputLines;
use crate::api::openai::batches::BatchError;
use crate::api::openai::batches::BatchRequestLine;

/// Maximum number of requests in a batch, as in the `OpenAI` API.
const MAX_REQUESTS: u64 = 50_000;
/// Maximum number of errors reported for a file.
const MAX_FAULTS: usize = 100;

/// Result of the validation.
#[derive(Debug, Default)]
pub(super) struct CheckedInput {
    /// Number of requests.
    pub(super) total: u64,
    /// Number of the last line.
    pub(super) lines: u64,
    /// Model that all requests name, if it is the same.
    pub(super) model: Option<String>,
    /// Errors found in the file.
    pub(super) faults: Vec<BatchError>,
}

/// Reads all `lines` and validates them as requests to `endpoint`.
pub(super) async fn check_input(
    lines: &mut InputLines,
    endpoint: &str,
    longest: usize,
) -> io::Result<CheckedInput> {
    let mut checked = CheckedInput::default();
    let mut known = HashSet::new();
    let mut models = HashSet::new();
    while let Some(line) = lines.next().await? {
        let number = line.number;
        checked.total += 1;
        checked.lines = number;
        if checked.total > MAX_REQUESTS {
            let message = format!("A batch may have {MAX_REQUESTS} requests. Split the file.");
            checked
                .faults
                .push(fault("too_many_requests", None, number, message));
            break;
        }
        let read = match &line.bytes {
            Some(bytes) => BatchRequestLine::decode(bytes, number, endpoint),
            None => {
                let message = format!("A line may have {longest} bytes.");
                Err(fault("line_too_long", None, number, message))
            }
        };
        match read {
            Ok(line) => {
                models.insert(line.model());
                if !known.insert(line.custom_id) {
                    checked.faults.push(duplicate_id(number));
                }
            }
            Err(fault) => checked.faults.push(fault),
        }
        if checked.faults.len() >= MAX_FAULTS {
            break;
        }
    }
    if checked.total == 0 {
        checked.faults.push(empty_file());
    }
    let mut models = models.into_iter();
    checked.model = models.next().flatten().filter(|_| models.next().is_none());
    Ok(checked)
}

/// Error of the line `number`, whose id an earlier line has.
fn duplicate_id(number: u64) -> BatchError {
    let message =
        "Another line before has the same `custom_id`. Each must have one of its own.".to_owned();
    fault("duplicate_custom_id", Some("custom_id"), number, message)
}

/// Error of a file without requests.
fn empty_file() -> BatchError {
    let message = "The file has no requests. Write one on each line.".to_owned();
    BatchError {
        line: None,
        ..fault("empty_file", None, 0, message)
    }
}

fn fault(code: &str, param: Option<&str>, line: u64, message: String) -> BatchError {
    BatchError {
        code: code.to_owned(),
        line: Some(line),
        message,
        param: param.map(ToOwned::to_owned),
    }
}
