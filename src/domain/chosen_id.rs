//! Ids that callers choose.

/// The longest id that a caller may choose, in characters.
const LONGEST: usize = 64;

/// Whether a caller may choose `id`: 1 to 64 letters, digits, `-`, `_` and `.` of ASCII, the first a letter or a digit. So it
/// stands in paths and in records as it is, and is no relative path.
pub fn is_chosen_id(id: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let begins = id.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
    begins && id.len() <= LONGEST && id.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::is_chosen_id;

    #[test]
    fn what_a_path_would_read_otherwise_is_no_id() {
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
