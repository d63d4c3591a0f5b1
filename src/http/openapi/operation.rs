//! Description of an operation: what its route and its handler alone do not say.

use crate::api::request_schema::Field;
use crate::api::request_schema::ObjectKind;
use crate::api::request_schema::ObjectSchema;

/// Operation of the API, named in the row of its route.
#[derive(Debug)]
pub(in crate::http) struct Operation {
    /// Unique id; that of OpenAI's own document where it has the operation.
    pub(super) id: &'static str,
    pub(super) tag: OperationTag,
    pub(super) summary: &'static str,
    /// Parameters of the query.
    pub(super) query: &'static [Field],
    /// Headers that only this operation reads.
    pub(super) headers: &'static [Field],
    pub(super) body: OperationBody,
    /// Example of the body, as JSON.
    pub(super) example: Option<&'static str>,
    /// True if an empty body is accepted.
    pub(super) is_body_optional: bool,
    /// True if a model is called, so that limits, budgets and upstream errors apply.
    pub(super) runs_model: bool,
    /// True if a request that is sent again with its idempotency key is answered once.
    pub(super) takes_idempotency_key: bool,
}

/// Body of a request.
#[derive(Debug, Clone, Copy)]
pub(super) enum OperationBody {
    /// Request without a body; one that is sent is not read.
    None,
    /// JSON object by its table.
    Object(RequestObject),
    /// Multipart form: text fields by one of the tables, and the file.
    Form(&'static [ObjectKind]),
    /// No body: the request opens a WebSocket, whose messages from the client have these tables.
    Socket(&'static [ObjectKind]),
}

/// JSON object of a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct RequestObject {
    /// Name of its schema among the components.
    pub(super) name: &'static str,
    /// Tables of its fields; a field has the row of the first table that has one.
    pub(super) tables: &'static [&'static ObjectSchema],
    /// Fields of the tables that this object does not have.
    pub(super) without: &'static [&'static str],
    /// True if the rows decide which fields are required; otherwise none is.
    pub(super) has_required: bool,
    /// True if unknown fields are always refused.
    pub(super) is_closed: bool,
}

/// Group of operations in the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum OperationTag {
    Chat,
    Responses,
    Conversations,
    Completions,
    Messages,
    MessageBatches,
    Batches,
    Files,
    Models,
    Sessions,
    Tasks,
    Stream,
    Forwarded,
    Usage,
    Operations,
    Admin,
}

impl OperationTag {
    /// All groups in the order of the document.
    pub(super) const ALL: [Self; 16] = [
        Self::Chat,
        Self::Responses,
        Self::Conversations,
        Self::Completions,
        Self::Messages,
        Self::MessageBatches,
        Self::Batches,
        Self::Files,
        Self::Models,
        Self::Sessions,
        Self::Tasks,
        Self::Stream,
        Self::Forwarded,
        Self::Usage,
        Self::Operations,
        Self::Admin,
    ];

    /// Returns the name and the description of the group.
    pub(super) const fn texts(self) -> (&'static str, &'static str) {
        match self {
            Self::Chat => ("Chat", "Chat completions of OpenAI's API."),
            Self::Responses => ("Responses", "Responses of OpenAI's API."),
            Self::Conversations => (
                "Conversations",
                "Conversations of OpenAI's API, which responses continue.",
            ),
            Self::Completions => ("Completions", "The API of OpenAI before chat."),
            Self::Messages => ("Messages", "Messages of Anthropic's API."),
            Self::MessageBatches => ("Message Batches", "Message Batches of Anthropic's API."),
            Self::Batches => (
                "Batches",
                "Batches of OpenAI's API, and several chat requests in one, which is this server's own.",
            ),
            Self::Files => (
                "Files",
                "Files in the format of OpenAI's API, or of Anthropic's to clients that send `anthropic-version`.",
            ),
            Self::Models => ("Models", "Models, and the choice among them."),
            Self::Sessions => (
                "Sessions",
                "This server's own: conversations whose history the server keeps.",
            ),
            Self::Tasks => (
                "Tasks",
                "This server's own: agents that work in folders of the server.",
            ),
            Self::Stream => (
                "Stream",
                "This server's own: a WebSocket that carries many turns.",
            ),
            Self::Forwarded => (
                "Other servers",
                "Endpoints of OpenAI's API that Claude has no model for: answered by the other servers of the configuration, or refused.",
            ),
            Self::Usage => ("Usage", "This server's own: usage and budgets."),
            Self::Operations => (
                "Operations",
                "Health, metrics and description of the server.",
            ),
            Self::Admin => (
                "Admin",
                "Keys, projects, usage, cache and backups, for the operator. With the admin key alone.",
            ),
        }
    }
}

impl Operation {
    /// Creates the description of an operation without parameters and body.
    pub(super) const fn new(id: &'static str, tag: OperationTag, summary: &'static str) -> Self {
        Self {
            id,
            tag,
            summary,
            query: &[],
            headers: &[],
            body: OperationBody::None,
            example: None,
            is_body_optional: false,
            runs_model: false,
            takes_idempotency_key: false,
        }
    }

    /// Sets the parameters of the query.
    pub(super) const fn query(mut self, parameters: &'static [Field]) -> Self {
        self.query = parameters;
        self
    }

    /// Sets the headers that only this operation reads.
    pub(super) const fn headers(mut self, headers: &'static [Field]) -> Self {
        self.headers = headers;
        self
    }

    /// Sets the body: a JSON object.
    pub(super) const fn body(mut self, object: RequestObject, example: &'static str) -> Self {
        self.body = OperationBody::Object(object);
        self.example = Some(example);
        self
    }

    /// Sets the body: a multipart form with one of these tables.
    pub(super) const fn form(mut self, forms: &'static [ObjectKind]) -> Self {
        self.body = OperationBody::Form(forms);
        self
    }

    /// Declares that the request opens a WebSocket on which clients send objects of these tables.
    pub(super) const fn socket(mut self, messages: &'static [ObjectKind]) -> Self {
        self.body = OperationBody::Socket(messages);
        self
    }

    /// Declares that an empty body is accepted.
    pub(super) const fn optional(mut self) -> Self {
        self.is_body_optional = true;
        self
    }

    /// Declares that a request which is sent again with its idempotency key is answered once.
    pub(super) const fn idempotent(mut self) -> Self {
        self.takes_idempotency_key = true;
        self
    }

    /// Declares that a model is called.
    pub(super) const fn runs_model(mut self) -> Self {
        self.runs_model = true;
        self
    }
}

impl RequestObject {
    /// Creates an object with the fields of one table of an API of OpenAI or Anthropic.
    pub(super) const fn of(name: &'static str, tables: &'static [&'static ObjectSchema]) -> Self {
        Self {
            name,
            tables,
            without: &[],
            has_required: true,
            is_closed: false,
        }
    }

    /// Refuses unknown fields, as this server's own APIs do.
    pub(super) const fn closed(mut self) -> Self {
        self.is_closed = true;
        self
    }

    /// Leaves out the fields `without`, and requires none of the others.
    pub(super) const fn partial(mut self, without: &'static [&'static str]) -> Self {
        self.has_required = false;
        self.without = without;
        self
    }
}
