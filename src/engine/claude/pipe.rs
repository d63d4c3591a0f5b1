//! Line-based communication over both pipes of a process.

use std::io;

use bytes::Buf;
use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::protocol::LineDecoder;

const READ_CHUNK: usize = 8 * 1024;

/// Sends and receives lines. Waiting for a line also writes the queued ones, which prevents a
/// deadlock: a process that is busy writing is read, however much is still to be sent to it.
#[derive(Debug)]
pub(super) struct Pipe<R, W> {
    reader: R,
    writer: W,
    decoder: LineDecoder,
    outbox: BytesMut,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Pipe<R, W> {
    pub(super) fn new(reader: R, writer: W, max_line_bytes: usize) -> Self {
        Self {
            reader,
            writer,
            decoder: LineDecoder::new(max_line_bytes),
            outbox: BytesMut::new(),
        }
    }

    /// Queues a line; it is written while [`next_line`](Self::next_line) is awaited.
    pub(super) fn queue(&mut self, line: &[u8]) {
        self.outbox.extend_from_slice(line);
    }

    /// Closes the input of the process, and returns the reader of its output.
    pub(super) fn into_reader(self) -> R {
        self.reader
    }

    /// Returns the number of lines that were dropped because they were too long.
    pub(super) fn overlong_lines(&self) -> u64 {
        self.decoder.overlong_lines()
    }

    /// Returns the next line. Cancellation-safe: received bytes stay in the decoder, unsent bytes
    /// in the outbox.
    ///
    /// # Errors
    /// `UnexpectedEof` if the other side has closed its output, or the error of a pipe.
    pub(super) async fn next_line(&mut self) -> io::Result<BytesMut> {
        loop {
            if let Some(line) = self.decoder.next_line() {
                return Ok(line);
            }
            let buffer = self.decoder.buffer();
            buffer.reserve(READ_CHUNK);
            let read = if self.outbox.is_empty() {
                self.reader.read_buf(buffer).await?
            } else {
                // Both branches are cancellation-safe: the one that is dropped has read or written
                // nothing.
                tokio::select! {
                    read = self.reader.read_buf(buffer) => read?,
                    written = self.writer.write(&self.outbox) => {
                        self.outbox.advance(written?);
                        continue;
                    }
                }
            };
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Pipe;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::timeout;

    /// Longest wait for two sides that would wait for each other.
    const MAX_TEST_WAIT: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn pipe_reads_while_much_output_is_queued() {
        let (ours, theirs) = tokio::io::duplex(64);
        let (reader, writer) = tokio::io::split(ours);
        let mut pipe = Pipe::new(reader, writer, 1024);
        pipe.queue(&[b'x'; 100_000]);
        pipe.queue(b"\n");
        let (mut their_reader, mut their_writer) = tokio::io::split(theirs);
        let other = async {
            // Writes more than the pipe holds before it reads at all.
            for _ in 0..100 {
                their_writer
                    .write_all(b"noise noise noise\n")
                    .await
                    .unwrap();
            }
            let mut received = vec![0; 100_001];
            their_reader.read_exact(&mut received).await.unwrap();
            their_writer.write_all(b"end\n").await.unwrap();
        };
        let ours = async {
            loop {
                if pipe.next_line().await.unwrap() == "end" {
                    return;
                }
            }
        };
        let both = async { tokio::join!(other, ours) };
        timeout(MAX_TEST_WAIT, both)
            .await
            .expect("neither side waits");
    }

    #[tokio::test]
    async fn pipe_reports_end_of_file_as_an_error() {
        let (ours, theirs) = tokio::io::duplex(64);
        let (reader, writer) = tokio::io::split(ours);
        drop(theirs);
        let error = Pipe::new(reader, writer, 1024)
            .next_line()
            .await
            .unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
    }
}
