//! Validation of JSON against a schema.

use jsonschema::ValidationError;
use jsonschema::Validator;
use jsonschema::error::ValidationErrorKind;
use serde_json::Value;

/// Maximum length, in characters, of a schema path in a message.
const MAX_PLACE_CHARACTERS: usize = 200;

/// Compiled schema that JSON is validated against; `None` accepts everything.
#[derive(Debug)]
pub(super) struct SchemaCheck(Option<Validator>);

impl SchemaCheck {
    /// Compiles `schema`. One that cannot be compiled, such as one that refers to another document,
    /// accepts everything.
    pub(super) fn new(schema: &str) -> Self {
        let schema: Option<Value> = serde_json::from_str(schema).ok();
        let validator = schema.and_then(|schema| jsonschema::validator_for(&schema).ok());
        if validator.is_none() {
            // The error is not logged, since it quotes the schema.
            tracing::warn!("schema not compiled, values pass unchecked");
        }
        Self(validator)
    }

    /// Returns a description of the first violation; `None` if `json` is valid.
    pub(super) fn violation(&self, json: &str) -> Option<String> {
        let validator = self.0.as_ref()?;
        let Ok(value) = serde_json::from_str::<Value>(json) else {
            return Some("it is no JSON".to_owned());
        };
        match validator.validate(&value) {
            Err(error) if !is_undecided(&error) => Some(describe_violation(&error)),
            _ => None,
        }
    }
}

/// True if the regex engine gave up on a pattern, which says nothing about the value.
fn is_undecided(error: &ValidationError<'_>) -> bool {
    matches!(
        error.kind(),
        ValidationErrorKind::BacktrackLimitExceeded { .. }
            | ValidationErrorKind::RegexEngineFailure { .. }
    )
}

/// Describes a violation by its path in the schema. The path in the value is left out, since its
/// names may be the model's words.
fn describe_violation(error: &ValidationError<'_>) -> String {
    let place = error.schema_path().as_str();
    let fit = |c: char| if c.is_control() || c == '`' { '?' } else { c };
    let place: String = place.chars().take(MAX_PLACE_CHARACTERS).map(fit).collect();
    format!("`{place}` is not met")
}
