//! Limits on the number of objects, arrays and values in the JSON of a request.
//!
//! Parsed text takes as much memory as its source, but structure takes more: an object of 8 bytes
//! takes some 650, because the map that it becomes has room for more fields. Both counts are
//! therefore checked before parsing, which takes a fraction of the parsing time.

use memchr::memchr2;

use super::error::InvalidRequest;

/// Maximum number of objects and arrays: enough for 100,000 messages with two blocks each, as
/// Anthropic accepts.
const MAX_CONTAINERS: usize = 500_000;
/// Maximum number of values: items of arrays and fields of objects.
const MAX_VALUES: usize = 2_000_000;
/// Maximum number of messages or items of a conversation, as Anthropic accepts.
const MAX_MESSAGES: usize = 100_000;

/// Checks that `body` can be parsed in reasonable memory. Invalid JSON is not detected here.
///
/// # Errors
/// Fails if it has too many objects, arrays or values.
pub(super) fn check(body: &[u8]) -> Result<(), InvalidRequest> {
    // Each container takes at least two bytes, so a shorter body cannot exceed the limit.
    if body.len() < 2 * MAX_CONTAINERS {
        return Ok(());
    }
    let mut containers = 0;
    let mut values = 0;
    let mut at = 0;
    while let Some(byte) = body.get(at) {
        at += 1;
        match byte {
            b'"' => at = end_of_string(body, at),
            b'{' | b'[' => containers += 1,
            b',' => values += 1,
            _ => {}
        }
        if containers > MAX_CONTAINERS {
            return Err(too_many("objects and arrays", MAX_CONTAINERS));
        }
        if values > MAX_VALUES {
            return Err(too_many("values", MAX_VALUES));
        }
    }
    Ok(())
}

/// Returns the position behind the closing quote of the string that begins at `at`.
fn end_of_string(body: &[u8], mut at: usize) -> usize {
    while let Some(distance) = body.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        at += distance + 1;
        if body.get(at - 1) == Some(&b'"') {
            return at;
        }
        // Skip the escaped character.
        at += 1;
    }
    body.len()
}

fn too_many(what: &str, max: usize) -> InvalidRequest {
    InvalidRequest::body(format!(
        "The body has more than {max} {what}, and no request may have more. Send a shorter conversation, or join its small parts."
    ))
}

/// Checks that the conversation in the field `name` is not too long.
///
/// # Errors
/// Fails if it has too many messages.
pub fn check_length(name: &str, messages: usize) -> Result<(), InvalidRequest> {
    if messages <= MAX_MESSAGES {
        return Ok(());
    }
    let message = format!(
        "`{name}`: {messages} are more than the {MAX_MESSAGES} that a request may have. Send a shorter conversation."
    );
    Err(InvalidRequest::at(name, super::code::VALUE, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(body: &str) -> String {
        check(body.as_bytes()).expect_err("refused").message
    }

    #[test]
    fn body_with_too_much_structure_is_rejected() {
        assert!(refusal(&format!("[{}]", "{},".repeat(MAX_CONTAINERS))).contains("500000 objects"));
        assert!(refusal(&format!("[{}]", "[],".repeat(MAX_CONTAINERS))).contains("500000 objects"));
        assert!(refusal(&format!("[{}0]", "0,".repeat(MAX_VALUES + 1))).contains("2000000 values"));
        assert!(refusal(&"[".repeat(2 * MAX_CONTAINERS)).contains("500000 objects"));
    }

    #[test]
    fn structure_characters_in_strings_do_not_count() {
        for text in [
            "{[,".repeat(MAX_VALUES),
            r#"\"{,\\"#.repeat(MAX_VALUES),
            "x".repeat(1 << 20),
        ] {
            check(format!(r#"{{"messages":[{{"content":"{text}"}}]}}"#).as_bytes()).unwrap();
            check(format!(r#"{{"content":"{text}"#).as_bytes()).unwrap();
        }
    }

    #[test]
    fn longest_conversation_accepted_by_anthropic_passes() {
        let message =
            r#"{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}"#;
        check(
            format!(
                r#"{{"messages":[{}]}}"#,
                vec![message; MAX_MESSAGES].join(",")
            )
            .as_bytes(),
        )
        .unwrap();
        check_length("messages", MAX_MESSAGES).unwrap();
        assert!(
            check_length("messages", MAX_MESSAGES + 1)
                .unwrap_err()
                .message
                .contains("100001")
        );
    }
}
