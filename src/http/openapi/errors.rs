//! Error responses, made from the table of errors.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use super::described::DescribedRoute;
use super::headers;
use super::operation::Operation;
use super::operation::OperationBody;
use super::operation::OperationTag as Tag;
use crate::api::request_schema::code;
use crate::http::error::ErrorKind;
use crate::http::middleware::authenticate::RequiredAuth;

/// Codes of an [`ErrorKind::InvalidRequest`], which depend on the fault.
const INVALID_REQUEST_CODES: [&str; 10] = [
    code::MISSING,
    code::TYPE,
    code::VALUE,
    code::UNKNOWN,
    code::UNSUPPORTED,
    "context_length_exceeded",
    "item_not_found",
    "mutually_exclusive_parameters",
    "previous_response_not_finished",
    "previous_response_not_found",
];

/// Format of the errors of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum ErrorFormat {
    OpenAi,
    Anthropic,
    /// Either, by what the client sends.
    Both,
}

/// Response components that were referred to, by name.
#[derive(Debug, Default)]
pub(super) struct ErrorResponses(Map<String, Value>);

impl ErrorResponses {
    /// Returns the error responses of an operation by status, as references that name its codes.
    pub(super) fn of(
        &mut self,
        route: &DescribedRoute,
        operation: &Operation,
    ) -> BTreeMap<u16, Value> {
        let mut codes: BTreeMap<u16, BTreeSet<&str>> = BTreeMap::new();
        for kind in ErrorKind::ALL {
            if is_possible(kind, route, operation) {
                let row = kind.row();
                codes.entry(row.status).or_default().extend(codes_of(kind));
            }
        }
        let format = format(operation.tag);
        codes
            .into_iter()
            .map(|(status, codes)| (status, self.reference(status, &codes, format)))
            .collect()
    }

    fn reference(&mut self, status: u16, codes: &BTreeSet<&str>, format: ErrorFormat) -> Value {
        let name = match format {
            ErrorFormat::OpenAi => format!("Error{status}"),
            ErrorFormat::Anthropic => format!("AnthropicError{status}"),
            ErrorFormat::Both => format!("AnyError{status}"),
        };
        if !self.0.contains_key(&name) {
            self.0.insert(name.clone(), response(status, format));
        }
        let codes: Vec<String> = codes.iter().map(|code| format!("`{code}`")).collect();
        json!({
            "$ref": format!("#/components/responses/{name}"),
            "description": format!("{} {}.", meaning(status), codes.join(", ")),
        })
    }

    /// Returns the components by name.
    pub(super) fn into_components(self) -> Map<String, Value> {
        self.0
    }
}

/// Returns all errors: their codes, statuses and types.
pub(super) fn list() -> Value {
    let mut rows: Vec<Value> = Vec::new();
    for kind in ErrorKind::ALL {
        let row = kind.row();
        for code in codes_of(kind) {
            let entry = json!({"status": row.status, "type": row.r#type, "code": code});
            if !rows.contains(&entry) {
                rows.push(entry);
            }
        }
    }
    rows.into()
}

fn codes_of(kind: ErrorKind) -> Vec<&'static str> {
    match kind.row().code {
        Some(code) => vec![code],
        None => INVALID_REQUEST_CODES.to_vec(),
    }
}

fn response(status: u16, format: ErrorFormat) -> Value {
    let kinds = ErrorKind::ALL.into_iter();
    let codes: BTreeSet<&str> = kinds
        .filter(|kind| kind.row().status == status)
        .flat_map(codes_of)
        .collect();
    let mut codes: Vec<Value> = codes.into_iter().map(Value::from).collect();
    if status == 400 {
        // The body as a whole is at fault, or Anthropic refused the request.
        codes.push(Value::Null);
    }
    let openai = json!({
        "allOf": [
            {"$ref": "#/components/schemas/OpenAiError"},
            {"type": "object", "properties": {
                "error": {"type": "object", "properties": {"code": {"enum": codes}}},
            }},
        ],
    });
    let schema = match format {
        ErrorFormat::OpenAi => openai,
        ErrorFormat::Anthropic => json!({"$ref": "#/components/schemas/AnthropicError"}),
        ErrorFormat::Both => json!({"$ref": "#/components/schemas/AnyError"}),
    };
    json!({
        "description": meaning(status),
        "headers": headers::of_error(status),
        "content": {"application/json": {"schema": schema}},
    })
}

/// Returns what an error of this status means to a client.
const fn meaning(status: u16) -> &'static str {
    match status {
        400 => "The request is invalid.",
        401 => "The key is missing or wrong, or the server is not signed in.",
        403 => "The key may not do this.",
        404 => "There is no such thing.",
        408 => "The body did not come in time.",
        409 => "The request conflicts with another one or with the current state.",
        413 => "The body is too large.",
        415 => "The encoding of the body is not supported.",
        422 => "The idempotency key belongs to a request with another body.",
        426 => "The path opens a WebSocket.",
        429 => "A limit is reached. Where a retry helps, `Retry-After` says when.",
        501 => "The transfer encoding is not supported.",
        502 => "The call to the model failed.",
        503 => "The server cannot answer now.",
        504 => "The model did not answer in time.",
        _ => "A fault of this server.",
    }
}

const fn format(tag: Tag) -> ErrorFormat {
    match tag {
        Tag::Messages | Tag::MessageBatches => ErrorFormat::Anthropic,
        Tag::Files | Tag::Models => ErrorFormat::Both,
        _ => ErrorFormat::OpenAi,
    }
}

/// True if operations of this tag may be about work that another server runs.
const fn has_running_work(tag: Tag) -> bool {
    matches!(
        tag,
        Tag::Responses | Tag::Batches | Tag::MessageBatches | Tag::Tasks
    )
}

/// True if an operation may be answered with an error of this kind.
fn is_possible(kind: ErrorKind, route: &DescribedRoute, operation: &Operation) -> bool {
    let is_one_of = |tags: &[Tag]| tags.contains(&operation.tag);
    let is_public = route.need == RequiredAuth::Public;
    let is_admin = matches!(route.need, RequiredAuth::Admin | RequiredAuth::Scraper);
    let has_body = matches!(
        operation.body,
        OperationBody::Object(_) | OperationBody::Form(_)
    );
    let is_socket = matches!(operation.body, OperationBody::Socket(_));
    let has_input = has_body || !operation.query.is_empty() || !operation.headers.is_empty();
    match kind {
        // Answers to requests for which there is no operation, those of the dashboard included, or with a
        // header that servers alone send.
        ErrorKind::UnknownUrl
        | ErrorKind::UnsupportedEndpoint
        | ErrorKind::MethodNotAllowed
        | ErrorKind::UnknownRequest
        | ErrorKind::TooManyViewers
        | ErrorKind::DashboardSignedOut
        | ErrorKind::DashboardLinkUsed
        | ErrorKind::DashboardReadOnly
        | ErrorKind::DashboardAttempts
        | ErrorKind::WrongNodeSecret
        | ErrorKind::TaskRunning => false,
        ErrorKind::ForbiddenHost
        | ErrorKind::ForbiddenOrigin
        | ErrorKind::Internal
        | ErrorKind::TooManyConnections => true,
        // Paths contain ids, which are checked; and a batch that has ended, say, cannot be changed.
        ErrorKind::InvalidRequest => has_input || !is_public,
        ErrorKind::BodyUnreadable
        | ErrorKind::BodyTimeout
        | ErrorKind::TooLarge
        | ErrorKind::UnsupportedEncoding
        | ErrorKind::UnsupportedCoding
        | ErrorKind::TooManyBodies
        | ErrorKind::BodiesFull => has_body,
        ErrorKind::MissingKey
        | ErrorKind::WrongKey
        | ErrorKind::ExpiredKey
        | ErrorKind::RevokedKey
        | ErrorKind::ShuttingDown
        | ErrorKind::StorageUnavailable => !is_public,
        ErrorKind::NotPermitted | ErrorKind::ForeignProject => !is_public && !is_admin,
        ErrorKind::NotScraper => route.need == RequiredAuth::Scraper,
        ErrorKind::NotAdmin
        | ErrorKind::UnknownKey
        | ErrorKind::UnknownProject
        | ErrorKind::DashboardOff
        | ErrorKind::UnknownDashboardSession
        | ErrorKind::ProjectExists => is_admin && operation.tag == Tag::Admin,
        ErrorKind::NotSignedIn | ErrorKind::SignInFailed | ErrorKind::UnknownModel => {
            operation.runs_model || is_one_of(&[Tag::Models])
        }
        ErrorKind::ForbiddenModel
        | ErrorKind::CancelledByOperator
        | ErrorKind::WebSearchOff
        | ErrorKind::ServerToolsOff
        | ErrorKind::ContextTooLong
        | ErrorKind::Limited
        | ErrorKind::OverBudget
        | ErrorKind::RateLimited
        | ErrorKind::ServerBusy
        | ErrorKind::WorkerFailed
        | ErrorKind::Upstream
        | ErrorKind::NoWorker
        | ErrorKind::Overloaded
        | ErrorKind::TimedOut => operation.runs_model,
        ErrorKind::HookRefused | ErrorKind::HookUnavailable => {
            operation.runs_model || is_one_of(&[Tag::Tasks])
        }
        ErrorKind::Unwritable => operation.runs_model || is_one_of(&[Tag::Models, Tag::Usage]),
        ErrorKind::UnknownResponse => is_one_of(&[Tag::Responses]),
        ErrorKind::UnknownConversation
        | ErrorKind::UnknownItem
        | ErrorKind::ConversationLocked
        | ErrorKind::ConversationFull => is_one_of(&[Tag::Responses, Tag::Conversations]),
        ErrorKind::IdempotencyKeyReused
        | ErrorKind::IdempotencyInterrupted
        | ErrorKind::IdempotencyNotKept
        | ErrorKind::IdempotencyKeyInUse => operation.takes_idempotency_key,
        ErrorKind::NodeUnreachable => has_running_work(operation.tag),
        ErrorKind::UnknownBatch => is_one_of(&[Tag::Batches, Tag::MessageBatches]),
        ErrorKind::UnknownFile => operation.runs_model || is_one_of(&[Tag::Files, Tag::Batches]),
        ErrorKind::FilesFull => is_one_of(&[Tag::Files, Tag::Batches, Tag::MessageBatches]),
        ErrorKind::UnknownSession | ErrorKind::SessionBusy => {
            is_one_of(&[Tag::Sessions, Tag::Tasks])
        }
        ErrorKind::TooManySessions | ErrorKind::SessionFull => is_one_of(&[Tag::Sessions]),
        ErrorKind::NotKept => is_one_of(&[Tag::Sessions, Tag::Responses]),
        ErrorKind::UnknownTask
        | ErrorKind::UnknownPermissionRequest
        | ErrorKind::TaskExists
        | ErrorKind::TaskOver
        | ErrorKind::TaskNotOver
        | ErrorKind::TooManyTasks
        | ErrorKind::TasksOff => is_one_of(&[Tag::Tasks]),
        ErrorKind::TooManyProbes => operation.id == "probeStream",
        ErrorKind::NoSocket
        | ErrorKind::TooManySockets
        | ErrorKind::TooManyTurns
        | ErrorKind::TooManyUnauthenticated
        | ErrorKind::UnknownTurn => is_socket,
    }
}
