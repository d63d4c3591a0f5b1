//! Request bodies and WebSocket messages of the task API.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde::Deserializer;
use serde::de::Error as _;
use serde_json::Value;
use serde_json::json;
use uuid::Uuid;

use crate::accounts::auth::NewWebhook;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::code;
use crate::api::request_schema::printable;
use crate::api::request_schema::typed;
use crate::api::request_schema::typed::BoundedInteger;
use crate::api::request_schema::typed::Object;
use crate::api::request_schema::typed::StringEnum;
use crate::domain::ModelName;
use crate::domain::Money;
use crate::engine::agent::PermissionDecision;
use crate::http::values::WebhookFields;
use crate::http::values::chosen_id;
use crate::http::values::money;
use crate::services::tasks;
use crate::services::tasks::ChosenId;
use crate::services::tasks::PermissionMode;
use crate::services::tasks::TaskParent;
use crate::services::tasks::TaskSpec;
use crate::services::tasks::ToolPreset;

/// Maximum timeout that a request may ask for, in seconds; the configured bound is usually lower.
pub(super) const MAX_TIMEOUT_SECONDS: i64 = 7 * 24 * 60 * 60;
/// Maximum size of a prompt, in bytes, since it is stored with the task.
const MAX_PROMPT_BYTES: usize = 1 << 20;
/// Message to an agent whose permission request is denied without one.
const DEFAULT_DENIAL: &str = "The user does not want this to be done.";

/// Fields of `POST /v1/tasks`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TaskFields {
    #[serde(deserialize_with = "prompt")]
    prompt: String,
    workspace: String,
    #[serde(default, deserialize_with = "model_name")]
    model: Option<ModelName>,
    system_prompt: Option<String>,
    preset: Option<StringEnum<ToolPreset>>,
    tools: Option<Object<ToolFields>>,
    permission_mode: Option<StringEnum<PermissionMode>>,
    max_turns: Option<BoundedInteger<1, 10_000>>,
    #[serde(default, deserialize_with = "budget")]
    max_budget_usd: Option<Money>,
    timeout_seconds: Option<BoundedInteger<1, MAX_TIMEOUT_SECONDS>>,
    #[serde(default, deserialize_with = "session_id")]
    session_id: Option<Uuid>,
    parent_task_id: Option<String>,
    webhook: Option<Object<WebhookFields>>,
    #[serde(default, deserialize_with = "task_id")]
    task_id: Option<String>,
    project_id: Option<String>,
}

/// Fields of `POST /v1/tasks/{id}/handover`: those of a task whose workspace and parent are known.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HandoverFields {
    #[serde(deserialize_with = "prompt")]
    prompt: String,
    #[serde(default, deserialize_with = "model_name")]
    model: Option<ModelName>,
    system_prompt: Option<String>,
    preset: Option<StringEnum<ToolPreset>>,
    tools: Option<Object<ToolFields>>,
    permission_mode: Option<StringEnum<PermissionMode>>,
    max_turns: Option<BoundedInteger<1, 10_000>>,
    #[serde(default, deserialize_with = "budget")]
    max_budget_usd: Option<Money>,
    timeout_seconds: Option<BoundedInteger<1, MAX_TIMEOUT_SECONDS>>,
    webhook: Option<Object<WebhookFields>>,
    #[serde(default, deserialize_with = "task_id")]
    task_id: Option<String>,
    project_id: Option<String>,
}

impl From<HandoverFields> for TaskFields {
    /// Leaves the workspace empty and the parent out: they are those of the first task.
    fn from(fields: HandoverFields) -> Self {
        Self {
            prompt: fields.prompt,
            workspace: String::new(),
            model: fields.model,
            system_prompt: fields.system_prompt,
            preset: fields.preset,
            tools: fields.tools,
            permission_mode: fields.permission_mode,
            max_turns: fields.max_turns,
            max_budget_usd: fields.max_budget_usd,
            timeout_seconds: fields.timeout_seconds,
            session_id: None,
            parent_task_id: None,
            webhook: fields.webhook,
            task_id: fields.task_id,
            project_id: fields.project_id,
        }
    }
}

/// Fields of `tools`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ToolFields {
    #[serde(default, deserialize_with = "typed::texts")]
    allow: Option<Vec<String>>,
    #[serde(default, deserialize_with = "typed::texts")]
    deny: Option<Vec<String>>,
}

/// Fields of `POST /v1/tasks/{id}/permissions/{request_id}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DecisionFields {
    decision: StringEnum<Decision>,
    message: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Decision {
    Allow,
    Deny,
}

/// Field that all messages on the WebSocket of a task share; the others depend on it.
#[derive(Deserialize)]
struct SocketMessageType {
    r#type: StringEnum<SocketMessageKind>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum SocketMessageKind {
    Permission,
    Interrupt,
    Ping,
}

/// Fields of a `permission` message.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PermissionFields {
    #[serde(rename = "type")]
    _type: StringEnum<SocketMessageKind>,
    request_id: String,
    decision: StringEnum<Decision>,
    message: Option<String>,
}

/// Fields of an `interrupt` or `ping` message.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignalFields {
    #[serde(rename = "type")]
    _type: SocketMessageKind,
}

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

/// Decodes the body of `POST /v1/tasks`; `model` is the default model.
///
/// # Errors
/// Fails when the body is not a valid request.
pub(super) fn create(body: &[u8], model: &ModelName) -> Result<CreateTaskRequest, InvalidRequest> {
    let body = typed::parse_object(body, "`prompt` and `workspace`")?;
    to_request(typed::from_value(&body)?, &body, model)
}

/// Decodes the body of `POST /v1/tasks/{id}/handover`; `first` is the id in the path, `model` the
/// default model. The task has no workspace and no parent yet.
///
/// # Errors
/// Fails when the body is not a valid request.
pub(super) fn hand_over(
    body: &[u8],
    first: &str,
    model: &ModelName,
) -> Result<CreateTaskRequest, InvalidRequest> {
    let body = typed::parse_object(body, "`prompt`")?;
    let fields: HandoverFields = typed::from_value(&body)?;
    // The same body is another request for another task.
    let identity = json!({"handover": first, "body": body});
    to_request(fields.into(), &identity, model)
}

/// Checks the fields of a task. A repeated request is recognized by `identity`.
fn to_request(
    fields: TaskFields,
    identity: &Value,
    model: &ModelName,
) -> Result<CreateTaskRequest, InvalidRequest> {
    let parent = |id| TaskParent {
        id,
        is_handover: false,
    };
    let preset = fields.preset.map(|preset| preset.0).unwrap_or_default();
    let spec = TaskSpec {
        chosen: fields.task_id.map(|id| ChosenId::new(id, identity)),
        parent: fields.parent_task_id.map(parent),
        prompt: fields.prompt,
        workspace: PathBuf::from(fields.workspace),
        model: fields.model.unwrap_or_else(|| model.clone()),
        system_prompt: fields.system_prompt.filter(|text| !text.trim().is_empty()),
        tools: select_tools(preset, fields.tools)?,
        permission_mode: fields
            .permission_mode
            .map_or(preset.permission_mode(), |mode| mode.0),
        max_turns: fields.max_turns.map(u32::from),
        max_budget: fields.max_budget_usd,
        timeout: fields
            .timeout_seconds
            .map(|time| Duration::from_secs(time.get())),
        session: fields.session_id,
        webhook: None,
    };
    Ok(CreateTaskRequest {
        spec,
        webhook: fields.webhook.map(NewWebhook::from),
        project: fields.project_id,
    })
}

/// Decodes the answer to a permission request.
///
/// # Errors
/// Fails when the body is not a valid answer.
pub(in crate::http) fn answer(body: &[u8]) -> Result<PermissionDecision, InvalidRequest> {
    let fields: DecisionFields = typed::parse_typed(body, "`decision`")?;
    decide(&fields.decision.0, fields.message)
}

/// Decodes a message on the WebSocket of a task.
///
/// # Errors
/// Fails when the text is not a valid message.
pub(super) fn parse_message(text: &str) -> Result<TaskSocketMessage, InvalidRequest> {
    let message = typed::parse_object(text.as_bytes(), "a `type`")?;
    let kind: SocketMessageType = typed::from_value(&message)?;
    match kind.r#type.0 {
        SocketMessageKind::Permission => {
            let fields: PermissionFields = typed::from_value(&message)?;
            Ok(TaskSocketMessage::Permission {
                request_id: fields.request_id,
                answer: decide(&fields.decision.0, fields.message)?,
            })
        }
        SocketMessageKind::Interrupt => {
            typed::from_value(&message).map(|SignalFields { .. }| TaskSocketMessage::Interrupt)
        }
        SocketMessageKind::Ping => {
            typed::from_value(&message).map(|SignalFields { .. }| TaskSocketMessage::Ping)
        }
    }
}

fn decide(
    decision: &Decision,
    message: Option<String>,
) -> Result<PermissionDecision, InvalidRequest> {
    match (decision, message) {
        (Decision::Allow, Some(_)) => {
            let message = "`message`: an agent that is allowed hears no message. Remove it.";
            Err(InvalidRequest::at("message", code::VALUE, message))
        }
        (Decision::Allow, None) => Ok(PermissionDecision::Allow),
        (Decision::Deny, message) => Ok(PermissionDecision::Deny(
            message.unwrap_or_else(|| DEFAULT_DENIAL.to_owned()),
        )),
    }
}

fn select_tools(
    preset: ToolPreset,
    fields: Option<Object<ToolFields>>,
) -> Result<Vec<&'static str>, InvalidRequest> {
    let Object(ToolFields { allow, deny }) = fields.unwrap_or(Object(ToolFields::default()));
    let deny = deny.unwrap_or_default();
    preset.tools(allow.as_deref(), &deny).map_err(|unknown| {
        let known: Vec<_> = tasks::AGENT_TOOLS.iter().map(|(tool, _)| *tool).collect();
        let message = format!(
            "`tools`: no tool is called `{}`. There are {}.",
            printable(&unknown),
            known.join(", ")
        );
        InvalidRequest::at("tools", code::VALUE, message)
    })
}

fn prompt<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let prompt = String::deserialize(deserializer)?;
    if prompt.trim().is_empty() {
        return Err(D::Error::custom("it is blank. Say what is to be done."));
    }
    if prompt.len() > MAX_PROMPT_BYTES {
        return Err(D::Error::custom(
            "it has more than 1 MiB. Put what is to be read into a file of the workspace.",
        ));
    }
    Ok(prompt)
}

fn model_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ModelName>, D::Error> {
    match Option::<String>::deserialize(deserializer)? {
        Some(model) if model.trim().is_empty() => Err(D::Error::custom(
            "it is blank. Give the name of a model, or leave it out.",
        )),
        model => Ok(model.map(ModelName::new)),
    }
}

fn budget<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Money>, D::Error> {
    match money(deserializer)? {
        Some(amount) if amount <= Money::ZERO => Err(D::Error::custom(
            "expected an amount above 0. Nothing can be done for nothing.",
        )),
        amount => Ok(amount),
    }
}

fn session_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Uuid>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    let session = text.map(|text| Uuid::try_parse(&text)).transpose();
    session.map_err(|_| D::Error::custom("expected the `session_id` of an earlier task."))
}

/// Reads the id chosen by the client, which is none that this server generates.
fn task_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    match chosen_id(deserializer)? {
        Some(id) if ChosenId::is_generated(&id) => Err(D::Error::custom(
            "`task_` with 32 hexadecimal digits is what this server calls tasks. Choose another id.",
        )),
        id => Ok(id),
    }
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
