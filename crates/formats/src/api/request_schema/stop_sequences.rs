//! Stop sequences of a request.

use serde_json::Value;

use super::error::InvalidRequest;
use super::error::code;
use super::field_type::FieldType;
use super::remarks::RemarkCollector;

/// Reads the stop sequences in `value` of `field`: a string or an array of strings. Empty ones,
/// which would end every answer, are dropped and reported.
///
/// # Errors
/// Fails if one is not a string, and under the strict policy if one is empty.
pub fn parse_stop_sequences(
    field: &str,
    value: Option<Value>,
    ignored: &mut RemarkCollector,
) -> Result<Vec<String>, InvalidRequest> {
    let texts: Vec<_> = match value {
        None => Vec::new(),
        Some(Value::Array(texts)) => {
            let numbered = texts.into_iter().enumerate();
            numbered
                .map(|(index, text)| (format!("{field}[{index}]"), text))
                .collect()
        }
        Some(text) => vec![(field.to_owned(), text)],
    };
    let mut stops = Vec::new();
    for (path, text) in texts {
        FieldType::Text.check(&text, || path.clone())?;
        match text {
            Value::String(text) if !text.is_empty() => stops.push(text),
            _ => {
                let message =
                    format!("`{path}` is empty, and no answer can end at that. Remove it.");
                ignored.drop_unsupported(
                    field.to_owned(),
                    InvalidRequest::at(path, code::VALUE, message),
                )?;
            }
        }
    }
    Ok(stops)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::request_schema::Policy;

    #[test]
    fn empty_stop_sequences_are_dropped_and_reported() {
        let mut ignored = RemarkCollector::new(Policy::Lenient);
        let stops =
            parse_stop_sequences("stop", Some(json!(["a", "", "\n"])), &mut ignored).unwrap();
        assert_eq!(
            (stops, ignored.into_remarks().ignored),
            (texts(&["a", "\n"]), texts(&["stop"]))
        );
        let mut strict = RemarkCollector::new(Policy::Strict);
        for (value, path) in [(json!(["a", ""]), "stop[1]"), (json!(""), "stop")] {
            let refusal = parse_stop_sequences("stop", Some(value), &mut strict).unwrap_err();
            assert_eq!(refusal.param.as_deref(), Some(path));
        }
        assert_eq!(
            parse_stop_sequences("stop", Some(json!("\n")), &mut strict).unwrap(),
            ["\n"]
        );
    }

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }
}
