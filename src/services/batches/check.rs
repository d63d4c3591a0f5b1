//! Validation of an input file.

use std::io;

use super::lines::InputLines;
use crate::api::openai::batches::CheckedInput;
use crate::api::openai::batches::InputCheck;

/// Reads all `lines` and validates them as requests to `endpoint`.
pub(super) async fn check_input(
    lines: &mut InputLines,
    endpoint: &str,
    longest: usize,
) -> io::Result<CheckedInput> {
    let mut check = InputCheck::new(endpoint, longest);
    while let Some(line) = lines.next().await? {
        if !check.add_line(line.number, line.bytes.as_deref()) {
            break;
        }
    }
    Ok(check.finish())
}
