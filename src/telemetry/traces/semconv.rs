//! Names of the semantic conventions, in the two versions that backends read.
//!
//! The conventions for generative AI moved into a repository of their own, whose first version is
//! 0.1.0. Many backends still read the names of version 1.37 and before.

use serde::Deserialize;

use super::segment::OpenSpan;
use crate::domain::FinishReason;
use crate::domain::Usage;

/// Version of the conventions that names the attributes of turns and agents.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum GenAiConventions {
    /// Names of version 0.1.0 of the conventions for generative AI.
    #[default]
    #[serde(rename = "0.1")]
    V0_1,
    /// Names of version 1.37 of the general conventions, with the names of 1.36 that it replaced.
    #[serde(rename = "1.37")]
    V1_37,
    /// Names of both versions.
    #[serde(rename = "both")]
    Both,
}

/// Names of attributes.
pub mod keys {
    /// Code of the error or refusal that ended the work.
    pub const ERROR_TYPE: &str = "error.type";
    /// Method of an HTTP request; `_OTHER` for unknown ones.
    pub const HTTP_METHOD: &str = "http.request.method";
    /// Template of the route that answers.
    pub const HTTP_ROUTE: &str = "http.route";
    /// Status of the answer.
    pub const HTTP_STATUS: &str = "http.response.status_code";
    /// Path as the client has sent it, without the query.
    pub const URL_PATH: &str = "url.path";
    /// Scheme of the URL.
    pub const URL_SCHEME: &str = "url.scheme";
    /// Host that the client has addressed, or that a call goes to.
    pub const SERVER_ADDRESS: &str = "server.address";
    /// Port that belongs to the host.
    pub const SERVER_PORT: &str = "server.port";
    /// Product that the client calls itself.
    pub const USER_AGENT: &str = "user_agent.original";

    /// Kind of work of a model or an agent.
    pub const OPERATION: &str = "gen_ai.operation.name";
    /// Provider of the model.
    pub const PROVIDER: &str = "gen_ai.provider.name";
    /// Provider of the model, before version 1.37.
    pub const SYSTEM: &str = "gen_ai.system";
    /// Model as the client has named it.
    pub const REQUEST_MODEL: &str = "gen_ai.request.model";
    /// Maximum number of tokens of the answer.
    pub const REQUEST_MAX_TOKENS: &str = "gen_ai.request.max_tokens";
    /// Temperature of the request.
    pub const REQUEST_TEMPERATURE: &str = "gen_ai.request.temperature";
    /// Nucleus sampling threshold of the request.
    pub const REQUEST_TOP_P: &str = "gen_ai.request.top_p";
    /// Number of likeliest tokens of the request.
    pub const REQUEST_TOP_K: &str = "gen_ai.request.top_k";
    /// Seed of the request.
    pub const REQUEST_SEED: &str = "gen_ai.request.seed";
    /// Effort of the model's thinking.
    pub const REASONING_LEVEL: &str = "gen_ai.request.reasoning.level";
    /// Model that has answered.
    pub const RESPONSE_MODEL: &str = "gen_ai.response.model";
    /// Reasons why the answer ended.
    pub const FINISH_REASONS: &str = "gen_ai.response.finish_reasons";
    /// Seconds until the first piece of the answer.
    pub const TIME_TO_FIRST_CHUNK: &str = "gen_ai.response.time_to_first_chunk";
    /// Tokens of the prompt, cached ones included.
    pub const INPUT_TOKENS: &str = "gen_ai.usage.input_tokens";
    /// Tokens of the answer, thinking included.
    pub const OUTPUT_TOKENS: &str = "gen_ai.usage.output_tokens";
    /// Tokens of the prompt that were read from the prompt cache.
    pub const CACHE_READ_TOKENS: &str = "gen_ai.usage.cache_read.input_tokens";
    /// Tokens of the prompt that were written to the prompt cache.
    pub const CACHE_WRITE_TOKENS: &str = "gen_ai.usage.cache_write.input_tokens";
    /// Tokens that were written to the prompt cache, before version 0.1.0.
    pub const CACHE_CREATION_TOKENS: &str = "gen_ai.usage.cache_creation.input_tokens";
    /// Tokens of the answer that were thinking.
    pub const REASONING_TOKENS: &str = "gen_ai.usage.reasoning.output_tokens";
    /// Name of the agent.
    pub const AGENT_NAME: &str = "gen_ai.agent.name";
    /// Session in which the agent works.
    pub const CONVERSATION: &str = "gen_ai.conversation.id";
    /// Tool that the agent calls.
    pub const TOOL_NAME: &str = "gen_ai.tool.name";
    /// Id of the call of the tool.
    pub const TOOL_CALL: &str = "gen_ai.tool.call.id";
    /// Kind of the tool.
    pub const TOOL_TYPE: &str = "gen_ai.tool.type";

    /// Id of the request, as in the log and in the header `x-request-id`.
    pub const REQUEST_ID: &str = "switchboard.request.id";
    /// Id of the caller's key, which is no secret.
    pub const KEY: &str = "switchboard.key";
    /// Project of the caller.
    pub const PROJECT: &str = "switchboard.project";
    /// Way in which the answer ended, as in the access log.
    pub const END: &str = "switchboard.end";
    /// Status of the response cache for the request.
    pub const CACHE: &str = "switchboard.cache";
    /// Cost of the work in dollars.
    pub const COST: &str = "switchboard.cost_usd";
    /// Place among several answers to one request, from 0.
    pub const CHOICE: &str = "switchboard.choice";
    /// Id of the background work that a turn belongs to, such as a line of a batch.
    pub const WORK: &str = "switchboard.work.id";
    /// Id of the task.
    pub const TASK: &str = "switchboard.task.id";
    /// Status of the task at its end.
    pub const TASK_STATUS: &str = "switchboard.task.status";
    /// Number of model calls of the task.
    pub const TASK_TURNS: &str = "switchboard.task.turns";
    /// Decision about a permission request.
    pub const DECISION: &str = "switchboard.permission.decision";
}

impl GenAiConventions {
    fn has_v0_1(self) -> bool {
        matches!(self, Self::V0_1 | Self::Both)
    }

    fn has_v1_37(self) -> bool {
        matches!(self, Self::V1_37 | Self::Both)
    }

    /// Sets the operation and the provider.
    pub(super) fn set_operation(self, span: &mut OpenSpan, operation: &'static str) {
        let provider = span.tracer().options.upstream.provider;
        span.set(keys::OPERATION, operation);
        span.set(keys::PROVIDER, provider);
        if self.has_v1_37() {
            span.set(keys::SYSTEM, provider);
        }
    }

    /// Sets the effort of the model's thinking, which has a name since version 0.1.0.
    pub(super) fn set_reasoning_level(self, span: &mut OpenSpan, level: Option<&'static str>) {
        if self.has_v0_1() {
            span.set_if_some(keys::REASONING_LEVEL, level);
        }
    }

    /// Sets the seconds until the first piece of the answer, which have a name since version 0.1.0.
    pub(super) fn set_time_to_first_chunk(self, span: &mut OpenSpan, seconds: f64) {
        if self.has_v0_1() {
            span.set(keys::TIME_TO_FIRST_CHUNK, seconds);
        }
    }

    /// Sets the tokens and the cost.
    pub(super) fn set_usage(self, span: &mut OpenSpan, usage: &Usage) {
        span.set(keys::INPUT_TOKENS, usage.prompt_tokens());
        span.set(keys::OUTPUT_TOKENS, usage.output_tokens);
        span.set(keys::CACHE_READ_TOKENS, usage.cache_read_tokens);
        if self.has_v0_1() {
            span.set(keys::CACHE_WRITE_TOKENS, usage.cache_write_tokens);
            let thinking = Some(usage.thinking_tokens).filter(|tokens| *tokens > 0);
            span.set_if_some(keys::REASONING_TOKENS, thinking);
        }
        if self.has_v1_37() {
            span.set(keys::CACHE_CREATION_TOKENS, usage.cache_write_tokens);
        }
        span.set_if_some(keys::COST, usage.cost.map(|cost| cost.dollars()));
    }
}

/// Returns the name of a reason why an answer ended.
pub(super) fn finish_reason(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
        FinishReason::ToolCalls => "tool_call",
        FinishReason::ContentFilter => "content_filter",
        FinishReason::Paused => "pause",
    }
}
