//! Line decoder of the CLI protocol: arbitrary lines, split at arbitrary positions.
#![no_main]

use libfuzzer_sys::fuzz_target;
// The module imports it as `crate::domain`.
use switchboard_formats::domain;

use self::protocol::{LineDecoder, parse};

#[allow(dead_code, unreachable_pub, unused_imports, reason = "the target calls a part of the module")]
#[path = "../../src/engine/claude/protocol/mod.rs"]
mod protocol;

const MAX_LINE_BYTES: usize = 256;

fuzz_target!(|input: (u8, &[u8])| {
    let (piece_bytes, bytes) = input;
    let mut whole = LineDecoder::new(MAX_LINE_BYTES);
    whole.buffer().extend_from_slice(bytes);
    let expected: Vec<_> = std::iter::from_fn(|| whole.next_line()).collect();

    let mut pieces = LineDecoder::new(MAX_LINE_BYTES);
    let mut lines = Vec::new();
    for piece in bytes.chunks(usize::from(piece_bytes).max(1)) {
        pieces.buffer().extend_from_slice(piece);
        lines.extend(std::iter::from_fn(|| pieces.next_line()));
        assert!(pieces.buffer().len() <= MAX_LINE_BYTES, "the buffer of an unfinished line is bounded");
    }
    assert_eq!(lines, expected, "every split gives the same lines");
    assert_eq!(pieces.overlong_lines(), whole.overlong_lines());
    for line in &lines {
        assert!(line.len() <= MAX_LINE_BYTES);
        let _ = parse(line);
    }
});
