//! Models, their names and their token limits.

use std::fmt;

/// Name of a model as a caller or the configuration gives it: an id (`claude-sonnet-5-5`) or an
/// alias.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModelName(String);

impl ModelName {
    /// Accepts any text; the gateway checks whether such a model exists.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// Returns the name as given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Model of the CLI's catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// Alias in the CLI: `sonnet`.
    pub alias: String,
    /// Id of the alias: `claude-sonnet-5-5`.
    pub id: String,
    /// Name for display, such as `Sonnet`.
    pub display_name: String,
}

/// Returns the family in a model id: `haiku` of `claude-haiku-4-5-20251001`. An id that is not
/// Anthropic's is returned whole.
pub fn family_of(id: &str) -> &str {
    let is_word =
        |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphabetic());
    let family = id
        .split_once("claude-")
        .and_then(|(_, rest)| rest.split(['-', '[', '@']).find(is_word));
    family.unwrap_or(id)
}

/// Token limits of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenLimits {
    /// Maximum tokens of prompt and answer together.
    pub context: u32,
    /// Maximum tokens of the answer.
    pub output: u32,
}

impl TokenLimits {
    /// A million tokens, also requested by the suffix `[1m]` of a model name.
    const LONG_CONTEXT: u32 = 1_000_000;
    /// Limits by a part of the model id; the first match counts.
    const KNOWN: [(&str, u32, u32); 7] = [
        ("claude-3-haiku", 200_000, 4_096),
        ("claude-3", 200_000, 8_192),
        ("claude-opus-4-1", 200_000, 32_000),
        ("claude-opus-4-2", 200_000, 32_000),
        ("-4-5", 200_000, 64_000),
        ("claude-sonnet-4-2", 200_000, 64_000),
        ("claude-", Self::LONG_CONTEXT, 128_000),
    ];

    /// Returns the limits of the model with this id; `None` if they are not known.
    pub fn for_model(id: &str) -> Option<Self> {
        let (_, context, output) = *Self::KNOWN.iter().find(|(part, ..)| id.contains(part))?;
        Some(Self {
            context: if id.ends_with("[1m]") {
                Self::LONG_CONTEXT
            } else {
                context
            },
            output,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::TokenLimits;
    use super::family_of;

    #[test]
    fn family_is_the_word_in_the_model_id() {
        for (id, family) in [
            ("claude-haiku-4-5-20251001", "haiku"),
            ("claude-3-5-sonnet-20241022", "sonnet"),
            ("claude-opus-5-5[1m]", "opus"),
            ("us.anthropic.claude-sonnet-4-5-v1:0", "sonnet"),
            ("claude-sonnet-4-5@20250929", "sonnet"),
            ("claude-2", "claude-2"),
            ("haiku", "haiku"),
            ("unknown", "unknown"),
        ] {
            assert_eq!(family_of(id), family, "{id}");
        }
    }

    #[test]
    fn token_limits_are_matched_by_part_of_the_model_id() {
        for (id, expected) in [
            ("claude-sonnet-5-5", Some((1_000_000, 128_000))),
            ("claude-haiku-4-5-20251001", Some((200_000, 64_000))),
            ("claude-sonnet-4-5[1m]", Some((1_000_000, 64_000))),
            ("claude-opus-4-20250514", Some((200_000, 32_000))),
            ("claude-opus-4-8", Some((1_000_000, 128_000))),
            ("auto", None),
        ] {
            assert_eq!(
                TokenLimits::for_model(id).map(|limits| (limits.context, limits.output)),
                expected,
                "{id}"
            );
        }
    }
}
