//! Table of errors: status, type and code of each kind.

/// Kind of an error that clients see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum ErrorKind {
    /// Malformed or unserviceable request.
    InvalidRequest,
    /// Body that ended too early or cannot be unpacked.
    BodyUnreadable,
    MissingKey,
    /// Unknown key.
    WrongKey,
    ExpiredKey,
    RevokedKey,
    /// Server without a sign-in for Claude.
    NotSignedIn,
    /// Sign-in of the server refused by Anthropic.
    SignInFailed,
    /// Open server: request made for another host name (DNS rebinding).
    ForbiddenHost,
    /// Page of an origin that may not call.
    ForbiddenOrigin,
    /// Key without the needed permission.
    NotPermitted,
    /// Model outside the key's allow-list.
    ForbiddenModel,
    /// Web search requested but not allowed.
    WebSearchOff,
    /// Code execution or MCP servers at Anthropic requested but not allowed.
    ServerToolsOff,
    /// Project other than that of the key.
    ForeignProject,
    /// Turn refused by a hook.
    HookRefused,
    /// Turn cancelled by the operator.
    CancelledByOperator,
    /// Key other than the admin key.
    NotAdmin,
    /// Request for the metrics without their own key.
    NotScraper,
    /// Request with a wrong secret of the servers that pass requests on to each other.
    WrongNodeSecret,
    /// Request to the dashboard without a session.
    DashboardSignedOut,
    /// Link to the dashboard that was used, or is too old.
    DashboardLinkUsed,
    /// Change in a read-only session of the dashboard.
    DashboardReadOnly,
    /// Dashboard of a server without an admin key, or asked for from another machine.
    DashboardOff,
    UnknownDashboardSession,
    UnknownUrl,
    /// Path of the `OpenAI` API without a counterpart in Claude.
    UnsupportedEndpoint,
    UnknownModel,
    UnknownResponse,
    UnknownBatch,
    UnknownFile,
    UnknownSession,
    UnknownConversation,
    /// Request that is not running, at the dashboard.
    UnknownRequest,
    /// Unknown item of a conversation.
    UnknownItem,
    /// Unknown turn on a socket.
    UnknownTurn,
    UnknownTask,
    /// Unknown or already answered permission request of a task.
    UnknownPermissionRequest,
    /// Chosen id that belongs to a task of another request.
    TaskExists,
    /// Operation on a task that has ended.
    TaskOver,
    /// Hand-over of a task that has not ended.
    TaskNotOver,
    /// Message to a task that has not ended.
    TaskRunning,
    /// Limit of running and queued tasks reached.
    TooManyTasks,
    /// Server without tasks.
    TasksOff,
    UnknownKey,
    UnknownProject,
    /// Chosen id that belongs to another project.
    ProjectExists,
    MethodNotAllowed,
    /// Request without an upgrade for a path that opens a WebSocket.
    NoSocket,
    /// Session with another message being answered.
    SessionBusy,
    /// Limit of sessions per key reached.
    TooManySessions,
    /// Session at its maximum size.
    SessionFull,
    /// Conversation with another change in progress.
    ConversationLocked,
    /// Conversation at its maximum size.
    ConversationFull,
    /// Idempotency key of another request.
    IdempotencyKeyReused,
    /// Idempotency key of a paid request that was cut off.
    IdempotencyInterrupted,
    /// Idempotency key of a paid request whose answer was too large to be kept.
    IdempotencyNotKept,
    /// Idempotency key of a request that another server answers.
    IdempotencyKeyInUse,
    /// Body that did not arrive in time.
    BodyTimeout,
    /// Body over the size limit.
    TooLarge,
    /// Limit of stored files per project reached.
    FilesFull,
    /// Unsupported `Content-Encoding`.
    UnsupportedEncoding,
    /// Unsupported `Transfer-Encoding`.
    UnsupportedCoding,
    /// Conversation longer than the model's context.
    ContextTooLong,
    /// Limit of running turns per socket reached.
    TooManyTurns,
    /// Limit of open sockets per key reached.
    TooManySockets,
    /// Limit of probes of streams reached.
    TooManyProbes,
    /// Memory limit for large bodies of one key reached.
    TooManyBodies,
    /// Limit of attempts to sign in to the dashboard reached.
    DashboardAttempts,
    /// Rate limit of the caller reached.
    Limited,
    /// Budget of the caller used up.
    OverBudget,
    /// Rate or usage limit at Anthropic reached.
    RateLimited,
    /// Workers busy and queue full.
    ServerBusy,
    /// Fault of this server.
    Internal,
    /// Answer of a session or conversation that could not be stored.
    NotKept,
    /// Worker that crashed.
    WorkerFailed,
    /// Other failure at Anthropic.
    Upstream,
    /// Failure to start a worker.
    NoWorker,
    /// Ledger that cannot be written.
    Unwritable,
    /// Disk full or failing, so records or files cannot be read or written.
    StorageUnavailable,
    /// Server that runs the work of the request, and cannot be reached.
    NodeUnreachable,
    /// Hook that has to decide and cannot.
    HookUnavailable,
    /// Memory limit for large bodies reached.
    BodiesFull,
    /// Limit of open connections reached.
    TooManyConnections,
    /// Limit of unauthenticated sockets reached.
    TooManyUnauthenticated,
    /// Limit of viewers of the dashboard reached.
    TooManyViewers,
    ShuttingDown,
    /// Overload at Anthropic.
    Overloaded,
    /// Upstream silent for too long.
    TimedOut,
}

/// Status, type and code of a kind.
pub(in crate::http) struct ErrorRow {
    pub(in crate::http) status: u16,
    pub(in crate::http) r#type: &'static str,
    pub(in crate::http) code: Option<&'static str>,
    /// True if only the operator can remove the cause, although the status suggests a retry.
    pub(in crate::http) is_persistent: bool,
}

impl ErrorKind {
    /// All kinds, in the order of the enum.
    pub(in crate::http) const ALL: [Self; 89] = [
        Self::InvalidRequest,
        Self::BodyUnreadable,
        Self::MissingKey,
        Self::WrongKey,
        Self::ExpiredKey,
        Self::RevokedKey,
        Self::NotSignedIn,
        Self::SignInFailed,
        Self::ForbiddenHost,
        Self::ForbiddenOrigin,
        Self::NotPermitted,
        Self::ForbiddenModel,
        Self::WebSearchOff,
        Self::ServerToolsOff,
        Self::ForeignProject,
        Self::HookRefused,
        Self::CancelledByOperator,
        Self::NotAdmin,
        Self::NotScraper,
        Self::WrongNodeSecret,
        Self::DashboardSignedOut,
        Self::DashboardLinkUsed,
        Self::DashboardReadOnly,
        Self::DashboardOff,
        Self::UnknownDashboardSession,
        Self::UnknownUrl,
        Self::UnsupportedEndpoint,
        Self::UnknownModel,
        Self::UnknownResponse,
        Self::UnknownBatch,
        Self::UnknownFile,
        Self::UnknownSession,
        Self::UnknownConversation,
        Self::UnknownRequest,
        Self::UnknownItem,
        Self::UnknownTurn,
        Self::UnknownTask,
        Self::UnknownPermissionRequest,
        Self::TaskExists,
        Self::TaskOver,
        Self::TaskNotOver,
        Self::TaskRunning,
        Self::TooManyTasks,
        Self::TasksOff,
        Self::UnknownKey,
        Self::UnknownProject,
        Self::ProjectExists,
        Self::MethodNotAllowed,
        Self::NoSocket,
        Self::SessionBusy,
        Self::TooManySessions,
        Self::SessionFull,
        Self::ConversationLocked,
        Self::ConversationFull,
        Self::IdempotencyKeyReused,
        Self::IdempotencyInterrupted,
        Self::IdempotencyNotKept,
        Self::IdempotencyKeyInUse,
        Self::BodyTimeout,
        Self::TooLarge,
        Self::FilesFull,
        Self::UnsupportedEncoding,
        Self::UnsupportedCoding,
        Self::ContextTooLong,
        Self::TooManyTurns,
        Self::TooManySockets,
        Self::TooManyProbes,
        Self::TooManyBodies,
        Self::DashboardAttempts,
        Self::Limited,
        Self::OverBudget,
        Self::RateLimited,
        Self::ServerBusy,
        Self::Internal,
        Self::NotKept,
        Self::WorkerFailed,
        Self::Upstream,
        Self::NoWorker,
        Self::Unwritable,
        Self::StorageUnavailable,
        Self::NodeUnreachable,
        Self::HookUnavailable,
        Self::BodiesFull,
        Self::TooManyConnections,
        Self::TooManyUnauthenticated,
        Self::TooManyViewers,
        Self::ShuttingDown,
        Self::Overloaded,
        Self::TimedOut,
    ];

    /// Returns true if the operator should know of the error.
    pub(in crate::http) const fn is_fault(self) -> bool {
        let row = self.row();
        row.status >= 500 || row.is_persistent
    }

    /// Returns the row of the kind. The type follows from the status, except where clients expect a
    /// certain one.
    pub(in crate::http) const fn row(self) -> ErrorRow {
        let (status, code) = self.status_and_code();
        let r#type = match (self, status) {
            (Self::NotSignedIn | Self::SignInFailed, _) => "authentication_error",
            (Self::OverBudget, _) => "insufficient_quota",
            (Self::UnsupportedCoding, _) => "invalid_request_error",
            (_, 429) => "rate_limit_error",
            (_, 500..) => "server_error",
            _ => "invalid_request_error",
        };
        let lasts = matches!(self, Self::NotSignedIn | Self::SignInFailed | Self::NotKept);
        ErrorRow {
            status,
            r#type,
            code,
            is_persistent: lasts,
        }
    }

    /// Statuses are chosen by how clients react: they retry on 408, 409, 429 and 5xx, and name
    /// their exceptions after the others.
    const fn status_and_code(self) -> (u16, Option<&'static str>) {
        match self {
            Self::InvalidRequest => (400, None),
            Self::BodyUnreadable => (400, Some("body_unreadable")),
            Self::ContextTooLong => (400, Some("context_length_exceeded")),
            Self::MissingKey | Self::WrongKey => (401, Some("invalid_api_key")),
            Self::ExpiredKey => (401, Some("expired_api_key")),
            Self::RevokedKey => (401, Some("revoked_api_key")),
            Self::NotSignedIn => (401, Some("not_signed_in")),
            Self::SignInFailed => (401, Some("sign_in_failed")),
            Self::ForbiddenHost => (403, Some("forbidden_host")),
            Self::ForbiddenOrigin => (403, Some("forbidden_origin")),
            Self::NotPermitted => (403, Some("insufficient_permissions")),
            Self::ForbiddenModel => (403, Some("model_not_found")),
            Self::WebSearchOff => (403, Some("web_search_not_allowed")),
            Self::ServerToolsOff => (403, Some("server_tools_not_allowed")),
            Self::ForeignProject => (403, Some("mismatched_project")),
            Self::HookRefused => (403, Some("hook_refused")),
            Self::CancelledByOperator => (403, Some("cancelled_by_operator")),
            Self::NotAdmin => (403, Some("admin_key_required")),
            Self::NotScraper => (403, Some("metrics_token_required")),
            Self::WrongNodeSecret => (403, Some("wrong_node_secret")),
            Self::DashboardSignedOut => (401, Some("dashboard_signed_out")),
            Self::DashboardLinkUsed => (401, Some("dashboard_link_used")),
            Self::DashboardReadOnly => (403, Some("dashboard_read_only")),
            Self::DashboardOff => (404, Some("dashboard_off")),
            Self::UnknownDashboardSession => (404, Some("dashboard_session_not_found")),
            Self::UnknownUrl => (404, Some("unknown_url")),
            Self::UnsupportedEndpoint => (404, Some("unsupported_endpoint")),
            Self::UnknownModel => (404, Some("model_not_found")),
            Self::UnknownResponse => (404, Some("response_not_found")),
            Self::UnknownBatch => (404, Some("batch_not_found")),
            Self::UnknownFile => (404, Some("file_not_found")),
            Self::UnknownSession => (404, Some("session_not_found")),
            Self::UnknownConversation => (404, Some("conversation_not_found")),
            Self::UnknownRequest => (404, Some("request_not_found")),
            Self::UnknownItem => (404, Some("item_not_found")),
            Self::UnknownTurn => (404, Some("turn_not_found")),
            Self::UnknownTask => (404, Some("task_not_found")),
            Self::UnknownPermissionRequest => (404, Some("permission_request_not_found")),
            Self::TasksOff => (404, Some("tasks_disabled")),
            Self::UnknownKey => (404, Some("key_not_found")),
            Self::UnknownProject => (404, Some("project_not_found")),
            Self::MethodNotAllowed => (405, Some("method_not_allowed")),
            Self::TaskExists => (409, Some("task_exists")),
            Self::TaskRunning => (409, Some("task_running")),
            Self::ProjectExists => (409, Some("project_exists")),
            Self::SessionBusy => (409, Some("session_busy")),
            Self::ConversationLocked => (409, Some("conversation_locked")),
            Self::ConversationFull => (400, Some("conversation_full")),
            Self::TaskOver => (400, Some("task_over")),
            Self::TaskNotOver => (400, Some("task_not_over")),
            Self::TooManySessions => (400, Some("too_many_sessions")),
            Self::SessionFull => (400, Some("session_full")),
            Self::IdempotencyKeyReused => (422, Some("idempotency_key_reused")),
            Self::IdempotencyInterrupted => (409, Some("idempotency_interrupted")),
            Self::IdempotencyNotKept => (409, Some("idempotency_answer_not_kept")),
            Self::IdempotencyKeyInUse => (409, Some("idempotency_key_in_use")),
            Self::BodyTimeout => (408, Some("body_timeout")),
            Self::TooLarge => (413, Some("request_too_large")),
            Self::FilesFull => (413, Some("file_storage_full")),
            Self::UnsupportedEncoding => (415, Some("unsupported_encoding")),
            Self::NoSocket => (426, Some("websocket_required")),
            Self::RateLimited | Self::Limited => (429, Some("rate_limit_exceeded")),
            Self::TooManyTasks => (429, Some("too_many_tasks")),
            Self::TooManyTurns => (429, Some("too_many_turns")),
            Self::TooManySockets => (429, Some("too_many_sockets")),
            Self::TooManyProbes => (429, Some("too_many_probes")),
            Self::TooManyBodies => (429, Some("too_many_large_requests")),
            Self::DashboardAttempts => (429, Some("dashboard_attempts")),
            Self::OverBudget => (429, Some("insufficient_quota")),
            Self::ServerBusy => (429, Some("server_busy")),
            Self::Internal => (500, Some("internal_error")),
            Self::UnsupportedCoding => (501, Some("unsupported_transfer_encoding")),
            Self::NotKept => (500, Some("answer_not_kept")),
            Self::WorkerFailed => (502, Some("worker_failed")),
            Self::Upstream => (502, Some("upstream_error")),
            Self::NoWorker => (503, Some("no_worker")),
            Self::Unwritable => (503, Some("ledger_unavailable")),
            Self::StorageUnavailable => (503, Some("storage_unavailable")),
            Self::NodeUnreachable => (503, Some("node_unreachable")),
            Self::HookUnavailable => (503, Some("hook_unavailable")),
            Self::BodiesFull => (503, Some("request_memory_full")),
            Self::TooManyConnections => (503, Some("too_many_connections")),
            Self::TooManyUnauthenticated => (503, Some("too_many_sockets")),
            Self::TooManyViewers => (503, Some("too_many_viewers")),
            Self::ShuttingDown => (503, Some("shutting_down")),
            Self::Overloaded => (503, Some("overloaded")),
            Self::TimedOut => (504, Some("timeout")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ErrorKind;

    #[test]
    fn list_of_kinds_is_whole() {
        let numbers = ErrorKind::ALL.map(|kind| kind as usize);
        assert!(numbers.into_iter().eq(0..ErrorKind::ALL.len()));
        assert_eq!(ErrorKind::TimedOut as usize, ErrorKind::ALL.len() - 1);
    }
}
