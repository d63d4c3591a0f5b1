//! Calls of tools that Anthropic runs, as items.

use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;

use super::types::Item;
use super::types::Status;
use crate::domain::CalledTool;
use crate::domain::Outcome;

/// A search of the web.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Search {
    /// Always `search`.
    pub r#type: String,
    /// What was searched for.
    pub query: String,
    /// What was found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<SearchSource>,
}

/// Something that a search has found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SearchSource {
    /// Always `url`.
    pub r#type: String,
    /// The URL of the source.
    pub url: String,
}

/// A call as far as it is known.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ServerCall {
    /// By which its result names it.
    pub(super) id: String,
    pub(super) tool: CalledTool,
    /// Its input so far, as JSON.
    pub(super) input: String,
    /// What came of it, once it is over.
    pub(super) outcome: Option<Outcome>,
}

impl ServerCall {
    /// A call that begins.
    pub(super) fn new(id: &str, tool: &CalledTool) -> Self {
        Self { id: id.to_owned(), tool: tool.clone(), input: String::new(), outcome: None }
    }

    /// What the names of items of its type begin with.
    pub(super) fn prefix(&self) -> &'static str {
        match self.tool {
            CalledTool::Search => "ws",
        }
    }

    /// The events that tell that it has begun.
    pub(super) fn beginning(&self) -> &'static [&'static str] {
        match self.tool {
            CalledTool::Search => {
                &["response.web_search_call.in_progress", "response.web_search_call.searching"]
            }
        }
    }

    /// The event that tells that it has ended with `status`, where `OpenAI` has one.
    pub(super) fn ending(&self, status: Status) -> Option<&'static str> {
        match (&self.tool, status) {
            (CalledTool::Search, Status::Completed) => Some("response.web_search_call.completed"),
            (CalledTool::Search, _) => None,
        }
    }

    /// How it has ended, in an answer that goes on or ends with `status`.
    pub(super) fn status(&self, status: Status) -> Status {
        match &self.outcome {
            Some(outcome) if outcome.is_failed => Status::Failed,
            Some(_) => Status::Completed,
            None if status == Status::Completed => Status::Incomplete,
            None => status,
        }
    }

    /// The item called `id`.
    pub(super) fn item(&self, id: String, status: Status) -> Item {
        let texts =
            self.outcome.iter().filter(|outcome| !outcome.is_failed).flat_map(|outcome| &outcome.texts);
        let input = serde_json::from_str::<Value>(&self.input).unwrap_or_default();
        match self.tool {
            CalledTool::Search => {
                let query = input["query"].as_str().unwrap_or_default().to_owned();
                let source = |url: &String| SearchSource { r#type: "url".to_owned(), url: url.clone() };
                let sources = texts.map(source).collect();
                Item::WebSearchCall {
                    id,
                    status,
                    action: Search { r#type: "search".to_owned(), query, sources },
                }
            }
        }
    }
}
