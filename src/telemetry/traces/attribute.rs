//! Values of attributes, with bounded lengths.

/// Maximum length of a text, in bytes.
const MAX_TEXT_LENGTH: usize = 512;
/// Maximum number of texts in a list.
const MAX_TEXTS: usize = 16;

/// Name and value of an attribute of a span.
pub(super) type Attribute = (&'static str, AttributeValue);

/// Value of an attribute of a span. Texts are cut to a bounded length where they are converted.
#[derive(Debug, Clone, PartialEq)]
pub enum AttributeValue {
    /// Text of a bounded length.
    Text(String),
    /// True or false.
    Flag(bool),
    /// Whole number.
    Integer(i64),
    /// Number with a fraction.
    Float(f64),
    /// Bounded list of texts.
    Texts(Vec<String>),
}

impl From<&str> for AttributeValue {
    fn from(text: &str) -> Self {
        Self::Text(truncate_text(text).to_owned())
    }
}

impl From<String> for AttributeValue {
    fn from(mut text: String) -> Self {
        text.truncate(truncate_text(&text).len());
        Self::Text(text)
    }
}

impl From<bool> for AttributeValue {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<i64> for AttributeValue {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<u64> for AttributeValue {
    fn from(number: u64) -> Self {
        Self::Integer(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<u32> for AttributeValue {
    fn from(number: u32) -> Self {
        Self::Integer(number.into())
    }
}

impl From<u16> for AttributeValue {
    fn from(number: u16) -> Self {
        Self::Integer(number.into())
    }
}

impl From<f64> for AttributeValue {
    fn from(number: f64) -> Self {
        Self::Float(number)
    }
}

impl From<&[&str]> for AttributeValue {
    fn from(texts: &[&str]) -> Self {
        let texts = texts.iter().take(MAX_TEXTS);
        Self::Texts(texts.map(|text| truncate_text(text).to_owned()).collect())
    }
}

/// Returns the beginning of `text` that an attribute may have, cut at a character.
pub(super) fn truncate_text(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT_LENGTH)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_at_a_character() {
        let long = "ä".repeat(300);
        assert_eq!(truncate_text(&long), "ä".repeat(256));
        assert_eq!(
            truncate_text(&format!("a{long}")),
            format!("a{}", "ä".repeat(255))
        );
        assert_eq!(truncate_text("short"), "short");
        let AttributeValue::Text(text) = AttributeValue::from(long) else {
            panic!("a text");
        };
        assert_eq!(text.len(), 512);
        let many = ["a"; 20];
        let AttributeValue::Texts(texts) = AttributeValue::from(&many[..]) else {
            panic!("texts");
        };
        assert_eq!(texts.len(), 16);
        assert_eq!(
            AttributeValue::from(u64::MAX),
            AttributeValue::Integer(i64::MAX)
        );
    }
}
