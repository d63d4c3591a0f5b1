//! The head of a request as it comes.
//!
//! hyper leaves `Content-Length` out of a request that has `Transfer-Encoding` as well, as RFC 9112 allows. Such a request is
//! refused here, because whoever stands before this server may have read it by the other of the two; so the head is looked at
//! before hyper has it. Of requests that come before the answer to the last one nothing is seen; hyper answers none after such
//! a one.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use memchr::memmem::find;

/// The longest head that is looked at, in bytes. hyper takes no longer one.
const LONGEST: usize = 64 * 1024;
/// How a head ends; a line may end without a carriage return.
const ENDS: [&[u8]; 2] = [b"\n\r\n", b"\n\n"];

/// Watches the heads of one connection. Clones watch the same.
#[derive(Debug, Clone, Default)]
pub(super) struct HeadWatch(Arc<Mutex<Head>>);

#[derive(Debug)]
enum Head {
    Coming(Vec<u8>),
    Came {
        has_two_lengths: bool,
    },
    /// No more come: the connection has become something else.
    Off,
}

impl Default for Head {
    fn default() -> Self {
        Self::Coming(Vec::new())
    }
}

impl HeadWatch {
    /// `bytes` have come.
    pub(super) fn read(&self, bytes: &[u8]) {
        let mut head = self.head();
        let Head::Coming(come) = &mut *head else {
            return;
        };
        // Empty lines may stand before a request.
        let bytes = if come.is_empty() {
            bytes.trim_ascii_start()
        } else {
            bytes
        };
        let seen = come.len().saturating_sub(2);
        come.extend_from_slice(bytes);
        // What becomes of a connection that was upgraded is no request.
        let is_text = come.first().is_none_or(u8::is_ascii_graphic);
        let rest = come.get(seen..).unwrap_or_default();
        let end = ENDS.iter().filter_map(|end| find(rest, end)).min();
        if let Some(end) = end {
            let has_two_lengths = has_two_lengths(come.get(..seen + end).unwrap_or_default());
            *head = Head::Came { has_two_lengths };
        } else if !is_text || come.len() > LONGEST {
            *head = Head::Came {
                has_two_lengths: false,
            };
        }
    }

    /// Begins with the next head, since something was answered. Bytes of a body that were taken for a head, as after `100
    /// Continue`, are dropped.
    pub(super) fn answered(&self) {
        let mut head = self.head();
        if !matches!(*head, Head::Off) {
            *head = Head::default();
        }
    }

    /// No more heads come.
    pub(super) fn stop(&self) {
        *self.head() = Head::Off;
    }

    /// Whether the last head has both headers.
    pub(super) fn has_two_lengths(&self) -> bool {
        matches!(
            *self.head(),
            Head::Came {
                has_two_lengths: true
            }
        )
    }

    fn head(&self) -> MutexGuard<'_, Head> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn has_two_lengths(head: &[u8]) -> bool {
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
    fn both_headers_are_seen_however_they_come() {
        for pieces in [1, 2, 3, 7, 1000] {
            let watch = HeadWatch::default();
            for (text, expected) in [(BOTH, true), (ONE, false), (BOTH, true)] {
                text.as_bytes()
                    .chunks(pieces)
                    .for_each(|piece| watch.read(piece));
                assert_eq!(watch.has_two_lengths(), expected, "{pieces}: {text}");
                watch.answered();
            }
        }
    }

    #[test]
    fn nothing_is_looked_at_once_it_is_off() {
        let watch = HeadWatch::default();
        watch.read(ONE.as_bytes());
        watch.stop();
        watch.answered();
        watch.read(BOTH.as_bytes());
        assert!(matches!(*watch.head(), Head::Off) && !watch.has_two_lengths());
    }

    #[test]
    fn what_came_before_an_answer_is_no_part_of_the_next_head() {
        let watch = HeadWatch::default();
        watch.read(b"content-length: 3\r\ntransfer-encoding: chunked\r\n");
        watch.answered();
        watch.read(ONE.as_bytes());
        assert!(!watch.has_two_lengths());
    }

    #[test]
    fn what_is_no_head_is_not_kept() {
        for bytes in [&[0x81_u8, 0x85, b'a'][..], &[b'a'; LONGEST + 1]] {
            let watch = HeadWatch::default();
            watch.read(bytes);
            assert!(matches!(
                *watch.head(),
                Head::Came {
                    has_two_lengths: false
                }
            ));
        }
    }
}
