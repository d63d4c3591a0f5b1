//! Endpoints that can be called without HTTP, by path.

/// Endpoint whose requests can be answered without an HTTP client, for example from a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApiEndpoint {
    /// `POST /v1/chat/completions`.
    Chat,
    /// `POST /v1/completions`.
    Completions,
    /// `POST /v1/responses`.
    Responses,
    /// `POST /v1/messages`.
    Messages,
}

impl ApiEndpoint {
    /// Endpoints of both APIs, in a fixed order.
    pub const ALL: [Self; 4] = [
        Self::Chat,
        Self::Completions,
        Self::Responses,
        Self::Messages,
    ];
    /// Endpoints of `OpenAI`'s API only.
    pub const OPENAI: [Self; 3] = [Self::Chat, Self::Completions, Self::Responses];

    /// Returns the endpoint with this path, such as `/v1/messages`.
    pub fn from_path(path: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|endpoint| endpoint.path() == path)
    }

    /// Returns the path of the endpoint.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Completions => "/v1/completions",
            Self::Responses => "/v1/responses",
            Self::Messages => "/v1/messages",
        }
    }
}
