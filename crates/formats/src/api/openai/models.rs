//! Response bodies of `/v1/models`.

use serde::Serialize;

use super::json;
use crate::domain::TokenLimits;

/// Value of `created` of every model: 2025-01-01T00:00:00Z.
///
/// Clients require an integer, and the CLI reports no date; a constant keeps lists equal.
pub const MODEL_CREATED_AT: u32 = 1_735_689_600;

/// Model that clients may name in requests.
#[derive(Debug, Clone, Copy)]
pub struct ModelEntry<'a> {
    /// Value for `model` in requests.
    pub name: &'a str,
    /// Owner of the model, as the list reports it.
    pub owned_by: &'a str,
    /// Token limits of the model, if they are known.
    pub limits: Option<TokenLimits>,
}

#[derive(Serialize)]
struct OpenAiModelList<'a> {
    object: &'static str,
    data: Vec<OpenAiModel<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    models: Option<[(); 0]>,
}

/// Model object. The limits are an extension that clients of other servers read.
#[derive(Serialize)]
struct OpenAiModel<'a> {
    id: &'a str,
    object: &'static str,
    created: u32,
    owned_by: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    context_length: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_output_tokens: Option<u32>,
}

/// Returns the body of `GET /v1/models`; `for_codex` adds the empty list `models`.
///
/// Codex cannot read a response without `models`. An entry there would have to carry agent
/// instructions that replace Codex's own; with an empty list Codex keeps them.
pub fn list_body(models: &[ModelEntry<'_>], for_codex: bool) -> String {
    let data = models.iter().map(OpenAiModel::from).collect();
    json::to_string(&OpenAiModelList {
        object: "list",
        data,
        models: for_codex.then_some([]),
    })
}

/// Returns the body of `GET /v1/models/{model}`.
pub fn model_body(listed: &ModelEntry<'_>) -> String {
    json::to_string(&OpenAiModel::from(listed))
}

impl<'a> From<&ModelEntry<'a>> for OpenAiModel<'a> {
    fn from(listed: &ModelEntry<'a>) -> Self {
        Self {
            id: listed.name,
            object: "model",
            created: MODEL_CREATED_AT,
            owned_by: listed.owned_by,
            context_length: listed.limits.map(|limits| limits.context),
            max_output_tokens: listed.limits.map(|limits| limits.output),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn model_and_list_have_the_bodies_of_openai() {
        let listed = |name, limits| ModelEntry {
            name,
            owned_by: "anthropic",
            limits,
        };
        let limits = Some(TokenLimits {
            context: 9,
            output: 3,
        });
        assert_eq!(
            list_body(&[listed("sonnet", limits), listed("auto", None)], false),
            concat!(
                r#"{"object":"list","data":["#,
                r#"{"id":"sonnet","object":"model","created":1735689600,"owned_by":"anthropic","context_length":9,"max_output_tokens":3},"#,
                r#"{"id":"auto","object":"model","created":1735689600,"owned_by":"anthropic"}]}"#
            )
        );
        assert_eq!(
            model_body(&listed("opus", None)),
            r#"{"id":"opus","object":"model","created":1735689600,"owned_by":"anthropic"}"#
        );
        assert_eq!(list_body(&[], false), r#"{"object":"list","data":[]}"#);
        assert_eq!(
            list_body(&[], true),
            r#"{"object":"list","data":[],"models":[]}"#
        );
    }
}
