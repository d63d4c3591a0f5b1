//! Validation of the input file of a batch, line by line.

use std::collections::HashSet;

use super::BatchError;
use super::BatchRequestLine;

/// Maximum number of requests in a batch, as in the `OpenAI` API.
const MAX_REQUESTS: u64 = 50_000;
/// Maximum number of errors reported for a file.
const MAX_FAULTS: usize = 100;

/// Result of the validation of an input file.
#[derive(Debug, Default)]
pub struct CheckedInput {
    /// Number of requests in the file.
    pub total: u64,
    /// Number of the last line.
    pub lines: u64,
    /// Model that all requests name, if it is the same.
    pub model: Option<String>,
    /// Errors found in the file.
    pub faults: Vec<BatchError>,
}

/// Validation in progress, which is given the lines in their order.
#[derive(Debug)]
pub struct InputCheck<'a> {
    endpoint: &'a str,
    /// Maximum size of a line, in bytes, for the message about a longer one.
    max_line_bytes: usize,
    checked: CheckedInput,
    /// Ids of the lines so far.
    known: HashSet<String>,
    models: HashSet<Option<String>>,
}

impl<'a> InputCheck<'a> {
    /// Begins the check of a file of requests to `endpoint`.
    pub fn new(endpoint: &'a str, max_line_bytes: usize) -> Self {
        Self {
            endpoint,
            max_line_bytes,
            checked: CheckedInput::default(),
            known: HashSet::new(),
            models: HashSet::new(),
        }
    }

    /// Checks line `number`, which is not blank; `None` for one that is too long. Returns false if
    /// further lines need no check, since the file has too many errors or requests.
    pub fn add_line(&mut self, number: u64, line: Option<&[u8]>) -> bool {
        self.checked.total += 1;
        self.checked.lines = number;
        if self.checked.total > MAX_REQUESTS {
            let message = format!("A batch may have {MAX_REQUESTS} requests. Split the file.");
            let fault = fault("too_many_requests", None, number, message);
            self.checked.faults.push(fault);
            return false;
        }
        let read = match line {
            Some(bytes) => BatchRequestLine::decode(bytes, number, self.endpoint),
            None => {
                let message = format!("A line may have {} bytes.", self.max_line_bytes);
                Err(fault("line_too_long", None, number, message))
            }
        };
        match read {
            Ok(line) => {
                self.models.insert(line.model());
                if !self.known.insert(line.custom_id) {
                    self.checked.faults.push(duplicate_id(number));
                }
            }
            Err(fault) => self.checked.faults.push(fault),
        }
        self.checked.faults.len() < MAX_FAULTS
    }

    /// Returns the result once all lines are checked.
    pub fn finish(self) -> CheckedInput {
        let mut checked = self.checked;
        if checked.total == 0 {
            checked.faults.push(empty_file());
        }
        let mut models = self.models.into_iter();
        checked.model = models.next().flatten().filter(|_| models.next().is_none());
        checked
    }
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
