//! Whether JSON keeps to a schema.

use jsonschema::ValidationError;
use jsonschema::Validator;
use jsonschema::error::ValidationErrorKind;
use serde_json::Value;

/// The longest part of a message that names a place in a schema, in characters.
const LONGEST_PLACE: usize = 200;

/// A schema that JSON is checked against.
#[derive(Debug)]
pub(super) struct Keeping(Option<Validator>);

impl Keeping {
    /// Checks against `schema`. One that cannot be compiled here, as one that refers to another document, lets everything pass.
    pub(super) fn new(schema: &str) -> Self {
        let schema: Option<Value> = serde_json::from_str(schema).ok();
        let validator = schema.and_then(|schema| jsonschema::validator_for(&schema).ok());
        if validator.is_none() {
            // Not why: the reason quotes the schema.
            tracing::warn!("a schema cannot be compiled, nothing is checked against it");
        }
        Self(validator)
    }

    /// What is not kept to; none where `json` is good.
    pub(super) fn violation(&self, json: &str) -> Option<String> {
        let validator = self.0.as_ref()?;
        let Ok(value) = serde_json::from_str::<Value>(json) else {
            return Some("it is no JSON".to_owned());
        };
        match validator.validate(&value) {
            Err(error) if !is_undecided(&error) => Some(unmet(&error)),
            _ => None,
        }
    }
}

/// Whether a pattern was too much for the engine, which says nothing about the value.
fn is_undecided(error: &ValidationError<'_>) -> bool {
    matches!(
        error.kind(),
        ValidationErrorKind::BacktrackLimitExceeded { .. }
            | ValidationErrorKind::RegexEngineFailure { .. }
    )
}

/// The place in the schema that is not kept to. Not the place in the value, whose names may be the model's words.
fn unmet(error: &ValidationError<'_>) -> String {
    let place = error.schema_path().as_str();
    let fit = |c: char| if c.is_control() || c == '`' { '?' } else { c };
    let place: String = place.chars().take(LONGEST_PLACE).map(fit).collect();
    format!("`{place}` is not met")
}
