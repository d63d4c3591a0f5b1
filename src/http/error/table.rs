//! The table of errors.

/// The kinds of errors a client gets to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum Kind {
    /// The request cannot be understood or served as it stands.
    InvalidRequest,
    /// The body stopped before its end.
    BodyUnreadable,
    /// The request brings no key.
    MissingKey,
    /// The request brings a key that is not known.
    WrongKey,
    /// The request brings a key whose time is over.
    ExpiredKey,
    /// The request brings a key that was revoked.
    RevokedKey,
    /// The server has no sign-in for Claude.
    NotSignedIn,
    /// Anthropic did not accept the server's sign-in.
    SignInFailed,
    /// Without keys: the request was made for another host than this one.
    ForbiddenHost,
    /// Without keys: the request was made by a page of another site.
    ForbiddenOrigin,
    /// The request brings a key that is not for this.
    NotPermitted,
    /// The request names a model that its key may not use.
    ForbiddenModel,
    /// The request asks for a search of the web, which is not allowed.
    WebSearchOff,
    /// The request asks for code that is run or MCP servers that are called by Anthropic, which is not allowed.
    ServerToolsOff,
    /// The request names a project that is not its key's.
    ForeignProject,
    /// The request brings a key that is not the admin key.
    NotAdmin,
    /// No such path.
    UnknownUrl,
    /// A path of the `OpenAI` API that Claude has nothing for.
    UnsupportedEndpoint,
    /// No such model.
    UnknownModel,
    /// The caller has no such response.
    UnknownResponse,
    /// The caller's project has no such batch.
    UnknownBatch,
    /// The caller's project has no such file.
    UnknownFile,
    /// The caller has no such session.
    UnknownSession,
    /// The caller has no such conversation.
    UnknownConversation,
    /// The conversation has no such item.
    UnknownItem,
    /// No such turn runs on the socket.
    UnknownTurn,
    /// The caller has no such task.
    UnknownTask,
    /// The task asks no such question.
    UnknownPermissionRequest,
    /// A task that another request has asked for has the id that was chosen.
    TaskExists,
    /// The task has ended.
    TaskOver,
    /// As many tasks run and wait as may.
    TooManyTasks,
    /// The server runs no tasks.
    TasksOff,
    /// No such key.
    UnknownKey,
    /// No such project.
    UnknownProject,
    /// Another project has the id that was chosen.
    ProjectExists,
    /// The path exists, the method on it does not.
    MethodNotAllowed,
    /// The path opens a WebSocket, and the request asks for none.
    NoSocket,
    /// A message to the session is being answered.
    SessionBusy,
    /// The caller has as many sessions as may be.
    TooManySessions,
    /// The session has as much in it as may be.
    SessionFull,
    /// Something is being added to the conversation.
    ConversationLocked,
    /// The conversation has as much in it as may be.
    ConversationFull,
    /// The body did not come in time.
    BodyTimeout,
    /// The body is over the limit.
    TooLarge,
    /// The files of a project take all the room they may.
    FilesFull,
    /// The body is compressed in a way that is not read.
    UnsupportedEncoding,
    /// The body has a transfer coding that is not read.
    UnsupportedCoding,
    /// The conversation is longer than the model can read.
    ContextTooLong,
    /// As many turns run on the socket as may.
    TooManyTurns,
    /// As many sockets of the key are open as may.
    TooManySockets,
    /// The large bodies of the key take all the memory that one key may have.
    TooManyBodies,
    /// A limit of the caller's own was met.
    Limited,
    /// A budget of the caller's has no room.
    OverBudget,
    /// Anthropic's rate or usage limit was met.
    RateLimited,
    /// All workers are busy and nobody more can wait.
    ServerBusy,
    /// A fault of this server.
    Internal,
    /// An answer of a session or conversation was made and cannot be kept.
    NotKept,
    /// The worker died.
    WorkerFailed,
    /// Another failure of Anthropic's.
    Upstream,
    /// No worker can be started.
    NoWorker,
    /// What runs cost cannot be written down.
    Unwritable,
    /// Records or files cannot be read or written: the disk is full, or fails.
    StorageUnavailable,
    /// Large bodies take all the memory there is for them.
    BodiesFull,
    /// As many connections are open as may be.
    TooManyConnections,
    /// As many sockets are open as may whose clients are not known yet.
    TooManyStrangers,
    /// The server is being stopped.
    ShuttingDown,
    /// Anthropic is overloaded.
    Overloaded,
    /// Nothing came for too long.
    TimedOut,
}

/// How a kind is told to clients.
pub(super) struct Row {
    pub(super) status: u16,
    pub(super) r#type: &'static str,
    pub(super) code: Option<&'static str>,
    /// The state lasts until somebody changes something, though the status says to try again.
    pub(super) lasts: bool,
}

impl Kind {
    /// Whether the operator of the server should know of it.
    pub(in crate::http) const fn is_fault(self) -> bool {
        let row = self.row();
        row.status >= 500 || row.lasts
    }

    /// The row of the table. The type goes by the status, but where clients look for one by its name.
    pub(super) const fn row(self) -> Row {
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
        Row {
            status,
            r#type,
            code,
            lasts,
        }
    }

    /// Statuses are chosen by what clients do on them: they try again on 408, 409, 429 and 5xx, and name their exceptions after
    /// the rest.
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
            Self::NotAdmin => (403, Some("admin_key_required")),
            Self::UnknownUrl => (404, Some("unknown_url")),
            Self::UnsupportedEndpoint => (404, Some("unsupported_endpoint")),
            Self::UnknownModel => (404, Some("model_not_found")),
            Self::UnknownResponse => (404, Some("response_not_found")),
            Self::UnknownBatch => (404, Some("batch_not_found")),
            Self::UnknownFile => (404, Some("file_not_found")),
            Self::UnknownSession => (404, Some("session_not_found")),
            Self::UnknownConversation => (404, Some("conversation_not_found")),
            Self::UnknownItem => (404, Some("item_not_found")),
            Self::UnknownTurn => (404, Some("turn_not_found")),
            Self::UnknownTask => (404, Some("task_not_found")),
            Self::UnknownPermissionRequest => (404, Some("permission_request_not_found")),
            Self::TasksOff => (404, Some("tasks_disabled")),
            Self::UnknownKey => (404, Some("key_not_found")),
            Self::UnknownProject => (404, Some("project_not_found")),
            Self::MethodNotAllowed => (405, Some("method_not_allowed")),
            Self::TaskExists => (409, Some("task_exists")),
            Self::ProjectExists => (409, Some("project_exists")),
            Self::SessionBusy => (409, Some("session_busy")),
            Self::ConversationLocked => (409, Some("conversation_locked")),
            Self::ConversationFull => (400, Some("conversation_full")),
            Self::TaskOver => (400, Some("task_over")),
            Self::TooManySessions => (400, Some("too_many_sessions")),
            Self::SessionFull => (400, Some("session_full")),
            Self::BodyTimeout => (408, Some("body_timeout")),
            Self::TooLarge => (413, Some("request_too_large")),
            Self::FilesFull => (413, Some("file_storage_full")),
            Self::UnsupportedEncoding => (415, Some("unsupported_encoding")),
            Self::NoSocket => (426, Some("websocket_required")),
            Self::RateLimited | Self::Limited => (429, Some("rate_limit_exceeded")),
            Self::TooManyTasks => (429, Some("too_many_tasks")),
            Self::TooManyTurns => (429, Some("too_many_turns")),
            Self::TooManySockets => (429, Some("too_many_sockets")),
            Self::TooManyBodies => (429, Some("too_many_large_requests")),
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
            Self::BodiesFull => (503, Some("request_memory_full")),
            Self::TooManyConnections => (503, Some("too_many_connections")),
            Self::TooManyStrangers => (503, Some("too_many_sockets")),
            Self::ShuttingDown => (503, Some("shutting_down")),
            Self::Overloaded => (503, Some("overloaded")),
            Self::TimedOut => (504, Some("timeout")),
        }
    }
}
