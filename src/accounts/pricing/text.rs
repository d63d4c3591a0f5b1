//! Upper estimate of the number of tokens of a text.

/// Number of bytes of letters for each token. English has about four, code and JSON three; other
/// scripts have more bytes for each character, and about one token for each.
const BYTES_PER_TOKEN: u64 = 3;

/// Number of bytes that are examined together. As many without a gap are not words but base64,
/// digests or keys.
const WINDOW: usize = 32;

/// Sums of byte classes in texts.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct TextSize {
    /// Bytes that may each be a token: digits, punctuation, and whole windows without a gap.
    dense: u64,
    /// Remaining bytes: letters, white space and bytes of non-ASCII characters.
    loose: u64,
}

impl TextSize {
    pub(super) fn add(&mut self, text: &str) {
        for window in text.as_bytes().chunks(WINDOW) {
            let mut dense = 0_u8;
            let mut gaps = 0_u8;
            // Branch-free, so that the compiler vectorises the loop.
            for byte in window {
                dense += u8::from(is_dense(*byte));
                gaps += u8::from(*byte <= b' ' || !byte.is_ascii());
            }
            let length = window.len() as u64;
            let is_packed = gaps == 0 && window.len() == WINDOW;
            let dense = if is_packed { length } else { dense.into() };
            self.dense += dense;
            self.loose += length - dense;
        }
    }

    pub(super) fn tokens(&self) -> u64 {
        self.dense + self.loose.div_ceil(BYTES_PER_TOKEN)
    }
}

/// Estimated upper bound of the tokens of `text`.
pub(super) fn tokens_of(text: &str) -> u64 {
    let mut size = TextSize::default();
    size.add(text);
    size.tokens()
}

/// Estimated tokens of `bytes` bytes of unknown content.
pub(super) fn tokens_of_bytes(bytes: u64) -> u64 {
    bytes.div_ceil(BYTES_PER_TOKEN)
}

/// True if a byte is a digit or punctuation.
fn is_dense(byte: u8) -> bool {
    let is_printable = byte.wrapping_sub(b'!') < 0x5e;
    let is_letter = (byte | 0x20).wrapping_sub(b'a') < 26;
    is_printable & !is_letter
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows: text, and the most tokens that tokenizers make of it: one for each digit, mark and
    /// character of another script, three for four characters of base64, one for three of code, one
    /// for four of English.
    #[test]
    fn text_estimate_is_an_upper_bound() {
        let prose = "The quick brown fox jumps over the lazy dog, and then it rests. ";
        let code =
            "fn main() {\n    let total: u64 = items.iter().map(|item| item.price * 3).sum();\n}\n";
        let base64 = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk";
        for (name, text, real) in [
            ("digits", "31415926535897932384 ".repeat(100), 20 * 100),
            ("grouped digits", "3,141,592.65 ".repeat(100), 12 * 100),
            ("punctuation", "?!;:-- (){}[]<> ".repeat(100), 14 * 100),
            ("a table", "|1|2|3|\n|-|-|-|\n".repeat(100), 14 * 100),
            ("Japanese", "日本語の文章です。".repeat(100), 9 * 100),
            (
                "Russian",
                "Съешь же ещё этих мягких булок ".repeat(100),
                14 * 100,
            ),
            ("base64", base64.repeat(100), 48 * 100),
            (
                "hexadecimal",
                "d41d8cd98f00b204e9800998ecf8427e ".repeat(100),
                24 * 100,
            ),
            (
                "a UUID",
                "6ba7b810-9dad-11d1-80b4-00c04fd430c8\n".repeat(100),
                27 * 100,
            ),
            ("code", code.repeat(100), 27 * 100),
            ("JSON", r#"{"a":1,"b":[2,3],"c":"d"}"#.repeat(100), 19 * 100),
            ("English", prose.repeat(100), 16 * 100),
        ] {
            let tokens = tokens_of(&text);
            assert!(tokens >= real, "{name}: {tokens} of {real}");
            assert!(
                tokens <= text.len() as u64,
                "{name}: more tokens than bytes"
            );
        }
        let tokens = tokens_of(&prose.repeat(100));
        assert!(
            tokens < 100 * 25,
            "{tokens}: English is not held at more than half above what it takes"
        );
    }
}
