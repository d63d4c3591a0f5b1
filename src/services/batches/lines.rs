//! The lines of a file.

use std::io;

use tokio::fs::File;
use tokio::io::AsyncBufReadExt as _;
use tokio::io::BufReader;

/// What some editors put before everything else.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// A file, read line by line.
#[derive(Debug)]
pub(super) struct Lines {
    reader: BufReader<File>,
    number: u64,
    longest: usize,
}

/// A line with something in it.
#[derive(Debug)]
pub(super) struct Line {
    /// Its number, counted from 1.
    pub(super) number: u64,
    /// What it says, without its end; none when it is too long to be read.
    pub(super) bytes: Option<Vec<u8>>,
}

impl Lines {
    /// The lines of `file`, none of which may have more than `longest` bytes.
    pub(super) fn of(file: File, longest: usize) -> Self {
        Self {
            reader: BufReader::new(file),
            number: 0,
            longest,
        }
    }

    /// The next line that is not blank; none at the end.
    pub(super) async fn next(&mut self) -> io::Result<Option<Line>> {
        while let Some(line) = self.read().await? {
            self.number += 1;
            if line
                .as_ref()
                .is_none_or(|bytes| !bytes.trim_ascii().is_empty())
            {
                return Ok(Some(Line {
                    number: self.number,
                    bytes: line,
                }));
            }
        }
        Ok(None)
    }

    /// The next line; none at the end, and none in it when it is too long.
    async fn read(&mut self) -> io::Result<Option<Option<Vec<u8>>>> {
        let (mut line, mut is_too_long, mut is_begun) = (Vec::new(), false, false);
        loop {
            let read = self.reader.fill_buf().await?;
            if read.is_empty() {
                break;
            }
            is_begun = true;
            let end = memchr::memchr(b'\n', read);
            let piece = &read[..end.unwrap_or(read.len())];
            is_too_long |= line.len() + piece.len() > self.longest;
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
