//! Raw JSON of a request.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// Raw JSON of a value in a request, as the client wrote it.
///
/// Preserves the client's order of keys for the model; a [`Value`] sorts the keys of objects. If an
/// object contains a key twice, the last one counts, as in a [`Value`].
#[derive(Debug, Clone, Copy, Default)]
pub struct RawJson<'a>(Option<&'a RawValue>);

impl<'a> RawJson<'a> {
    /// Wraps the whole of `body`; empty if that is not valid JSON.
    pub fn new(body: &'a [u8]) -> Self {
        Self(serde_json::from_slice(body).ok())
    }

    /// Returns the field `name` of this object.
    #[must_use]
    pub fn field(self, name: &str) -> Self {
        let fields: HashMap<Cow<'_, str>, &RawValue> = self.read().unwrap_or_default();
        Self(fields.get(name).copied())
    }

    /// Returns the items of this array.
    pub fn items(self) -> Vec<Self> {
        let items: Vec<&RawValue> = self.read().unwrap_or_default();
        items.into_iter().map(|item| Self(Some(item))).collect()
    }

    /// Returns the JSON without whitespace between tokens, in one line; falls back to `value`, the
    /// same value parsed.
    pub fn to_compact(self, value: &Value) -> String {
        self.0
            .map_or_else(|| value.to_string(), |raw| compact(raw.get()))
    }

    fn read<T: Deserialize<'a>>(self) -> Option<T> {
        serde_json::from_str(self.0?.get()).ok()
    }
}

/// Removes the whitespace between the tokens of `json`.
fn compact(json: &str) -> String {
    let mut is_text = false;
    let mut is_escaped = false;
    let keep = |character: &char| {
        let is_quote = *character == '"' && !is_escaped;
        is_escaped = is_text && *character == '\\' && !is_escaped;
        is_text ^= is_quote;
        is_text || !character.is_ascii_whitespace()
    };
    json.chars().filter(keep).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn raw_json_keeps_the_clients_order_of_keys() {
        let body = br#"{"a": 1, "tools": [{"x": null}, {"schema": {"z": [1.0, "a \" b\\"], "b" : "\n" }}], "b": {}}"#;
        let tools = RawJson::new(body).field("tools").items();
        assert_eq!(tools.len(), 2);
        assert_eq!(
            tools[1].field("schema").to_compact(&json!(0)),
            r#"{"z":[1.0,"a \" b\\"],"b":"\n"}"#
        );
    }

    #[test]
    fn raw_json_falls_back_to_the_parsed_value() {
        let body = RawJson::new(br#"{"a": 1}"#);
        assert_eq!(body.field("b").to_compact(&json!({"x": 1})), r#"{"x":1}"#);
        assert!(body.items().is_empty() && RawJson::new(b"{").field("a").items().is_empty());
    }

    #[test]
    fn raw_json_uses_the_last_of_duplicate_keys() {
        assert_eq!(
            RawJson::new(br#"{"a":1,"\u0061":2}"#)
                .field("a")
                .to_compact(&json!(0)),
            "2"
        );
    }

    proptest! {
        #[test]
        fn compact_json_equals_serialized_value(texts in proptest::collection::vec(any::<String>(), 0..4)) {
            let value = json!({"a": texts, "b": {"c": [1, null, true, -0.5]}});
            let pretty = serde_json::to_string_pretty(&value).unwrap();
            prop_assert_eq!(RawJson::new(pretty.as_bytes()).to_compact(&Value::Null), value.to_string());
        }
    }
}
