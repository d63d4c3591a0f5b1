//! Bodies of `/v1/models`.

use serde::Serialize;

use super::json;

/// Release date that Anthropic's API gives for an unknown one; the CLI does not report any.
const UNKNOWN_RELEASE_DATE: &str = "1970-01-01T00:00:00Z";

#[derive(Serialize)]
struct AnthropicModel<'a> {
    r#type: &'static str,
    id: &'a str,
    display_name: &'a str,
    created_at: &'static str,
}

#[derive(Serialize)]
struct AnthropicModelList<'a> {
    data: Vec<AnthropicModel<'a>>,
    has_more: bool,
    first_id: Option<&'a str>,
    last_id: Option<&'a str>,
}

/// Returns the body of `GET /v1/models`: all models on one page.
pub fn list(names: &[&str]) -> String {
    let data = names.iter().map(|name| model(name)).collect();
    let first_id = names.first().copied();
    let last_id = names.last().copied();
    json::to_string(&AnthropicModelList {
        data,
        has_more: false,
        first_id,
        last_id,
    })
}

/// Returns the body of `GET /v1/models/{model}`.
pub fn single(name: &str) -> String {
    json::to_string(&model(name))
}

fn model(name: &str) -> AnthropicModel<'_> {
    AnthropicModel {
        r#type: "model",
        id: name,
        display_name: name,
        created_at: UNKNOWN_RELEASE_DATE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn model_bodies_have_anthropics_format() {
        assert_eq!(
            list(&["opus", "gpt-4o"]),
            concat!(
                r#"{"data":[{"type":"model","id":"opus","display_name":"opus","created_at":"1970-01-01T00:00:00Z"},"#,
                r#"{"type":"model","id":"gpt-4o","display_name":"gpt-4o","created_at":"1970-01-01T00:00:00Z"}],"#,
                r#""has_more":false,"first_id":"opus","last_id":"gpt-4o"}"#
            )
        );
        assert_eq!(
            list(&[]),
            r#"{"data":[],"has_more":false,"first_id":null,"last_id":null}"#
        );
        assert!(single("opus").starts_with(r#"{"type":"model","id":"opus","#));
    }
}
