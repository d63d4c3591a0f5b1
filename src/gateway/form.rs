//! An answer that was asked for as JSON is JSON, or it has failed.
//!
//! Upstream binds the model to the form; this is the promise kept should it not. Whether JSON keeps to a schema is left to
//! upstream, which does not know every word of a schema.

use serde::de::IgnoredAny;

use crate::domain::Failure;
use crate::domain::FailureKind;
use crate::domain::Finish;
use crate::domain::FinishReason;
use crate::domain::Format;
use crate::domain::TurnEvent;

/// Follows the words of an answer.
#[derive(Debug)]
pub(super) struct Form {
    /// The answer so far, where it is to be JSON.
    json: Option<String>,
}

impl Form {
    /// Follows an answer that is to have the `format`.
    pub(super) fn new(format: &Format) -> Self {
        Self { json: (*format != Format::Text).then(String::new) }
    }

    /// Takes note of a step of the answer.
    pub(super) fn note(&mut self, event: &TurnEvent) {
        if let (Some(json), TurnEvent::Text(text)) = (&mut self.json, event) {
            json.push_str(text);
        }
    }

    /// Checks an answer that came to its `finish`. One that was cut off or refused, or that calls tools, says so itself.
    ///
    /// # Errors
    /// When it is no JSON.
    pub(super) fn check(&self, finish: &Finish) -> Result<(), Failure> {
        let is_whole = finish.reason == FinishReason::Stop && finish.stop_text.is_none();
        match &self.json {
            Some(json) if is_whole && serde_json::from_str::<IgnoredAny>(json).is_err() => Err(Failure::new(
                FailureKind::Upstream,
                "Claude's answer is not the JSON that was asked for. Try again.",
            )),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Schema;
    use crate::domain::Usage;

    fn is_good(format: &Format, text: &str, reason: FinishReason, stop_text: Option<&str>) -> bool {
        let mut form = Form::new(format);
        for piece in text.split_inclusive(' ') {
            form.note(&TurnEvent::Text(piece.to_owned()));
            form.note(&TurnEvent::Thinking("words".to_owned()));
        }
        let stop_text = stop_text.map(ToOwned::to_owned);
        form.check(&Finish { stop_text, ..Finish::new(reason, Usage::default()) }).is_ok()
    }

    #[test]
    fn only_a_whole_answer_must_be_json() {
        let schema = Schema { json: "{}".to_owned(), is_strict: false, is_native: false };
        let schema = Format::Schema(schema);
        for (text, expected) in
            [(r#"{"a": [1, 2]}"#, true), ("so: {}", false), (r#"{"a": "#, false), ("", false)]
        {
            assert_eq!(is_good(&Format::JsonObject, text, FinishReason::Stop, None), expected, "{text}");
            assert_eq!(is_good(&schema, text, FinishReason::Stop, None), expected, "{text}");
            assert!(is_good(&Format::Text, text, FinishReason::Stop, None));
            assert!(is_good(&schema, text, FinishReason::Stop, Some("]")));
            for reason in [FinishReason::Length, FinishReason::ContentFilter, FinishReason::ToolCalls] {
                assert!(is_good(&schema, text, reason, None));
            }
        }
    }
}
