//! Web search options of `OpenAI`'s APIs.

use serde_json::Map;
use serde_json::Value;

use crate::api::request_schema::Field;
use crate::api::request_schema::FieldType;
use crate::api::request_schema::FieldType::Text;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::ObjectReader;
use crate::api::request_schema::ObjectSchema;
use crate::api::request_schema::RemarkCollector;
use crate::api::request_schema::honoured;
use crate::api::request_schema::ignored;
use crate::domain::WebSearch;

const CITY: Field = honoured("city", Text, "Sent to the search.");
const REGION: Field = honoured("region", Text, "Sent to the search.");
const COUNTRY: Field = honoured("country", Text, "Sent to the search.");
const TIMEZONE: Field = honoured("timezone", Text, "Sent to the search.");
const LOCATION_TYPE: Field = honoured("type", Text, "`approximate`.").one_of(&["approximate"]);

/// Field for the amount of search results that the model reads.
pub(in crate::api::openai) const CONTEXT_SIZE: Field = ignored(
    "search_context_size",
    Text,
    "Anthropic's search has no such parameter.",
)
.with_no_op(&["\"medium\""]);

/// Fields of `web_search_options` in chat.
pub(in crate::api::openai) static OPTIONS: ObjectSchema = ObjectSchema {
    prefix: "web_search_options.",
    fields: &[
        honoured(
            "user_location",
            FieldType::Object,
            "Where the user is, for the search.",
        )
        .with_inner(&CHAT_LOCATION),
        CONTEXT_SIZE,
    ],
};

/// Fields of `user_location` in chat, which nests the place one level deeper than Responses.
static CHAT_LOCATION: ObjectSchema = ObjectSchema {
    prefix: "web_search_options.user_location.",
    fields: &[
        LOCATION_TYPE,
        honoured("approximate", FieldType::Object, "The place.").with_inner(&CHAT_PLACE),
    ],
};

/// Fields of the place in chat.
static CHAT_PLACE: ObjectSchema = ObjectSchema {
    prefix: "web_search_options.user_location.approximate.",
    fields: &[CITY, REGION, COUNTRY, TIMEZONE],
};

/// Fields of `user_location` of a web search tool in Responses.
pub(in crate::api::openai) static LOCATION: ObjectSchema = ObjectSchema {
    prefix: "tools[].user_location.",
    fields: &[LOCATION_TYPE, CITY, REGION, COUNTRY, TIMEZONE],
};

/// Field tables of chat.
#[cfg(test)]
pub(in crate::api::openai) const CHAT_TABLES: [&ObjectSchema; 3] =
    [&OPTIONS, &CHAT_LOCATION, &CHAT_PLACE];

/// Field tables of Responses.
#[cfg(test)]
pub(in crate::api::openai) const RESPONSES_TABLES: [&ObjectSchema; 1] = [&LOCATION];

/// Reads `web_search_options` of a chat request.
pub(in crate::api::openai) fn read_chat_options(
    mut options: ObjectReader,
    ignored: &mut RemarkCollector,
) -> Result<WebSearch, InvalidRequest> {
    let location = options.take_object("user_location")?;
    options.finish(ignored)?;
    let Some(mut location) = location else {
        return Ok(WebSearch::default());
    };
    location.take("type")?;
    let approximate = location.take_object("approximate")?;
    location.finish(ignored)?;
    let user_location = approximate
        .map(|place| read_place(place, ignored))
        .transpose()?
        .flatten();
    Ok(WebSearch {
        user_location,
        ..WebSearch::default()
    })
}

/// Takes `user_location` of a web search tool in Responses; returns it as JSON in Anthropic's form.
pub(in crate::api::openai) fn take_location(
    tool: &mut ObjectReader,
    ignored: &mut RemarkCollector,
) -> Result<Option<String>, InvalidRequest> {
    let Some(mut location) = tool.take_object("user_location")? else {
        return Ok(None);
    };
    location.take("type")?;
    read_place(location, ignored)
}

fn read_place(
    mut place: ObjectReader,
    ignored: &mut RemarkCollector,
) -> Result<Option<String>, InvalidRequest> {
    let mut fields = Map::new();
    for name in ["city", "region", "country", "timezone"] {
        if let Some(text) = place.take_text(name)? {
            fields.insert(name.to_owned(), Value::from(text));
        }
    }
    place.finish(ignored)?;
    Ok((!fields.is_empty()).then(|| {
        fields.insert("type".to_owned(), Value::from("approximate"));
        Value::Object(fields).to_string()
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use serde_json::json;

    use crate::api::openai::chat::decode;
    use crate::api::request_schema::InvalidRequest;
    use crate::api::request_schema::Policy;
    use crate::domain::WebSearch;

    fn search(options: &Value) -> Result<(Option<WebSearch>, Vec<String>), InvalidRequest> {
        let messages = [json!({"role": "user", "content": "x"})];
        let body = json!({"model": "m", "messages": messages, "web_search_options": options});
        let request = decode(body.to_string().as_bytes(), Policy::Lenient)?;
        Ok((request.turn.tools.web_search, request.remarks.ignored))
    }

    #[test]
    fn web_search_options_are_read_refused_or_reported() {
        let place = json!({"city": "Bern", "country": "CH", "region": null, "street": "x"});
        let options = json!({
            "search_context_size": "low", "new": 1,
            "user_location": {"type": "approximate", "approximate": place},
        });
        let (found, ignored) = search(&options).unwrap();
        let location = found.unwrap().user_location;
        assert_eq!(
            location.as_deref(),
            Some(r#"{"city":"Bern","country":"CH","type":"approximate"}"#)
        );
        let names = [
            "new",
            "search_context_size",
            "user_location.approximate.street",
        ];
        assert_eq!(
            ignored,
            names.map(|name| format!("web_search_options.{name}"))
        );
        for (location, param) in [
            (json!({"type": "exact"}), "type"),
            (json!({"approximate": {"city": 1}}), "approximate.city"),
        ] {
            let param = format!("web_search_options.user_location.{param}");
            assert_eq!(
                search(&json!({"user_location": location}))
                    .unwrap_err()
                    .param,
                Some(param)
            );
        }
    }

    #[test]
    fn function_named_web_search_is_refused() {
        let tools = [json!({"type": "function", "function": {"name": "web_search"}})];
        let messages = [json!({"role": "user", "content": "x"})];
        let body =
            json!({"model": "m", "messages": messages, "tools": tools, "web_search_options": {}});
        let error = decode(body.to_string().as_bytes(), Policy::Lenient).unwrap_err();
        assert_eq!(error.param.as_deref(), Some("web_search_options"));
    }
}
