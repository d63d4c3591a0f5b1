//! Calls of server tools, which Anthropic runs, as output items and their stream events.

use serde_json::Value;

use super::events::Body;
use super::events::Told;
use super::server_types::CodeOutput;
use super::server_types::McpError;
use super::server_types::McpText;
use super::server_types::Search;
use super::server_types::SearchSource;
use super::types::Item;
use super::types::Status;
use crate::domain::CalledTool;
use crate::domain::Outcome;

/// Server tool call in progress.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ServerCall {
    /// Id by which the result refers to the call.
    pub(super) id: String,
    tool: CalledTool,
    /// JSON input received so far.
    input: String,
    /// True if the events with the code are emitted.
    has_code: bool,
    /// Result of the call, once it has arrived.
    pub(super) outcome: Option<Outcome>,
}

const NOTHING: Body = Body::Nothing {};

impl ServerCall {
    /// Creates a call without input.
    pub(super) fn new(id: &str, tool: &CalledTool) -> Self {
        Self {
            id: id.to_owned(),
            tool: tool.clone(),
            input: String::new(),
            has_code: false,
            outcome: None,
        }
    }

    /// Returns the id prefix of items of this type.
    pub(super) fn prefix(&self) -> &'static str {
        match self.tool {
            CalledTool::Search => "ws",
            CalledTool::Code => "ci",
            CalledTool::Mcp { .. } => "mcp",
        }
    }

    /// Buffers a piece of the input until the item is opened.
    pub(super) fn keep(&mut self, piece: &str) {
        self.input.push_str(piece);
    }

    /// Returns the first events of the item, with those of the buffered input.
    pub(super) fn begin(&mut self) -> Vec<Told> {
        let mut told = match self.tool {
            CalledTool::Search => vec![
                ("response.web_search_call.in_progress", NOTHING),
                ("response.web_search_call.searching", NOTHING),
            ],
            CalledTool::Code => vec![("response.code_interpreter_call.in_progress", NOTHING)],
            CalledTool::Mcp { .. } => vec![("response.mcp_call.in_progress", NOTHING)],
        };
        let kept = std::mem::take(&mut self.input);
        told.extend(self.push(&kept));
        told
    }

    /// Appends a piece of the input; returns its events. Code is emitted as a whole, since a piece
    /// of JSON is not a piece of code.
    pub(super) fn push(&mut self, piece: &str) -> Vec<Told> {
        self.input.push_str(piece);
        match self.tool {
            CalledTool::Mcp { .. } if !piece.is_empty() => {
                vec![(
                    "response.mcp_call_arguments.delta",
                    Body::Delta {
                        delta: piece.to_owned(),
                    },
                )]
            }
            // Only a closing brace can complete the JSON, so other pieces are not parsed.
            CalledTool::Code if !self.has_code && piece.trim_end().ends_with('}') => {
                let Some(code) = self.code() else {
                    return Vec::new();
                };
                self.has_code = true;
                vec![
                    (
                        "response.code_interpreter_call_code.delta",
                        Body::Delta {
                            delta: code.clone(),
                        },
                    ),
                    (
                        "response.code_interpreter_call_code.done",
                        Body::Code { code },
                    ),
                    ("response.code_interpreter_call.interpreting", NOTHING),
                ]
            }
            CalledTool::Search | CalledTool::Code | CalledTool::Mcp { .. } => Vec::new(),
        }
    }

    /// Returns the final status and the final events. `status` is `Completed`, or the status of an
    /// answer that was cut short.
    pub(super) fn end(&mut self, status: Status) -> (Status, Vec<Told>) {
        let status = match &self.outcome {
            Some(outcome) if outcome.is_failed => Status::Failed,
            Some(_) => Status::Completed,
            None if status == Status::Completed => Status::Incomplete,
            None => status,
        };
        let mut told = Vec::new();
        if let CalledTool::Mcp { .. } = self.tool {
            if self.input.is_empty() && status != Status::Incomplete {
                told = self.push("{}");
            }
            told.push((
                "response.mcp_call_arguments.done",
                Body::Arguments {
                    arguments: self.input.clone(),
                },
            ));
        }
        let name = match (&self.tool, status) {
            (CalledTool::Search, Status::Completed) => Some("response.web_search_call.completed"),
            (CalledTool::Code, Status::Completed) => {
                Some("response.code_interpreter_call.completed")
            }
            (CalledTool::Mcp { .. }, Status::Completed) => Some("response.mcp_call.completed"),
            (CalledTool::Mcp { .. }, Status::Failed) => Some("response.mcp_call.failed"),
            // OpenAI has no such event; the status of the item reports it.
            _ => None,
        };
        told.extend(name.map(|name| (name, NOTHING)));
        (status, told)
    }

    /// Builds the output item with the id `id`.
    pub(super) fn item(&self, id: String, status: Status) -> Item {
        match &self.tool {
            CalledTool::Search => {
                let input = serde_json::from_str::<Value>(&self.input).unwrap_or_default();
                let query = input["query"].as_str().unwrap_or_default().to_owned();
                let source = |url: &String| SearchSource {
                    r#type: "url".to_owned(),
                    url: url.clone(),
                };
                let sources = self
                    .texts(false)
                    .into_iter()
                    .flatten()
                    .map(source)
                    .collect();
                let action = Search {
                    r#type: "search".to_owned(),
                    query,
                    sources,
                };
                Item::WebSearchCall { id, status, action }
            }
            CalledTool::Code => {
                let logs = |text: &String| CodeOutput::Logs { logs: text.clone() };
                let texts = self.outcome.as_ref().map(|outcome| &outcome.texts);
                let outputs = texts.map(|texts| texts.iter().map(logs).collect());
                Item::CodeInterpreterCall {
                    id,
                    status,
                    code: self.code(),
                    container_id: String::new(),
                    outputs,
                }
            }
            CalledTool::Mcp { server, tool } => {
                let text = |text: &String| McpText {
                    r#type: "text".to_owned(),
                    text: text.clone(),
                };
                let error = self
                    .texts(true)
                    .map(|texts| McpError::McpToolExecutionError {
                        content: texts.iter().map(text).collect(),
                    });
                Item::McpCall {
                    id,
                    status,
                    server_label: server.clone(),
                    name: tool.clone(),
                    arguments: self.input.clone(),
                    output: self.texts(false).map(|texts| texts.join("\n")),
                    error,
                    approval_request_id: (),
                }
            }
        }
    }

    /// Returns the result texts, if the call has failed or succeeded as `is_failed` says.
    fn texts(&self, is_failed: bool) -> Option<&[String]> {
        let outcome = self
            .outcome
            .as_ref()
            .filter(|outcome| outcome.is_failed == is_failed)?;
        Some(&outcome.texts)
    }

    /// Returns the code in the input, once that is complete. A file edit has no code; its whole
    /// input is returned.
    fn code(&self) -> Option<String> {
        let input: Value = serde_json::from_str(&self.input).ok()?;
        let text = |name: &str| input.get(name)?.as_str().map(str::to_owned);
        let code = text("code").or_else(|| text("command").filter(|_| input.get("path").is_none()));
        Some(code.unwrap_or_else(|| self.input.clone()))
    }
}
