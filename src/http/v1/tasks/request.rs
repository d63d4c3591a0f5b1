//! Request bodies and WebSocket messages of the task API.

use std::path::PathBuf;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

use crate::accounts::auth::NewWebhook;
use crate::api::request_schema::Field;
use crate::api::request_schema::FieldType;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::ObjectReader;
use crate::api::request_schema::ObjectSchema;
use crate::api::request_schema::PROJECT;
use crate::api::request_schema::code;
use crate::api::request_schema::honoured;
use crate::api::request_schema::parse_request;
use crate::api::request_schema::printable;
use crate::domain::ModelName;
use crate::domain::Money;
use crate::engine::agent::PermissionDecision;
use crate::http::values::chosen_id;
use crate::http::values::finish;
use crate::http::values::money;
use crate::http::values::texts;
use crate::http::values::webhook;
use crate::services::tasks;
use crate::services::tasks::ChosenId;
use crate::services::tasks::PermissionMode;
use crate::services::tasks::TaskSpec;
use crate::services::tasks::ToolPreset;

/// Maximum timeout that a request may ask for, in seconds; the configured bound is usually lower.
const MAX_TIMEOUT_SECONDS: i64 = 7 * 24 * 60 * 60;
/// Maximum size of a prompt, in bytes, since it is stored with the task.
const MAX_PROMPT_BYTES: usize = 1 << 20;
/// Message to an agent whose permission request is denied without one.
const DEFAULT_DENIAL: &str = "The user does not want this to be done.";

const DECISION: Field = honoured("decision", FieldType::Text, "Required. `allow` or `deny`.");
const DENIAL: Field = honoured(
    "message",
    FieldType::Text,
    "What the agent is told beside a `deny`.",
);

/// Fields of `POST /v1/tasks`.
pub(super) static CREATE: ObjectSchema = ObjectSchema {
    prefix: "",
    fields: &[
        honoured(
            "prompt",
            FieldType::Text,
            "Required. What the agent is to do, in up to 1 MiB.",
        ),
        honoured(
            "workspace",
            FieldType::Text,
            "Required. The folder of the server in which it is to do it: an absolute path, one of `tasks.roots` or under one.",
        ),
        honoured(
            "model",
            FieldType::Text,
            "As in a chat, `auto` included. Left out, `tasks.model` of the configuration.",
        ),
        honoured(
            "system_prompt",
            FieldType::Text,
            "Instructions, added to those that the CLI gives its agents.",
        ),
        honoured(
            "preset",
            FieldType::Text,
            "`read_only` (unless it says otherwise), `edit` or `full`: tools and permissions that go together.",
        ),
        honoured(
            "tools",
            FieldType::Object,
            "Which tools it has, in the place of the preset's.",
        ),
        honoured(
            "permission_mode",
            FieldType::Text,
            "What becomes of what it may not do unasked, in the place of the preset's way: `default` and `acceptEdits` ask you, \
             `dontAsk` and `plan` deny, `bypassPermissions` allows.",
        ),
        honoured(
            "max_turns",
            FieldType::Integer(1, 10_000),
            "The most calls of the model.",
        ),
        honoured(
            "max_budget_usd",
            FieldType::TextOrNumber,
            "The most it may cost, in US dollars; held in the key's budgets until it ends. Left out, `tasks.max_budget_usd`.",
        ),
        honoured(
            "timeout_seconds",
            FieldType::Integer(1, MAX_TIMEOUT_SECONDS),
            "How long it may run; then it is stopped. Not above `tasks.timeout_seconds`, which counts when it is left out.",
        ),
        honoured(
            "session_id",
            FieldType::Text,
            "The session of an earlier task of this key in the same workspace. The agent goes on in it and knows all of it.",
        ),
        honoured(
            "webhook",
            FieldType::Object,
            "Who is told that it has ended, beside the webhook of the project.",
        ),
        honoured(
            "task_id",
            FieldType::Text,
            "An id of your choice, by which all paths of the task know it as well: up to 64 letters, digits, `-`, `_` and `.`, the first a letter or a digit, unique among the tasks of the key. The same request again is answered with the task as it is now (200), another one of the same id with a 409. Left out, the task is known by its `id` alone.",
        ),
        PROJECT,
    ],
};

/// Fields of `tools`.
pub(super) static TOOLS: ObjectSchema = ObjectSchema {
    prefix: "tools.",
    fields: &[
        honoured(
            "allow",
            FieldType::Array,
            "Names of tools: it has these and no others.",
        ),
        honoured(
            "deny",
            FieldType::Array,
            "Names of tools that it has not, whatever the preset or `allow` says.",
        ),
    ],
};

/// Fields of `webhook`.
pub(super) static WEBHOOK: ObjectSchema = ObjectSchema {
    prefix: "webhook.",
    fields: &[
        honoured(
            "url",
            FieldType::Text,
            "Required. On one of the hosts of `tasks.webhook_hosts`.",
        ),
        honoured(
            "secret",
            FieldType::Text,
            "`whsec_` and 24 to 64 bytes in base64, for the signature. Left out, one is made and shown once, in the answer.",
        ),
    ],
};

/// Fields of `POST /v1/tasks/{id}/permissions/{request_id}`.
pub(super) static ANSWER: ObjectSchema = ObjectSchema {
    prefix: "",
    fields: &[DECISION, DENIAL],
};

/// Fields that all messages on the WebSocket of a task share.
pub(super) static MESSAGE: ObjectSchema = ObjectSchema {
    prefix: "",
    fields: &[honoured(
        "type",
        FieldType::Text,
        "Required. `permission`, `interrupt` or `ping`.",
    )],
};

/// Fields of a `permission` message.
pub(super) static PERMISSION: ObjectSchema = ObjectSchema {
    prefix: "",
    fields: &[
        honoured(
            "request_id",
            FieldType::Text,
            "Required. Which question is answered.",
        ),
        DECISION,
        DENIAL,
    ],
};

/// Message of a client on the WebSocket of a task.
#[derive(Debug, PartialEq)]
pub(super) enum TaskSocketMessage {
    /// Decision on a permission request.
    Permission {
        request_id: String,
        answer: PermissionDecision,
    },
    /// Request to stop the task.
    Interrupt,
    /// Liveness check.
    Ping,
}

/// Decoded request for a task.
#[derive(Debug)]
pub(super) struct CreateTaskRequest {
    /// Specification of the task; its model is unresolved and its webhook unset.
    pub(super) spec: TaskSpec,
    /// Webhook to notify of the end.
    pub(super) webhook: Option<NewWebhook>,
    /// Project to charge, as the client names it.
    pub(super) project: Option<String>,
}

/// Decodes the body of `POST /v1/tasks`; `model` is the default model. Unknown fields are refused,
/// because a misspelled limit must not be ignored.
///
/// # Errors
/// Fails when the body is not a valid request.
pub(super) fn create(body: &[u8], model: &ModelName) -> Result<CreateTaskRequest, InvalidRequest> {
    let mut request = parse_request(body, &CREATE, "`prompt` and `workspace`")?;
    let prompt = request
        .take_text("prompt")?
        .ok_or_else(|| request.missing_field("prompt"))?;
    if prompt.trim().is_empty() {
        return Err(request.invalid_field(
            "prompt",
            code::VALUE,
            "it is blank. Say what is to be done.",
        ));
    }
    if prompt.len() > MAX_PROMPT_BYTES {
        let words = "it has more than 1 MiB. Put what is to be read into a file of the workspace.";
        return Err(request.invalid_field("prompt", code::VALUE, words));
    }
    let workspace = request
        .take_text("workspace")?
        .ok_or_else(|| request.missing_field("workspace"))?;
    let preset = take_word::<ToolPreset>(&mut request, "preset", "`read_only`, `edit` or `full`")?
        .unwrap_or_default();
    let modes = "`default`, `acceptEdits`, `plan`, `dontAsk` or `bypassPermissions`";
    let permission_mode = take_word::<PermissionMode>(&mut request, "permission_mode", modes)?;
    let spec = TaskSpec {
        chosen: take_chosen_id(&mut request, body)?,
        prompt,
        workspace: PathBuf::from(workspace),
        model: name(&mut request)?.unwrap_or_else(|| model.clone()),
        system_prompt: request
            .take_text("system_prompt")?
            .filter(|text| !text.trim().is_empty()),
        tools: tools(&mut request, preset)?,
        permission_mode: permission_mode.unwrap_or(preset.permission_mode()),
        max_turns: request
            .take_integer("max_turns")?
            .and_then(|turns| u32::try_from(turns).ok()),
        max_budget: budget(&mut request)?,
        timeout: request
            .take_integer("timeout_seconds")?
            .map(|time| Duration::from_secs(time.unsigned_abs())),
        session: session(&mut request)?,
        webhook: None,
    };
    let webhook = webhook(&mut request, &WEBHOOK)?;
    let project = request.take_text("project_id")?;
    finish(request)?;
    Ok(CreateTaskRequest {
        spec,
        webhook,
        project,
    })
}

/// Decodes the answer to a permission request.
///
/// # Errors
/// Fails when the body is not a valid answer.
pub(super) fn answer(body: &[u8]) -> Result<PermissionDecision, InvalidRequest> {
    let mut request = parse_request(body, &ANSWER, "`decision`")?;
    let answer = decision(&mut request)?;
    finish(request)?;
    Ok(answer)
}

/// Decodes a message on the WebSocket of a task.
///
/// # Errors
/// Fails when the text is not a valid message.
pub(super) fn parse_message(text: &str) -> Result<TaskSocketMessage, InvalidRequest> {
    let mut message = parse_request(text.as_bytes(), &MESSAGE, "a `type`")?;
    let kind = message
        .take_text("type")?
        .ok_or_else(|| message.missing_field("type"))?;
    match kind.as_str() {
        "permission" => {
            let mut message = message.with_schema(&PERMISSION);
            let request_id = message
                .take_text("request_id")?
                .ok_or_else(|| message.missing_field("request_id"))?;
            let answer = decision(&mut message)?;
            finish(message).map(|()| TaskSocketMessage::Permission { request_id, answer })
        }
        "interrupt" => finish(message).map(|()| TaskSocketMessage::Interrupt),
        "ping" => finish(message).map(|()| TaskSocketMessage::Ping),
        _ => {
            let words = format!(
                "expected `permission`, `interrupt` or `ping`, got `{}`.",
                printable(&kind)
            );
            Err(message.invalid_field("type", code::VALUE, &words))
        }
    }
}

/// Reads the decision and message fields.
fn decision(request: &mut ObjectReader) -> Result<PermissionDecision, InvalidRequest> {
    let message = request.take_text("message")?;
    match request.take_text("decision")?.as_deref() {
        Some("allow") if message.is_some() => Err(request.invalid_field(
            "message",
            code::VALUE,
            "an agent that is allowed hears no message. Remove it.",
        )),
        Some("allow") => Ok(PermissionDecision::Allow),
        Some("deny") => Ok(PermissionDecision::Deny(
            message.unwrap_or_else(|| DEFAULT_DENIAL.to_owned()),
        )),
        Some(_) => {
            Err(request.invalid_field("decision", code::VALUE, "expected `allow` or `deny`."))
        }
        None => Err(request.missing_field("decision")),
    }
}

/// Reads a field that takes one of a few words.
fn take_word<T: DeserializeOwned>(
    request: &mut ObjectReader,
    name: &'static str,
    words: &str,
) -> Result<Option<T>, InvalidRequest> {
    let Some(text) = request.take_text(name)? else {
        return Ok(None);
    };
    match serde_json::from_value(Value::String(text)) {
        Ok(word) => Ok(Some(word)),
        Err(_) => Err(request.invalid_field(name, code::VALUE, &format!("expected {words}."))),
    }
}

/// Reads the id chosen by the client, with a hash of the whole `body` that recognizes repeated
/// requests.
fn take_chosen_id(
    request: &mut ObjectReader,
    body: &[u8],
) -> Result<Option<ChosenId>, InvalidRequest> {
    let Some(id) = chosen_id(request, "task_id")? else {
        return Ok(None);
    };
    if ChosenId::is_generated(&id) {
        let words = "`task_` with 32 hexadecimal digits is what this server calls tasks. Choose another id.";
        return Err(request.invalid_field("task_id", code::VALUE, words));
    }
    let body: Value =
        serde_json::from_slice(body).map_err(|error| InvalidRequest::body(format!("{error}.")))?;
    Ok(Some(ChosenId::new(id, &body)))
}

fn name(request: &mut ObjectReader) -> Result<Option<ModelName>, InvalidRequest> {
    match request.take_text("model")? {
        Some(model) if model.trim().is_empty() => Err(request.invalid_field(
            "model",
            code::VALUE,
            "it is blank. Give the name of a model, or leave it out.",
        )),
        model => Ok(model.map(ModelName::new)),
    }
}

fn tools(
    request: &mut ObjectReader,
    preset: ToolPreset,
) -> Result<Vec<&'static str>, InvalidRequest> {
    let Some(value) = request.take("tools")? else {
        return Ok(preset.tools(None, &[]).unwrap_or_default());
    };
    let mut object = ObjectReader::new(value, request.place.inner("tools", &TOOLS))?;
    let (allow, deny) = (texts(&mut object, "allow")?, texts(&mut object, "deny")?);
    finish(object)?;
    preset
        .tools(allow.as_deref(), &deny.unwrap_or_default())
        .map_err(|unknown| {
            let known: Vec<_> = tasks::AGENT_TOOLS.iter().map(|(tool, _)| *tool).collect();
            let unknown = printable(&unknown);
            request.invalid_field(
                "tools",
                code::VALUE,
                &format!(
                    "no tool is called `{unknown}`. There are {}.",
                    known.join(", ")
                ),
            )
        })
}

fn budget(request: &mut ObjectReader) -> Result<Option<Money>, InvalidRequest> {
    let name = "max_budget_usd";
    match money(request, name)? {
        Some(amount) if amount <= Money::ZERO => Err(request.invalid_field(
            name,
            code::VALUE,
            "expected an amount above 0. Nothing can be done for nothing.",
        )),
        amount => Ok(amount),
    }
}

fn session(request: &mut ObjectReader) -> Result<Option<Uuid>, InvalidRequest> {
    let Some(text) = request.take_text("session_id")? else {
        return Ok(None);
    };
    let session = Uuid::try_parse(&text).ok();
    session.map(Some).ok_or_else(|| {
        request.invalid_field(
            "session_id",
            code::VALUE,
            "expected the `session_id` of an earlier task.",
        )
    })
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
