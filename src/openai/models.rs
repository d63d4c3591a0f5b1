//! The bodies of `/v1/models`.

use async_openai::types::models::ListModelResponse;
use async_openai::types::models::Model;

use super::json;

/// The `created` of every model: 2025-01-01T00:00:00Z.
///
/// Clients want an integer, and nothing tells when a model behind the CLI came to be; a constant keeps lists equal.
pub const CREATED: u32 = 1_735_689_600;

/// The body of `GET /v1/models`. Each model is a pair of its name and its owner.
pub fn list(models: &[(&str, &str)]) -> String {
    let data = models.iter().map(|(name, owned_by)| model(name, owned_by)).collect();
    json::to_string(&ListModelResponse { object: "list".into(), data })
}

/// The body of `GET /v1/models/{model}`.
pub fn single(name: &str, owned_by: &str) -> String {
    json::to_string(&model(name, owned_by))
}

fn model(name: &str, owned_by: &str) -> Model {
    Model {
        id: name.into(),
        object: "model".into(),
        created: CREATED,
        owned_by: owned_by.into(),
        shutdown_date: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_and_a_model() {
        assert_eq!(
            list(&[("sonnet", "anthropic"), ("gpt-4o", "anthropic")]),
            concat!(
                r#"{"object":"list","data":["#,
                r#"{"id":"sonnet","object":"model","created":1735689600,"owned_by":"anthropic"},"#,
                r#"{"id":"gpt-4o","object":"model","created":1735689600,"owned_by":"anthropic"}]}"#
            )
        );
        assert_eq!(
            single("opus", "anthropic"),
            r#"{"id":"opus","object":"model","created":1735689600,"owned_by":"anthropic"}"#
        );
        assert_eq!(list(&[]), r#"{"object":"list","data":[]}"#);
    }
}
