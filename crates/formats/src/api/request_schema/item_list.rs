//! Array of a request whose items are parsed one at a time.
//!
//! A parsed object takes many times the memory of a short text, because the map that it becomes has
//! room for more fields. A conversation of 100,000 messages is therefore never parsed as a whole:
//! each message is decoded, and its map dropped, before the next one is parsed.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::error::InvalidRequest;

/// Items of an array, borrowed from the body as the client wrote them.
#[derive(Debug)]
pub struct ItemList<'a> {
    name: &'static str,
    items: Vec<&'a RawValue>,
}

impl<'a> ItemList<'a> {
    /// Splits the field `name` into its items; `None` if it is not an array.
    pub(super) fn split(name: &'static str, raw: &'a RawValue) -> Option<Self> {
        let items = serde_json::from_str(raw.get()).ok()?;
        Some(Self { name, items })
    }

    /// Returns the number of items.
    #[must_use]
    pub fn count(&self) -> usize {
        self.items.len()
    }

    /// Reads the part of each item that `T` names; `None` for an item of another form.
    pub fn peek_all<T: Deserialize<'a>>(&self) -> impl Iterator<Item = Option<T>> {
        self.items
            .iter()
            .map(|item| serde_json::from_str(item.get()).ok())
    }

    /// Parses the items in their order, each when the iterator reaches it.
    pub fn parse_each(self) -> impl Iterator<Item = Result<Value, InvalidRequest>> {
        let name = self.name;
        self.items
            .into_iter()
            .enumerate()
            .map(move |(index, item)| {
                serde_json::from_str(item.get()).map_err(|error| {
                    // Only what the first pass over the body does not look at: numbers out of range,
                    // depth, escapes.
                    let message = format!("`{name}[{index}]` is not valid JSON: {error}.");
                    InvalidRequest::body(message)
                })
            })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Policy;
    use super::super::RemarkCollector;
    use super::super::body::parse_request_with_items;
    use super::super::schema::ObjectSchema;
    use super::*;

    static TABLE: ObjectSchema = ObjectSchema {
        prefix: "",
        fields: &[],
    };

    fn items(body: &str) -> Option<Vec<Result<Value, String>>> {
        let (request, items) =
            parse_request_with_items(body.as_bytes(), &TABLE, "`list`", "list").unwrap();
        request
            .finish(&mut RemarkCollector::new(Policy::Lenient))
            .unwrap();
        let parsed = items?.parse_each();
        Some(
            parsed
                .map(|item| item.map_err(|error| error.message))
                .collect(),
        )
    }

    #[test]
    fn items_are_those_of_the_last_field_of_the_name() {
        let body = r#" {"list": 1, "a": {"list": [3]}, "l\u0069st": [ 1 , {"b": "]"} ]} "#;
        assert_eq!(
            items(body).unwrap(),
            [Ok(Value::from(1)), Ok(serde_json::json!({"b": "]"}))]
        );
    }

    #[test]
    fn field_that_is_not_an_array_stays_in_the_reader() {
        for body in ["{}", r#"{"list": null}"#, r#"{"list": "a"}"#] {
            assert_eq!(items(body), None, "{body}");
        }
    }

    #[test]
    fn invalid_item_is_named() {
        let body = format!(r#"{{"list": [0, {}{}]}}"#, "[".repeat(200), "]".repeat(200));
        let refusal = items(&body).unwrap().pop().unwrap().unwrap_err();
        assert!(
            refusal.starts_with("`list[1]` is not valid JSON: recursion limit"),
            "{refusal}"
        );
    }
}
