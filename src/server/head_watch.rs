//! Detects requests with both `Content-Length` and `Transfer-Encoding` (request smuggling).
//!
//! hyper drops `Content-Length` from a request that also has `Transfer-Encoding`, as RFC 9112
//! allows. Such a request is refused here, because a proxy in front of this server may have framed
//! it by the other header; so the raw head is inspected before hyper parses it. Pipelined requests
//! that arrive before the previous answer are not inspected; hyper answers none after a refused
//! one.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use memchr::memmem::find;

/// Maximum size of an inspected head, in bytes; hyper accepts no longer one.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// Terminators of a head; a line may end without a carriage return.
const HEAD_TERMINATORS: [&[u8]; 2] = [b"\n\r\n", b"\n\n"];

/// Watches the request heads of one connection. Clones share their state.
#[derive(Debug, Clone, Default)]
pub(super) struct HeadWatch(Arc<Mutex<WatchedHead>>);

#[derive(Debug)]
enum WatchedHead {
    Incomplete(Vec<u8>),
    Complete {
        has_ambiguous_length: bool,
    },
    /// Off permanently: the connection was upgraded to another protocol.
    Off,
}

impl Default for WatchedHead {
    fn default() -> Self {
        Self::Incomplete(Vec::new())
    }
}

impl HeadWatch {
    /// Adds `bytes` that were read from the connection.
    pub(super) fn observe(&self, bytes: &[u8]) {
        let mut head = self.head();
        let WatchedHead::Incomplete(come) = &mut *head else {
            return;
        };
        // Empty lines may precede a request.
        let bytes = if come.is_empty() {
            bytes.trim_ascii_start()
        } else {
            bytes
        };
        // A terminator may be split across reads, so the search starts two bytes back.
        let seen = come.len().saturating_sub(2);
        come.extend_from_slice(bytes);
        // Bytes that do not start like a request line are not kept: they belong to an upgraded
        // protocol.
        let is_text = come.first().is_none_or(u8::is_ascii_graphic);
        let rest = come.get(seen..).unwrap_or_default();
        let end = HEAD_TERMINATORS
            .iter()
            .filter_map(|end| find(rest, end))
            .min();
        if let Some(end) = end {
            let has_ambiguous_length =
                has_ambiguous_length(come.get(..seen + end).unwrap_or_default());
            *head = WatchedHead::Complete {
                has_ambiguous_length,
            };
        } else if !is_text || come.len() > MAX_HEAD_BYTES {
            *head = WatchedHead::Complete {
                has_ambiguous_length: false,
            };
        }
    }

    /// Resets the watch for the next head after an answer. Body bytes that were mistaken for a
    /// head, as after `100 Continue`, are dropped.
    pub(super) fn reset(&self) {
        let mut head = self.head();
        if !matches!(*head, WatchedHead::Off) {
            *head = WatchedHead::default();
        }
    }

    /// Stops the inspection permanently.
    pub(super) fn stop(&self) {
        *self.head() = WatchedHead::Off;
    }

    /// Returns true if the last head has both headers.
    pub(super) fn has_ambiguous_length(&self) -> bool {
        matches!(
            *self.head(),
            WatchedHead::Complete {
                has_ambiguous_length: true
            }
        )
    }

    fn head(&self) -> MutexGuard<'_, WatchedHead> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn has_ambiguous_length(head: &[u8]) -> bool {
    let has = |name: &str| {
        let mut lines = head.split(|byte| *byte == b'\n');
        lines.any(|line| {
            line.get(..name.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(name.as_bytes()))
        })
    };
    has("content-length:") && has("transfer-encoding:")
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: &str =
        "\r\nPOST / HTTP/1.1\r\nContent-Length: 3\r\ntransfer-encoding: chunked\r\n\r\nbody";
    const ONE: &str =
        "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\ncontent-length: 3\r\n\r\n";

    #[test]
    fn both_length_headers_are_detected_across_split_reads() {
        for pieces in [1, 2, 3, 7, 1000] {
            let watch = HeadWatch::default();
            for (text, expected) in [(BOTH, true), (ONE, false), (BOTH, true)] {
                text.as_bytes()
                    .chunks(pieces)
                    .for_each(|piece| watch.observe(piece));
                assert_eq!(watch.has_ambiguous_length(), expected, "{pieces}: {text}");
                watch.reset();
            }
        }
    }

    #[test]
    fn stopped_watch_inspects_nothing() {
        let watch = HeadWatch::default();
        watch.observe(ONE.as_bytes());
        watch.stop();
        watch.reset();
        watch.observe(BOTH.as_bytes());
        assert!(matches!(*watch.head(), WatchedHead::Off) && !watch.has_ambiguous_length());
    }

    #[test]
    fn answer_resets_the_watched_head() {
        let watch = HeadWatch::default();
        watch.observe(b"content-length: 3\r\ntransfer-encoding: chunked\r\n");
        watch.reset();
        watch.observe(ONE.as_bytes());
        assert!(!watch.has_ambiguous_length());
    }

    #[test]
    fn binary_and_oversized_heads_are_not_kept() {
        for bytes in [&[0x81_u8, 0x85, b'a'][..], &[b'a'; MAX_HEAD_BYTES + 1]] {
            let watch = HeadWatch::default();
            watch.observe(bytes);
            assert!(matches!(
                *watch.head(),
                WatchedHead::Complete {
                    has_ambiguous_length: false
                }
            ));
        }
    }
}
