//! Composition of the answer to a conversation, within its `max_tokens` and `stop_sequences`.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    blocks::{self, Block, BlockKind, DraftBlock},
    conversation::Conversation,
    directives::{Directives, Fault, TextSource, ToolCall},
    prompt_cache::PromptTokens,
    schema,
    server_tools::{self, Searches},
};

/// Maximum number of characters of the user's text that the demo answer quotes.
const MAX_QUOTED_CHARS: usize = 200;

/// Complete answer, ready to be sent at once or in deltas.
pub(crate) struct Reply {
    id: String,
    model: String,
    pub blocks: Vec<Block>,
    stop_reason: String,
    stop_sequence: Option<String>,
    usage: Usage,
    pub first_delta_delay: Duration,
    pub gap: Duration,
    pub fault: Option<Fault>,
    pub fault_message: String,
}

struct Usage {
    input: u64,
    output: u64,
    cache_read: u64,
    cache_write: u64,
    /// Number of charged web searches; `None` without any search.
    searches: Option<u64>,
}

impl Reply {
    /// Composes the answer that `directives` describe; `source` is the text that contains them, and
    /// `prompt` are the tokens that they may override.
    pub fn compose(
        conversation: &Conversation<'_>,
        directives: &Directives,
        source: &str,
        prompt: PromptTokens,
        sequence: u64,
    ) -> Self {
        let parts = draft_blocks(conversation, directives, source, sequence);
        let (blocks, (stop_reason, stop_sequence)) = blocks::truncate_blocks(
            parts.into_iter(),
            &conversation.stop_sequences(),
            conversation.max_tokens(),
        );
        let searches = server_tools::charged_searches(&blocks);
        let sent: usize = blocks.iter().map(|block| block.pieces.len()).sum();
        let overrides = &directives.usage;
        Self {
            id: format!("msg_standin{sequence:08}"),
            model: conversation.model().to_owned(),
            blocks,
            stop_reason: directives
                .stop_reason
                .clone()
                .unwrap_or_else(|| stop_reason.to_owned()),
            stop_sequence: stop_sequence.filter(|_| directives.stop_reason.is_none()),
            usage: Usage {
                input: overrides.input.unwrap_or(prompt.input),
                output: overrides
                    .output
                    .unwrap_or(u64::try_from(sent).unwrap_or(u64::MAX)),
                cache_read: overrides.cache_read.unwrap_or(prompt.read),
                cache_write: overrides.cache_write.unwrap_or(prompt.write),
                searches,
            },
            first_delta_delay: directives.first_delta_delay,
            gap: directives.gap,
            fault: directives.fault,
            fault_message: directives
                .message
                .clone()
                .unwrap_or_else(|| "Overloaded".to_owned()),
        }
    }

    /// Returns the message of the `message_start` event, without content and stop reason.
    pub fn opening(&self) -> Value {
        // The real API reports one output token in `message_start`.
        let usage = Usage {
            output: 1,
            searches: None,
            ..self.usage
        }
        .to_json();
        self.message(Vec::new(), Value::Null, Value::Null, usage)
    }

    /// Returns the complete message.
    pub fn whole(&self) -> Value {
        let content = self.blocks.iter().map(Block::whole).collect();
        self.message(
            content,
            json!(self.stop_reason),
            json!(self.stop_sequence),
            self.usage.to_json(),
        )
    }

    /// Returns the data of the `message_delta` event.
    pub fn closing(&self) -> Value {
        let delta = json!({"stop_reason": self.stop_reason, "stop_sequence": self.stop_sequence});
        let mut usage = self.usage.to_json();
        // Sent only in `message_start`.
        for name in ["cache_creation", "service_tier"] {
            usage.as_object_mut().map(|fields| fields.remove(name));
        }
        json!({"type": "message_delta", "delta": delta, "usage": usage})
    }

    fn message(
        &self,
        content: Vec<Value>,
        stop_reason: Value,
        stop_sequence: Value,
        usage: Value,
    ) -> Value {
        json!({
            "id": self.id, "type": "message", "role": "assistant", "model": self.model, "content": content,
            "stop_reason": stop_reason, "stop_sequence": stop_sequence, "usage": usage,
        })
    }
}

impl Usage {
    fn to_json(&self) -> Value {
        let mut usage = json!({
            "input_tokens": self.input, "cache_creation_input_tokens": self.cache_write,
            "cache_read_input_tokens": self.cache_read, "output_tokens": self.output,
            "cache_creation": {"ephemeral_5m_input_tokens": self.cache_write, "ephemeral_1h_input_tokens": 0},
            "service_tier": "standard",
        });
        if let Some(searches) = self.searches {
            usage["server_tool_use"] = json!({"web_search_requests": searches});
        }
        usage
    }
}

/// Returns all blocks of the answer, in order, before truncation.
fn draft_blocks(
    conversation: &Conversation<'_>,
    directives: &Directives,
    source: &str,
    sequence: u64,
) -> Vec<DraftBlock> {
    let calls = tool_calls(conversation, directives);
    let tools = calls.iter().enumerate().map(|(index, call)| {
        let id = format!("toolu_standin{sequence:08}{index:02}");
        (
            BlockKind::ToolUse {
                id,
                name: conversation.offered_name(&call.name).to_owned(),
            },
            call.input.clone(),
        )
    });
    let text = answer_text(conversation, directives, source, !calls.is_empty());
    let searches = Searches::new(conversation, directives, sequence);
    // An empty text has no citations.
    let citations = if text.is_empty() {
        Vec::new()
    } else {
        searches.citations
    };
    let deltas = citations
        .into_iter()
        .chain(directives.deltas.iter().cloned())
        .collect();
    let mut parts: Vec<_> = directives
        .thinking
        .iter()
        .map(|text| (BlockKind::Thinking, text.clone()))
        .collect();
    parts.extend(searches.parts);
    parts.extend(server_tools::other_calls(
        conversation,
        directives,
        sequence,
    ));
    parts.push((BlockKind::Text(deltas), text));
    parts.extend(
        directives
            .blocks
            .iter()
            .map(|block| (BlockKind::Other(block.clone()), String::new())),
    );
    parts.extend(tools);
    parts
}

/// Returns the scripted calls, or else a call of the forced tool.
///
/// A request with tool results and a forced server-side tool yield no default call.
fn tool_calls(conversation: &Conversation<'_>, directives: &Directives) -> Vec<ToolCall> {
    if !directives.tools.is_empty() || conversation.tool_results().is_some() {
        return directives.tools.clone();
    }
    let forced = conversation
        .forced_tool()
        .filter(|name| !conversation.is_server_tool(name));
    forced
        .into_iter()
        .map(|name| ToolCall {
            name: name.to_owned(),
            input: "{}".to_owned(),
        })
        .collect()
}

fn answer_text(
    conversation: &Conversation<'_>,
    directives: &Directives,
    source: &str,
    has_calls: bool,
) -> String {
    match &directives.text {
        TextSource::Say(text) => text.clone(),
        TextSource::Echo => source.to_owned(),
        TextSource::EchoRequest => conversation.body().to_string(),
        TextSource::Tokens(count) => (1..=*count)
            .map(|n| format!("w{n}"))
            .collect::<Vec<_>>()
            .join(" "),
        TextSource::Unscripted if has_calls => String::new(),
        TextSource::Unscripted => {
            if let Some(results) = conversation.tool_results() {
                return format!("Tool results: {results}");
            }
            match conversation.output_schema() {
                Some(schema) => schema::minimal_value(schema).to_string(),
                None => demo_text(conversation.last_text()),
            }
        }
    }
}

fn demo_text(prompt: &str) -> String {
    let quoted: String = prompt.chars().take(MAX_QUOTED_CHARS).collect();
    let ellipsis = if quoted.len() < prompt.len() {
        "..."
    } else {
        ""
    };
    format!(
        "Hello! I am the offline stand-in for the Messages API, so no model was asked. You wrote: \"{quoted}{ellipsis}\""
    )
}
