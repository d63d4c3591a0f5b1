//! Repair of characters in JSON that upstream rejects.

use std::borrow::Cow;

use memchr::memchr;

use super::error::InvalidRequest;
use super::remarks::RemarkCollector;
use super::repair::Repair;

/// Escape of U+FFFD, the replacement character.
const REPLACEMENT: &[u8] = b"\\ufffd";
/// Length of an escape such as `\u0000`.
const ESCAPE: usize = 6;

/// Repairs the JSON `body`: removes escapes of NUL, and replaces lone surrogates by U+FFFD.
///
/// # Errors
/// Under the strict policy, if there are any.
pub fn repair_characters<'a>(
    body: &'a [u8],
    ignored: &mut RemarkCollector,
) -> Result<Cow<'a, [u8]>, InvalidRequest> {
    let Some(repaired_body) = repaired(body) else {
        return Ok(Cow::Borrowed(body));
    };
    ignored.repair_body(Repair::CHARACTERS)?;
    Ok(Cow::Owned(repaired_body))
}

/// Returns the repaired `body`, if anything had to be repaired.
fn repaired(body: &[u8]) -> Option<Vec<u8>> {
    let mut repaired_body = Vec::new();
    // `copied`: end of what is copied to `repaired_body`; `read`: end of what is scanned.
    let mut copied = 0;
    let mut read = 0;
    while let Some(distance) = memchr(b'\\', body.get(read..)?) {
        let start = read + distance;
        let (length, instead): (_, Option<&[u8]>) = match escaped_code_unit(body, start) {
            Some(0) => (ESCAPE, Some(b"")),
            Some(0xd800..=0xdbff)
                if matches!(
                    escaped_code_unit(body, start + ESCAPE),
                    Some(0xdc00..=0xdfff)
                ) =>
            {
                (2 * ESCAPE, None)
            }
            Some(0xd800..=0xdfff) => (ESCAPE, Some(REPLACEMENT)),
            Some(_) => (ESCAPE, None),
            None => (2, None),
        };
        read = (start + length).min(body.len());
        if let Some(instead) = instead {
            repaired_body.extend_from_slice(body.get(copied..start)?);
            repaired_body.extend_from_slice(instead);
            copied = read;
        }
    }
    if copied == 0 {
        return None;
    }
    repaired_body.extend_from_slice(body.get(copied..)?);
    Some(repaired_body)
}

/// Returns the UTF-16 code unit escaped as `\uXXXX` at `start`.
fn escaped_code_unit(body: &[u8], start: usize) -> Option<u16> {
    let digits = body.get(start..start + ESCAPE)?.strip_prefix(b"\\u")?;
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::api::request_schema::Policy;

    fn read(body: &str) -> Value {
        let repaired_body =
            repair_characters(body.as_bytes(), &mut RemarkCollector::new(Policy::Lenient))
                .unwrap()
                .into_owned();
        serde_json::from_slice(&repaired_body).unwrap()
    }

    #[test]
    fn lone_surrogates_are_replaced_and_nul_is_removed() {
        for (body, expected) in [
            (r#""a\ud83d""#, "a\u{fffd}"),
            (r#""\ude00b""#, "\u{fffd}b"),
            (r#""\uD83D\ud83d\uDE00""#, "\u{fffd}\u{1f600}"),
            (r#""a\u0000b""#, "ab"),
            (r#""\\u0000 \\ud83d""#, "\\u0000 \\ud83d"),
            (r#""\n\u00e9\"""#, "\n\u{e9}\""),
        ] {
            assert_eq!(read(body), expected, "{body}");
        }
    }

    #[test]
    fn strict_policy_rejects_lone_surrogates() {
        let strict = |body: &str| {
            repair_characters(body.as_bytes(), &mut RemarkCollector::new(Policy::Strict)).map(drop)
        };
        assert!(strict(r#""\ud83d\ude00""#).is_ok());
        assert!(
            strict(r#""\ud83d""#)
                .unwrap_err()
                .message
                .contains("surrogate")
        );
    }

    proptest! {
        #[test]
        fn well_formed_json_is_not_changed(text in any::<String>()) {
            let body = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(repaired(body.as_bytes()), None);
        }

        #[test]
        fn character_repair_never_panics(body in r#"[\\u0d8cD"]{0,24}"#) {
            let _ = repaired(body.as_bytes());
        }
    }
}
