//! Searches of the web, as `OpenAI`'s clients ask for them.

use serde_json::Map;
use serde_json::Value;

use crate::domain::WebSearch;

/// The search of the web near `location`, in either of the forms that `OpenAI` has for it.
pub(in crate::openai) fn near(location: Option<&Value>) -> WebSearch {
    // Chat has its fields one level deeper than Responses.
    let fields = location.map(|location| location.get("approximate").unwrap_or(location));
    let mut place = Map::new();
    for name in ["city", "region", "country", "timezone"] {
        if let Some(text) = fields.and_then(|fields| fields.get(name)?.as_str()) {
            place.insert(name.to_owned(), Value::from(text));
        }
    }
    let user_location = (!place.is_empty()).then(|| {
        place.insert("type".to_owned(), Value::from("approximate"));
        Value::Object(place).to_string()
    });
    WebSearch { user_location, ..WebSearch::default() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::near;

    #[test]
    fn both_forms_of_a_place_are_read() {
        let chat = json!({"type": "approximate", "approximate": {"city": "Bern", "country": "CH"}});
        let responses = json!({"type": "approximate", "city": "Bern", "country": "CH", "region": null});
        let expected = Some(r#"{"city":"Bern","country":"CH","type":"approximate"}"#.to_owned());
        for location in [chat, responses] {
            assert_eq!(near(Some(&location)).user_location, expected);
        }
        assert_eq!(near(None).user_location, None);
    }
}
