//! The bodies of `/v1/models`.

use serde::Serialize;

use super::json;
use crate::domain::TokenLimits;

/// The `created` of every model: 2025-01-01T00:00:00Z.
///
/// Clients want an integer, and nothing tells when a model behind the CLI came to be; a constant keeps lists equal.
pub const CREATED: u32 = 1_735_689_600;

/// A model that clients may name.
#[derive(Debug, Clone, Copy)]
pub struct Listed<'a> {
    /// The value for `model` in requests.
    pub name: &'a str,
    /// Whose it is.
    pub owned_by: &'a str,
    /// How many tokens it takes, if that is known.
    pub limits: Option<TokenLimits>,
}

#[derive(Serialize)]
struct List<'a> {
    object: &'static str,
    data: Vec<Model<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    models: Option<[(); 0]>,
}

/// `OpenAI` has no fields for limits; clients of other servers read these.
#[derive(Serialize)]
struct Model<'a> {
    id: &'a str,
    object: &'static str,
    created: u32,
    owned_by: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    context_length: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_output_tokens: Option<u32>,
}

/// The body of `GET /v1/models`. `for_codex` adds the empty list `models`.
///
/// Codex cannot read an answer without `models`. Each entry there would have to bring the instructions of its agent, in the place
/// of Codex's own; without an entry Codex keeps those.
pub fn list(models: &[Listed<'_>], for_codex: bool) -> String {
    let data = models.iter().map(Model::from).collect();
    json::to_string(&List {
        object: "list",
        data,
        models: for_codex.then_some([]),
    })
}

/// The body of `GET /v1/models/{model}`.
pub fn single(listed: &Listed<'_>) -> String {
    json::to_string(&Model::from(listed))
}

impl<'a> From<&Listed<'a>> for Model<'a> {
    fn from(listed: &Listed<'a>) -> Self {
        Self {
            id: listed.name,
            object: "model",
            created: CREATED,
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
    fn a_list_and_a_model() {
        let listed = |name, limits| Listed {
            name,
            owned_by: "anthropic",
            limits,
        };
        let limits = Some(TokenLimits {
            context: 9,
            output: 3,
        });
        assert_eq!(
            list(&[listed("sonnet", limits), listed("auto", None)], false),
            concat!(
                r#"{"object":"list","data":["#,
                r#"{"id":"sonnet","object":"model","created":1735689600,"owned_by":"anthropic","context_length":9,"max_output_tokens":3},"#,
                r#"{"id":"auto","object":"model","created":1735689600,"owned_by":"anthropic"}]}"#
            )
        );
        assert_eq!(
            single(&listed("opus", None)),
            r#"{"id":"opus","object":"model","created":1735689600,"owned_by":"anthropic"}"#
        );
        assert_eq!(list(&[], false), r#"{"object":"list","data":[]}"#);
        assert_eq!(
            list(&[], true),
            r#"{"object":"list","data":[],"models":[]}"#
        );
    }
}
