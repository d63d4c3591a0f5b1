//! Ids that callers choose.

const MAX_LENGTH: usize = 64;

/// True if `id` is allowed as an id chosen by a caller: 1 to 64 ASCII letters, digits, `-`, `_` and
/// `.`, beginning with a letter or digit.
///
/// Such an id is safe in paths and storage keys, and is never a relative path.
pub fn is_chosen_id(id: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let begins = id.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
    begins && id.len() <= MAX_LENGTH && id.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::is_chosen_id;

    #[test]
    fn chosen_id_rejects_path_syntax_and_overlong_ids() {
        for id in ["my-app", "test-123", "7", "a.b_C", &"x".repeat(64)] {
            assert!(is_chosen_id(id), "{id}");
        }
        for id in [
            "",
            ".",
            "..",
            "-a",
            "_a",
            "a b",
            "a/b",
            "a%2f",
            "ä",
            "a\0",
            &"x".repeat(65),
        ] {
            assert!(!is_chosen_id(id), "{id}");
        }
    }
}
