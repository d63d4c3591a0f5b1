//! Calls of server tools, which Anthropic runs, as output items and their stream events.

use serde_json::Value;

use super::events::ItemEvent;
use super::events::ItemEventBody;
use super::server_types::CodeOutput;
use super::server_types::McpError;
use super::server_types::McpText;
use super::server_types::SearchAction;
use super::server_types::SearchSource;
use super::types::ResponseItem;
use super::types::ResponseStatus;
use crate::domain::CalledTool;
use crate::domain::ServerToolOutcome;

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
    pub(super) outcome: Option<ServerToolOutcome>,
}

const EMPTY_BODY: ItemEventBody = ItemEventBody::Nothing {};

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
    pub(super) fn id_prefix(&self) -> &'static str {
        match self.tool {
            CalledTool::Search => "ws",
            CalledTool::Code => "ci",
            CalledTool::Mcp { .. } => "mcp",
        }
    }

    /// Buffers a piece of the input until the item is opened.
    pub(super) fn buffer_input(&mut self, piece: &str) {
        self.input.push_str(piece);
    }

    /// Returns the first events of the item, with those of the buffered input.
    pub(super) fn begin(&mut self) -> Vec<ItemEvent> {
        let mut events = match self.tool {
            CalledTool::Search => vec![
                ("response.web_search_call.in_progress", EMPTY_BODY),
                ("response.web_search_call.searching", EMPTY_BODY),
            ],
            CalledTool::Code => vec![("response.code_interpreter_call.in_progress", EMPTY_BODY)],
            CalledTool::Mcp { .. } => vec![("response.mcp_call.in_progress", EMPTY_BODY)],
        };
        let buffered = std::mem::take(&mut self.input);
        events.extend(self.push(&buffered));
        events
    }

    /// Appends a piece of the input; returns its events. Code is emitted as a whole, since a piece
    /// of JSON is not a piece of code.
    pub(super) fn push(&mut self, piece: &str) -> Vec<ItemEvent> {
        self.input.push_str(piece);
        match self.tool {
            CalledTool::Mcp { .. } if !piece.is_empty() => {
                vec![(
                    "response.mcp_call_arguments.delta",
                    ItemEventBody::Delta {
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
                        ItemEventBody::Delta {
                            delta: code.clone(),
                        },
                    ),
                    (
                        "response.code_interpreter_call_code.done",
                        ItemEventBody::Code { code },
                    ),
                    ("response.code_interpreter_call.interpreting", EMPTY_BODY),
                ]
            }
            CalledTool::Search | CalledTool::Code | CalledTool::Mcp { .. } => Vec::new(),
        }
    }

    /// Returns the final status and the final events. `status` is `Completed`, or the status of an
    /// answer that was cut short.
    pub(super) fn end(&mut self, status: ResponseStatus) -> (ResponseStatus, Vec<ItemEvent>) {
        let status = match &self.outcome {
            Some(outcome) if outcome.is_failed => ResponseStatus::Failed,
            Some(_) => ResponseStatus::Completed,
            None if status == ResponseStatus::Completed => ResponseStatus::Incomplete,
            None => status,
        };
        let mut events = Vec::new();
        if let CalledTool::Mcp { .. } = self.tool {
            if self.input.is_empty() && status != ResponseStatus::Incomplete {
                events = self.push("{}");
            }
            events.push((
                "response.mcp_call_arguments.done",
                ItemEventBody::Arguments {
                    arguments: self.input.clone(),
                },
            ));
        }
        let name = match (&self.tool, status) {
            (CalledTool::Search, ResponseStatus::Completed) => {
                Some("response.web_search_call.completed")
            }
            (CalledTool::Code, ResponseStatus::Completed) => {
                Some("response.code_interpreter_call.completed")
            }
            (CalledTool::Mcp { .. }, ResponseStatus::Completed) => {
                Some("response.mcp_call.completed")
            }
            (CalledTool::Mcp { .. }, ResponseStatus::Failed) => Some("response.mcp_call.failed"),
            // OpenAI has no such event; the status of the item reports it.
            _ => None,
        };
        events.extend(name.map(|name| (name, EMPTY_BODY)));
        (status, events)
    }

    /// Builds the output item with the id `id`.
    pub(super) fn item(&self, id: String, status: ResponseStatus) -> ResponseItem {
        match &self.tool {
            CalledTool::Search => {
                let input = serde_json::from_str::<Value>(&self.input).unwrap_or_default();
                let query = input["query"].as_str().unwrap_or_default().to_owned();
                let source = |url: &String| SearchSource {
                    r#type: "url".to_owned(),
                    url: url.clone(),
                };
                let sources = self
                    .result_texts(false)
                    .into_iter()
                    .flatten()
                    .map(source)
                    .collect();
                let action = SearchAction {
                    r#type: "search".to_owned(),
                    query,
                    sources,
                };
                ResponseItem::WebSearchCall { id, status, action }
            }
            CalledTool::Code => {
                let logs = |text: &String| CodeOutput::Logs { logs: text.clone() };
                let texts = self.outcome.as_ref().map(|outcome| &outcome.texts);
                let outputs = texts.map(|texts| texts.iter().map(logs).collect());
                ResponseItem::CodeInterpreterCall {
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
                    .result_texts(true)
                    .map(|texts| McpError::McpToolExecutionError {
                        content: texts.iter().map(text).collect(),
                    });
                ResponseItem::McpCall {
                    id,
                    status,
                    server_label: server.clone(),
                    name: tool.clone(),
                    arguments: self.input.clone(),
                    output: self.result_texts(false).map(|texts| texts.join("\n")),
                    error,
                    approval_request_id: (),
                }
            }
        }
    }

    /// Returns the result texts, if the call has failed or succeeded as `is_failed` says.
    fn result_texts(&self, is_failed: bool) -> Option<&[String]> {
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
