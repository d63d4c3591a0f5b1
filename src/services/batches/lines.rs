//! Line reader of an input file.

use std::io;

use tokio::io::AsyncBufReadExt as _;
use tokio::io::BufReader;

use crate::storage::files::FileContent;

/// Byte order mark (BOM) that some editors write first.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// A file that is read line by line.
#[derive(Debug)]
pub(super) struct InputLines {
    reader: BufReader<FileContent>,
    number: u64,
    max_line_bytes: usize,
}

/// A line that is not blank.
#[derive(Debug)]
pub(super) struct InputLine {
    /// Line number, counted from 1.
    pub(super) number: u64,
    /// Content without the line break; `None` if the line is too long.
    pub(super) bytes: Option<Vec<u8>>,
}

impl InputLines {
    /// Creates a reader of `file`. Lines above `longest` bytes are skipped over and reported as too
    /// long.
    pub(super) fn new(file: FileContent, longest: usize) -> Self {
        Self {
            reader: BufReader::new(file),
            number: 0,
            max_line_bytes: longest,
        }
    }

    /// Returns the next line that is not blank, or `None` at the end of the file.
    pub(super) async fn next(&mut self) -> io::Result<Option<InputLine>> {
        while let Some(line) = self.read().await? {
            self.number += 1;
            if line
                .as_ref()
                .is_none_or(|bytes| !bytes.trim_ascii().is_empty())
            {
                return Ok(Some(InputLine {
                    number: self.number,
                    bytes: line,
                }));
            }
        }
        Ok(None)
    }

    /// Reads a line. Returns `None` at the end of the file, and `Some(None)` for a line that is too
    /// long.
    async fn read(&mut self) -> io::Result<Option<Option<Vec<u8>>>> {
        let mut line = Vec::new();
        let mut is_too_long = false;
        let mut is_begun = false;
        loop {
            let read = self.reader.fill_buf().await?;
            if read.is_empty() {
                break;
            }
            is_begun = true;
            let end = memchr::memchr(b'\n', read);
            let piece = &read[..end.unwrap_or(read.len())];
            is_too_long |= line.len() + piece.len() > self.max_line_bytes;
            if !is_too_long {
                line.extend_from_slice(piece);
            }
            let used = piece.len() + usize::from(end.is_some());
            self.reader.consume(used);
            if end.is_some() {
                break;
            }
        }
        if self.number == 0 && line.starts_with(BYTE_ORDER_MARK) {
            line.drain(..BYTE_ORDER_MARK.len());
        }
        Ok(is_begun.then(|| (!is_too_long).then_some(line)))
    }
}
