//! Lines of the CLI, with its fields in its order. Each ends with a newline.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use crate::models::Tokens;

/// Fields of `system/init` between the model and the ids, as the real CLI writes them.
const INIT_MIDDLE: &str = r#""permissionMode":"default","slash_commands":["doctor","plugin-authoring","agents","auto-mode-setup","autocompact","clear","color","compact","config","output-style","context","effort","fast","focus","heapdump","init","mcp","model","__remote-workflow","workflow-launch-exec","reload-plugins","reload-skills","rename","security-review","usage","insights","recap","goal","list-agents","team-onboarding"],"terminal_slash_commands":["doctor","color","focus","reload-plugins"],"apiKeySource":"ANTHROPIC_API_KEY","claude_code_version":"VERSION","output_style":"default","agents":["claude","Explore","general-purpose","Plan","statusline-setup"],"skills":["doctor","plugin-authoring"],"plugins":[],"capabilities":["interrupt_receipt_v1","interrupt_cancel_queued_v1","interrupt_send_now_v1","interrupt_requeue_taken_v1","msg_lifecycle_v1","request_marker_lists_v1","sdk_mcp_tools_list_changed","sdk_mcp_manifests","mcp_read_resource_v1"],"analytics_disabled":true,"product_feedback_disabled":true,"served_by_anthropic":false"#;

const INIT_END: &str = r#""additional_directories":[],"fast_mode_state":"off","fast_mode_disabled_reason":"sdk_opt_in_required","per_turn_effort_active":true,"view_mode":"default""#;

const USAGE_END: &str = r#""output_tokens_details":{"thinking_tokens":0},"server_tool_use":{"web_search_requests":0,"web_fetch_requests":0},"service_tier":"standard","cache_creation":{"ephemeral_1h_input_tokens":0,"ephemeral_5m_input_tokens":0},"inference_geo":"","iterations":[],"speed":"standard","fallback_credit":null"#;

const RESULT_MIDDLE: &str = r#""fast_mode_state":"off","fast_mode_disabled_reason":"sdk_opt_in_required","subagent_stats":{"spawned":0,"requested":{"background":0,"foreground":0,"unset":0},"started_in_background":0,"max_depth":0,"spawned_by_subagents":0,"completed":0,"failed":0,"killed":{"parent":0,"user":0,"system":0},"refused":{"depth_limit":0,"concurrency_limit":0,"budget":0},"by_type":{}},"safety_stops":0"#;

const TIMESTAMP: &str = "2026-01-01T00:00:00.000Z";

/// Builder of the lines of one session.
#[derive(Debug)]
pub(crate) struct Lines {
    version: String,
    session: String,
    cwd: String,
    ids: AtomicU64,
}

/// Fields of the `result` line of a turn.
#[derive(Debug)]
pub(crate) struct ResultFields<'a> {
    pub(crate) uuid: &'a str,
    /// JSON: a string with its quotes, or `null`.
    pub(crate) stop_reason: String,
    /// Empty for a user line that was only added to the conversation.
    pub(crate) terminal_reason: &'a str,
    pub(crate) is_error: bool,
    pub(crate) subtype: &'a str,
    /// JSON fields: `result` or `errors`, and those of an API error.
    pub(crate) body_fields: String,
    pub(crate) tokens: Tokens,
    pub(crate) turns: u64,
    /// JSON text, because faulty costs are not numbers.
    pub(crate) total_cost: String,
    pub(crate) model_usage: String,
    pub(crate) model_usage_since: String,
    pub(crate) index: u64,
}

impl Lines {
    pub(crate) fn new(version: String) -> Self {
        let cwd = std::env::current_dir().unwrap_or_default();
        let cwd = Value::from(cwd.to_string_lossy()).to_string();
        let lines = Self {
            version,
            session: String::new(),
            cwd,
            ids: AtomicU64::new(0),
        };
        Self {
            session: lines.uuid(),
            ..lines
        }
    }

    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// Returns an id that no other line of any process on this machine has, cheaper than a random
    /// one.
    pub(crate) fn uuid(&self) -> String {
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        format!("{:08x}-fa4e-4000-8000-{id:012x}", std::process::id())
    }

    pub(crate) fn lifecycle(&self, command: &str, state: &str) -> String {
        let command = Value::from(command);
        format!(
            r#"{{"type":"command_lifecycle","command_uuid":{command},"state":"{state}",{ids}}}{end}"#,
            ids = self.ids(),
            end = '\n'
        )
    }

    pub(crate) fn ui_invalidate(&self) -> String {
        let ids = self.ids();
        format!(
            "{{\"type\":\"system\",\"subtype\":\"ui_invalidate\",\"event\":\"ui.render\",{ids}}}\n"
        )
    }

    pub(crate) fn init(&self, uuid: &str, model: &str) -> String {
        let model = Value::from(model);
        let uuid = Value::from(uuid);
        let cwd = &self.cwd;
        let session = &self.session;
        let id = self.uuid();
        let middle = INIT_MIDDLE.replace("VERSION", &self.version);
        format!(
            "{{\"type\":\"system\",\"subtype\":\"init\",\"cwd\":{cwd},\"session_id\":\"{session}\",\"tools\":[],\
             \"mcp_servers\":[],\"model\":{model},{middle},\"uuid\":\"{id}\",\"original_cwd\":{cwd},{INIT_END},\
             \"user_message_uuids\":[{uuid}]}}\n"
        )
    }

    pub(crate) fn requesting(&self, uuid: &str) -> String {
        let uuid = Value::from(uuid);
        let session = &self.session;
        let id = self.uuid();
        format!(
            "{{\"type\":\"system\",\"subtype\":\"status\",\"status\":\"requesting\",\"session_id\":\"{session}\",\
             \"uuid\":\"{id}\",\"user_message_uuids\":[{uuid}]}}\n"
        )
    }

    pub(crate) fn api_retry(&self, attempt: u64, max: u64, status: u64, error: &str) -> String {
        let error = Value::from(error);
        let ids = self.ids();
        format!(
            "{{\"type\":\"system\",\"subtype\":\"api_retry\",\"attempt\":{attempt},\"max_retries\":{max},\
             \"retry_delay_ms\":1,\"error_status\":{status},\"error\":{error},{ids}}}\n"
        )
    }

    /// Returns the line of a stream event; `event` is JSON, and `more` holds JSON fields.
    pub(crate) fn event(&self, event: &str, more: &str) -> String {
        let session = &self.session;
        let id = self.uuid();
        format!(
            "{{\"type\":\"stream_event\",\"event\":{event},\"session_id\":\"{session}\",\
             \"parent_tool_use_id\":null,\"uuid\":\"{id}\"{more},\"api_message_id\":\"msg_1\"}}\n"
        )
    }

    pub(crate) fn message_start(&self, uuid: &str, model: &str, tokens: Tokens) -> String {
        let model = Value::from(model);
        let uuid = Value::from(uuid);
        let usage = usage(Tokens {
            output: 1,
            ..tokens
        });
        let event = format!(
            "{{\"type\":\"message_start\",\"message\":{{\"id\":\"msg_1\",\"type\":\"message\",\
             \"role\":\"assistant\",\"model\":{model},\"content\":[],\"stop_reason\":null,\
             \"stop_sequence\":null,\"usage\":{{{usage}}}}}}}"
        );
        self.event(&event, &format!(r#","ttft_ms":1,"thinking_display":"updates","user_message_uuid":{uuid},"user_message_uuids":[{uuid}]"#))
    }

    pub(crate) fn delta(&self, text: &str) -> String {
        let text = Value::from(text);
        let event = format!(
            r#"{{"type":"content_block_delta","index":0,"delta":{{"type":"text_delta","text":{text}}}}}"#
        );
        self.event(&event, "")
    }

    pub(crate) fn delta_with_duplicate_keys(&self) -> String {
        let event = r#"{"type":"content_block_delta","type":"content_block_delta","index":0,"index":0,"delta":{"type":"text_delta","type":"text_delta","text":"a ","text":"b "}}"#;
        self.event(event, r#","type":"stream_event","parent_tool_use_id":null"#)
    }

    pub(crate) fn assistant(
        &self,
        model: &str,
        text: &str,
        tokens: Tokens,
        aborted: bool,
    ) -> String {
        let model = Value::from(model);
        let text = Value::from(text);
        let usage = usage(Tokens {
            output: 1,
            ..tokens
        });
        let session = &self.session;
        let id = self.uuid();
        let aborted = if aborted { r#","aborted":true"# } else { "" };
        format!(
            "{{\"type\":\"assistant\",\"message\":{{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\
             \"model\":{model},\"content\":[{{\"type\":\"text\",\"text\":{text}}}],\"stop_reason\":null,\
             \"stop_sequence\":null,\"usage\":{{{usage}}},\"context_management\":null}},\
             \"parent_tool_use_id\":null,\"session_id\":\"{session}\",\"uuid\":\"{id}\",\
             \"timestamp\":\"{TIMESTAMP}\"{aborted}}}\n"
        )
    }

    /// Returns the message that the CLI writes in place of the model after a failed call; `more`
    /// holds JSON fields.
    pub(crate) fn failed_assistant(&self, text: &str, kind: &str, more: &str) -> String {
        let text = Value::from(text);
        let kind = Value::from(kind);
        let session = &self.session;
        let id = self.uuid();
        let message = self.uuid();
        let usage = usage(Tokens::default());
        format!(
            "{{\"type\":\"assistant\",\"message\":{{\"diagnostics\":null,\"id\":\"{message}\",\"container\":null,\
             \"model\":\"<synthetic>\",\"role\":\"assistant\",\"stop_details\":null,\
             \"stop_reason\":\"stop_sequence\",\"stop_sequence\":\"\",\"type\":\"message\",\
             \"usage\":{{{usage}}},\"content\":[{{\"type\":\"text\",\"text\":{text}}}],\
             \"context_management\":null}},\"parent_tool_use_id\":null,\"session_id\":\"{session}\",\
             \"uuid\":\"{id}\",\"timestamp\":\"{TIMESTAMP}\",\"error\":{kind},\
             \"is_api_error_message\":true{more}}}\n"
        )
    }

    /// Returns the uuid and the line of a user message that the CLI itself inserts.
    pub(crate) fn inserted_message(&self, text: &str, more: &str) -> (String, String) {
        let session = &self.session;
        let id = self.uuid();
        let content = if more.contains("isReplay") {
            Value::from(text)
        } else {
            json!([{"type": "text", "text": text}])
        };
        let line = format!(
            "{{\"type\":\"user\",\"message\":{{\"role\":\"user\",\"content\":{content}}},\
             \"session_id\":\"{session}\",\"parent_tool_use_id\":null,\"uuid\":\"{id}\",\
             \"timestamp\":\"{TIMESTAMP}\"{more}}}\n"
        );
        (id, line)
    }

    pub(crate) fn result(&self, fields: &ResultFields<'_>) -> String {
        let ResultFields {
            stop_reason,
            terminal_reason,
            is_error,
            subtype,
            body_fields,
            turns,
            total_cost,
            ..
        } = fields;
        let ResultFields {
            model_usage,
            model_usage_since,
            index,
            tokens,
            ..
        } = fields;
        let session = &self.session;
        let id = self.uuid();
        let uuid = Value::from(fields.uuid);
        let usage = usage(*tokens);
        let terminal = match *terminal_reason {
            "" => String::new(),
            reason => format!(r#""terminal_reason":"{reason}","#),
        };
        format!(
            "{{\"duration_api_ms\":1,\"stop_reason\":{stop_reason},\"session_id\":\"{session}\",\
             \"total_cost_usd\":{total_cost},\"usage\":{{{usage},{USAGE_END}}},\
             \"modelUsage\":{{{model_usage}}},\"permission_denials\":[],\
             {terminal}{RESULT_MIDDLE},\"is_error\":{is_error},\
             \"num_turns\":{turns},\"subtype\":\"{subtype}\",{body_fields},\"type\":\"result\",\"duration_ms\":1,\
             \"uuid\":\"{id}\",\"user_message_uuid\":{uuid},\"user_message_uuids\":[{uuid}],\
             \"queued_turn_count\":0,\"result_index\":{index},\
             \"model_usage_since_last_result\":{{{model_usage_since}}}}}\n"
        )
    }

    /// Returns lines of a sub-agent and of another session, none of which belongs to the turn.
    pub(crate) fn foreign(&self, with_result: bool) -> Vec<String> {
        let text = "FOREIGN ";
        let other_session =
            |line: String| line.replace(&self.session, "ffffffff-0000-4000-8000-000000000000");
        let sub_agent = |line: String| {
            line.replace(
                r#""parent_tool_use_id":null"#,
                r#""parent_tool_use_id":"toolu_foreign""#,
            )
        };
        let assistant = || self.assistant("claude-haiku-5-5", text, Tokens::default(), false);
        let mut lines = vec![
            other_session(self.delta(text)),
            sub_agent(self.delta(text)),
            other_session(assistant()),
            sub_agent(assistant()),
            other_session(self.lifecycle("ffffffff-0000-4000-8000-000000000001", "completed")),
        ];
        if with_result {
            lines.push(other_session(self.result(&ResultFields {
                uuid: "ffffffff-0000-4000-8000-000000000001",
                stop_reason: "\"end_turn\"".to_owned(),
                terminal_reason: "completed",
                is_error: false,
                subtype: "success",
                body_fields: format!(r#""result":"{text}""#),
                tokens: Tokens::default(),
                turns: 1,
                total_cost: "1000".to_owned(),
                model_usage: String::new(),
                model_usage_since: String::new(),
                index: 0,
            })));
        }
        lines
    }

    fn ids(&self) -> String {
        format!(
            r#""uuid":"{}","session_id":"{}""#,
            self.uuid(),
            self.session
        )
    }
}

fn usage(tokens: Tokens) -> String {
    let Tokens {
        input,
        cache_write,
        cache_read,
        output,
    } = tokens;
    format!(
        "\"input_tokens\":{input},\"cache_creation_input_tokens\":{cache_write},\
         \"cache_read_input_tokens\":{cache_read},\"output_tokens\":{output}"
    )
}

/// Returns an entry of `modelUsage`; `cost` is JSON.
pub(crate) fn model_usage(model: &str, tokens: Tokens, cost: &str) -> String {
    let Tokens {
        input,
        cache_write,
        cache_read,
        output,
    } = tokens;
    let model = Value::from(model);
    format!(
        "{model}:{{\"inputTokens\":{input},\"outputTokens\":{output},\"cacheReadInputTokens\":{cache_read},\
         \"cacheCreationInputTokens\":{cache_write},\"webSearchRequests\":0,\"costUSD\":{cost},\
         \"contextWindow\":1000000,\"maxOutputTokens\":128000,\"thinkingTokens\":0,\
         \"cacheCreationEphemeral5mInputTokens\":0,\"cacheCreationEphemeral1hInputTokens\":0,\
         \"canonicalModel\":{model},\"provider\":\"firstParty\",\"costBasis\":\"list\"}}"
    )
}
