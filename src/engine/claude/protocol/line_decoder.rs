//! Decoder of the CLI's standard output to lines of bounded length.

use bytes::Buf;
use bytes::BytesMut;

/// Collects bytes and yields whole lines, without their line feed.
///
/// A line longer than the limit is dropped as it arrives, so a child that never ends its line
/// cannot exhaust the memory; dropped lines are counted.
#[derive(Debug)]
pub struct LineDecoder {
    buffer: BytesMut,
    /// Number of bytes at the start of `buffer` that contain no line feed.
    scanned: usize,
    max_line_bytes: usize,
    /// Set while the rest of an overlong line is discarded.
    discarding: bool,
    overlong_lines: u64,
}

impl LineDecoder {
    /// Creates a decoder for lines of at most `max_line_bytes` bytes.
    pub fn new(max_line_bytes: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            scanned: 0,
            max_line_bytes,
            discarding: false,
            overlong_lines: 0,
        }
    }

    /// Returns the buffer to read the next bytes into. Memory stays bounded only if
    /// [`next_line`](Self::next_line) is called until it returns `None` before reading on.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// Returns the number of lines that were dropped because of their length.
    pub fn overlong_lines(&self) -> u64 {
        self.overlong_lines
    }

    /// Returns the next whole line, or `None` if more bytes are needed. Empty lines are skipped.
    pub fn next_line(&mut self) -> Option<BytesMut> {
        loop {
            let Some(offset) = memchr::memchr(b'\n', &self.buffer[self.scanned..]) else {
                self.keep_unfinished();
                return None;
            };
            let end = self.scanned + offset;
            self.scanned = 0;
            let line = self.buffer.split_to(end);
            self.buffer.advance(1);
            let was_discarding = std::mem::take(&mut self.discarding);
            if was_discarding {
                continue;
            }
            if line.len() > self.max_line_bytes {
                self.overlong_lines += 1;
                continue;
            }
            if !line.is_empty() {
                return Some(line);
            }
        }
    }

    fn keep_unfinished(&mut self) {
        if self.discarding {
            self.buffer.clear();
        } else if self.buffer.len() > self.max_line_bytes {
            self.overlong_lines += 1;
            self.discarding = true;
            // Replaced, not cleared: an idle worker must not keep the capacity of an overlong line.
            self.buffer = BytesMut::new();
        }
        self.scanned = self.buffer.len();
    }
}

#[cfg(test)]
mod tests {
    use super::LineDecoder;
    use proptest::prelude::*;

    fn lines_of(decoder: &mut LineDecoder, bytes: &[u8]) -> Vec<Vec<u8>> {
        decoder.buffer().extend_from_slice(bytes);
        std::iter::from_fn(|| decoder.next_line().map(|line| line.to_vec())).collect()
    }

    #[test]
    fn line_decoder_yields_whole_lines_and_keeps_the_rest() {
        let mut decoder = LineDecoder::new(100);
        assert_eq!(
            lines_of(&mut decoder, b"one\ntwo\n\nthr"),
            [b"one".to_vec(), b"two".to_vec()]
        );
        assert_eq!(lines_of(&mut decoder, b"ee\n"), [b"three".to_vec()]);
    }

    #[test]
    fn line_decoder_drops_an_overlong_line_and_continues_after_it() {
        let mut decoder = LineDecoder::new(4);
        assert!(lines_of(&mut decoder, b"12345").is_empty());
        assert!(lines_of(&mut decoder, &[b'x'; 1000]).is_empty());
        assert!(
            decoder.buffer().is_empty(),
            "nothing of the over-long line is kept"
        );
        assert_eq!(
            lines_of(&mut decoder, b"67\nok\n123456\nfine\n"),
            [b"ok".to_vec(), b"fine".to_vec()]
        );
        assert_eq!(decoder.overlong_lines(), 2);
    }

    proptest! {
        #[test]
        fn line_decoder_gives_the_same_lines_for_any_split(
            bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..400),
            cuts in proptest::collection::vec(0usize..400, 0..8),
        ) {
            let mut whole = LineDecoder::new(64);
            let expected = lines_of(&mut whole, &bytes);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let mut split = LineDecoder::new(64);
            let actual: Vec<_> =
                cuts.windows(2).flat_map(|cut| lines_of(&mut split, &bytes[cut[0]..cut[1]])).collect();
            prop_assert_eq!(expected, actual);
            prop_assert_eq!(whole.overlong_lines(), split.overlong_lines());
        }
    }
}
