//! Stored form of an answer that servers share, apart from the types of the domain.
//!
//! Structs are taken apart and variants are matched without a rest, so that a new field does not
//! compile until it is stored as well.

use serde::Deserialize;
use serde::Serialize;

use crate::domain::BlockDelta;
use crate::domain::CalledTool;
use crate::domain::Citation;
use crate::domain::Finish;
use crate::domain::FinishReason;
use crate::domain::Money;
use crate::domain::NativeFields;
use crate::domain::ServerBlock;
use crate::domain::ServerTool;
use crate::domain::ServerToolOutcome;
use crate::domain::TurnEvent;
use crate::domain::Usage;
use crate::storage::store::Stored;
use crate::storage::store::decode_record;
use crate::storage::store::encode_record;

use super::cached_answer::CachedAnswer;
use super::cached_answer::is_cacheable;

/// Answer with the names by which it is found.
#[derive(Debug, Serialize, Deserialize)]
struct StoredAnswer {
    key: String,
    project: String,
    events: Vec<StoredEvent>,
}

impl Stored for StoredAnswer {
    const KIND: &'static str = "shared answer";
    const MIN_VERSION: u8 = 1;
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredEvent {
    Started {
        model: String,
        usage: StoredUsage,
        native: StoredNativeFields,
    },
    Thinking(String),
    ThinkingSignature(String),
    ThinkingRedacted(String),
    Text(String),
    ToolCall {
        id: String,
        name: String,
        caller: Option<String>,
    },
    ToolInput(String),
    ServerBlock {
        json: String,
        tool: StoredServerTool,
    },
    BlockDelta {
        json: String,
        input: Option<String>,
    },
    Citation {
        json: String,
        url: Option<String>,
        title: Option<String>,
    },
    NextText,
    Finished {
        reason: StoredFinishReason,
        stop_sequence: Option<String>,
        usage: StoredUsage,
        native: StoredNativeFields,
    },
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredUsage {
    input: u64,
    cache_write: u64,
    cache_read: u64,
    output: u64,
    thinking: u64,
    web_searches: u64,
    cost_nanos: Option<i64>,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredNativeFields {
    stop_reason: Option<String>,
    message: Vec<(String, String)>,
    beside: Vec<(String, String)>,
    usage: Vec<(String, String)>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredFinishReason {
    Stop,
    Length,
    ToolCalls,
    ContentFilter,
    Paused,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredServerTool {
    Search {
        id: String,
    },
    Code {
        id: String,
    },
    Mcp {
        id: String,
        server: String,
        tool: String,
    },
    Result {
        id: String,
        is_failed: bool,
        texts: Vec<String>,
    },
    Other,
}

/// Encodes `answer`, which is found as `key`. Returns `None` if it cannot be stored.
pub(super) fn encode_answer(key: &str, answer: &CachedAnswer) -> Option<Vec<u8>> {
    let stored = StoredAnswer {
        key: key.to_owned(),
        project: answer.project.to_string(),
        events: answer.events.iter().map(store_event).collect(),
    };
    encode_record(&stored).ok()
}

/// Decodes the events of the answer that is found as `key` by callers of `project`. Returns `None` if
/// the bytes are another answer, or none that may be used.
pub(super) fn decode_answer(key: &str, project: &str, bytes: &[u8]) -> Option<Vec<TurnEvent>> {
    let stored: StoredAnswer = decode_record(key, bytes).ok()?;
    if stored.key != key || stored.project != project {
        return None;
    }
    let events: Vec<_> = stored.events.into_iter().map(read_event).collect();
    let is_end = |event: &TurnEvent| matches!(event, TurnEvent::Finished(_));
    let ends = events.iter().filter(|event| is_end(event)).count();
    match events.last() {
        Some(TurnEvent::Finished(finish)) if ends == 1 && is_cacheable(finish.reason) => {
            Some(events)
        }
        _ => None,
    }
}

fn store_event(event: &TurnEvent) -> StoredEvent {
    match event {
        TurnEvent::Started {
            model,
            usage,
            native,
        } => StoredEvent::Started {
            model: model.clone(),
            usage: store_usage(*usage),
            native: store_native(native),
        },
        TurnEvent::Thinking(text) => StoredEvent::Thinking(text.clone()),
        TurnEvent::ThinkingSignature(text) => StoredEvent::ThinkingSignature(text.clone()),
        TurnEvent::ThinkingRedacted(data) => StoredEvent::ThinkingRedacted(data.clone()),
        TurnEvent::Text(text) => StoredEvent::Text(text.clone()),
        TurnEvent::ToolCall { id, name, caller } => StoredEvent::ToolCall {
            id: id.clone(),
            name: name.clone(),
            caller: caller.clone(),
        },
        TurnEvent::ToolInput(text) => StoredEvent::ToolInput(text.clone()),
        TurnEvent::ServerBlock(ServerBlock { json, tool }) => StoredEvent::ServerBlock {
            json: json.clone(),
            tool: store_tool(tool),
        },
        TurnEvent::BlockDelta(BlockDelta { json, input }) => StoredEvent::BlockDelta {
            json: json.clone(),
            input: input.clone(),
        },
        TurnEvent::Citation(Citation { json, url, title }) => StoredEvent::Citation {
            json: json.clone(),
            url: url.clone(),
            title: title.clone(),
        },
        TurnEvent::NextText => StoredEvent::NextText,
        TurnEvent::Finished(Finish {
            reason,
            stop_sequence,
            usage,
            native,
        }) => StoredEvent::Finished {
            reason: store_reason(*reason),
            stop_sequence: stop_sequence.clone(),
            usage: store_usage(*usage),
            native: store_native(native),
        },
    }
}

fn read_event(event: StoredEvent) -> TurnEvent {
    match event {
        StoredEvent::Started {
            model,
            usage,
            native,
        } => TurnEvent::Started {
            model,
            usage: read_usage(&usage),
            native: read_native(native),
        },
        StoredEvent::Thinking(text) => TurnEvent::Thinking(text),
        StoredEvent::ThinkingSignature(text) => TurnEvent::ThinkingSignature(text),
        StoredEvent::ThinkingRedacted(data) => TurnEvent::ThinkingRedacted(data),
        StoredEvent::Text(text) => TurnEvent::Text(text),
        StoredEvent::ToolCall { id, name, caller } => TurnEvent::ToolCall { id, name, caller },
        StoredEvent::ToolInput(text) => TurnEvent::ToolInput(text),
        StoredEvent::ServerBlock { json, tool } => TurnEvent::ServerBlock(ServerBlock {
            json,
            tool: read_tool(tool),
        }),
        StoredEvent::BlockDelta { json, input } => {
            TurnEvent::BlockDelta(BlockDelta { json, input })
        }
        StoredEvent::Citation { json, url, title } => {
            TurnEvent::Citation(Citation { json, url, title })
        }
        StoredEvent::NextText => TurnEvent::NextText,
        StoredEvent::Finished {
            reason,
            stop_sequence,
            usage,
            native,
        } => TurnEvent::Finished(Finish {
            reason: read_reason(reason),
            stop_sequence,
            usage: read_usage(&usage),
            native: read_native(native),
        }),
    }
}

fn store_usage(usage: Usage) -> StoredUsage {
    let Usage {
        input_tokens,
        cache_write_tokens,
        cache_read_tokens,
        output_tokens,
        thinking_tokens,
        web_searches,
        cost,
    } = usage;
    StoredUsage {
        input: input_tokens,
        cache_write: cache_write_tokens,
        cache_read: cache_read_tokens,
        output: output_tokens,
        thinking: thinking_tokens,
        web_searches,
        cost_nanos: cost.map(Money::nanos),
    }
}

fn read_usage(usage: &StoredUsage) -> Usage {
    Usage {
        input_tokens: usage.input,
        cache_write_tokens: usage.cache_write,
        cache_read_tokens: usage.cache_read,
        output_tokens: usage.output,
        thinking_tokens: usage.thinking,
        web_searches: usage.web_searches,
        cost: usage.cost_nanos.map(Money::from_nanos),
    }
}

fn store_native(native: &NativeFields) -> StoredNativeFields {
    let NativeFields {
        stop_reason,
        message,
        beside,
        usage,
    } = native;
    StoredNativeFields {
        stop_reason: stop_reason.clone(),
        message: message.clone(),
        beside: beside.clone(),
        usage: usage.clone(),
    }
}

fn read_native(native: StoredNativeFields) -> NativeFields {
    NativeFields {
        stop_reason: native.stop_reason,
        message: native.message,
        beside: native.beside,
        usage: native.usage,
    }
}

fn store_reason(reason: FinishReason) -> StoredFinishReason {
    match reason {
        FinishReason::Stop => StoredFinishReason::Stop,
        FinishReason::Length => StoredFinishReason::Length,
        FinishReason::ToolCalls => StoredFinishReason::ToolCalls,
        FinishReason::ContentFilter => StoredFinishReason::ContentFilter,
        FinishReason::Paused => StoredFinishReason::Paused,
    }
}

fn read_reason(reason: StoredFinishReason) -> FinishReason {
    match reason {
        StoredFinishReason::Stop => FinishReason::Stop,
        StoredFinishReason::Length => FinishReason::Length,
        StoredFinishReason::ToolCalls => FinishReason::ToolCalls,
        StoredFinishReason::ContentFilter => FinishReason::ContentFilter,
        StoredFinishReason::Paused => FinishReason::Paused,
    }
}

fn store_tool(tool: &ServerTool) -> StoredServerTool {
    match tool {
        ServerTool::Call { id, tool } => {
            let id = id.clone();
            match tool {
                CalledTool::Search => StoredServerTool::Search { id },
                CalledTool::Code => StoredServerTool::Code { id },
                CalledTool::Mcp { server, tool } => StoredServerTool::Mcp {
                    id,
                    server: server.clone(),
                    tool: tool.clone(),
                },
            }
        }
        ServerTool::Result { id, outcome } => {
            let ServerToolOutcome { is_failed, texts } = outcome;
            StoredServerTool::Result {
                id: id.clone(),
                is_failed: *is_failed,
                texts: texts.clone(),
            }
        }
        ServerTool::Other => StoredServerTool::Other,
    }
}

fn read_tool(tool: StoredServerTool) -> ServerTool {
    let call = |id, tool| ServerTool::Call { id, tool };
    match tool {
        StoredServerTool::Search { id } => call(id, CalledTool::Search),
        StoredServerTool::Code { id } => call(id, CalledTool::Code),
        StoredServerTool::Mcp { id, server, tool } => call(id, CalledTool::Mcp { server, tool }),
        StoredServerTool::Result {
            id,
            is_failed,
            texts,
        } => ServerTool::Result {
            id,
            outcome: ServerToolOutcome { is_failed, texts },
        },
        StoredServerTool::Other => ServerTool::Other,
    }
}

#[cfg(test)]
#[path = "stored_answer_tests.rs"]
mod tests;
