//! Origin of a request: the API that it came by, and how it is answered.

/// API by which a request came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Surface {
    /// Chat completions.
    #[default]
    Chat,
    /// Text completions.
    Completions,
    /// Responses, over HTTP or a WebSocket.
    Responses,
    /// Messages of Anthropic's API.
    Messages,
    /// Messages to sessions.
    Sessions,
    /// Several requests in one call, `POST /v1/batch`.
    Batch,
    /// Lines of batches, of both APIs.
    Batches,
    /// Chats over a WebSocket, `GET /v1/stream`.
    Stream,
    /// Tasks of agents.
    Tasks,
    /// Embeddings of another server.
    Embeddings,
    /// Moderations of another server.
    Moderations,
    /// Speech and transcriptions of another server.
    Audio,
    /// Images of another server.
    Images,
}

/// Facts about how a request came, beside who sent it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RequestOrigin {
    /// API by which the request came.
    pub surface: Surface,
    /// Set if the answer is sent piece by piece.
    pub is_streamed: bool,
    /// Set if a hook of this server made the request while it handled another one.
    pub is_from_hook: bool,
}

impl Surface {
    /// List of all surfaces, in the order of the documents.
    pub const ALL: [Self; 13] = [
        Self::Chat,
        Self::Completions,
        Self::Responses,
        Self::Messages,
        Self::Sessions,
        Self::Batch,
        Self::Batches,
        Self::Stream,
        Self::Tasks,
        Self::Embeddings,
        Self::Moderations,
        Self::Audio,
        Self::Images,
    ];

    /// Returns the name of the surface, as the configuration and hooks know it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Completions => "completions",
            Self::Responses => "responses",
            Self::Messages => "messages",
            Self::Sessions => "sessions",
            Self::Batch => "batch",
            Self::Batches => "batches",
            Self::Stream => "stream",
            Self::Tasks => "tasks",
            Self::Embeddings => "embeddings",
            Self::Moderations => "moderations",
            Self::Audio => "audio",
            Self::Images => "images",
        }
    }

    /// Returns the surface called `name`; `None` if there is none.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|surface| surface.name() == name)
    }

    /// Returns the surface of a route, by its path. Routes of none of these APIs count as chat.
    pub fn of_path(path: &str) -> Self {
        Self::of_route(path).unwrap_or_default()
    }

    /// Returns the surface of a route, by its path; `None` for routes of none of these APIs.
    pub fn of_route(path: &str) -> Option<Self> {
        let mut segments = path.trim_start_matches("/v1/").split('/');
        match (segments.next()?, segments.next()) {
            ("chat", _) => Some(Self::Chat),
            ("completions", _) => Some(Self::Completions),
            ("responses", _) => Some(Self::Responses),
            ("messages", Some("batches")) | ("batches", _) => Some(Self::Batches),
            ("messages", _) => Some(Self::Messages),
            ("sessions", _) => Some(Self::Sessions),
            ("batch", _) => Some(Self::Batch),
            ("stream", _) => Some(Self::Stream),
            ("tasks", _) => Some(Self::Tasks),
            ("embeddings", _) => Some(Self::Embeddings),
            ("moderations", _) => Some(Self::Moderations),
            ("audio", _) => Some(Self::Audio),
            ("images", _) => Some(Self::Images),
            _ => None,
        }
    }
}

impl RequestOrigin {
    /// Returns the same origin with an answer that is streamed or not.
    #[must_use]
    pub const fn streamed(self, is_streamed: bool) -> Self {
        Self {
            is_streamed,
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Surface;

    #[test]
    fn surface_is_found_by_the_path_of_its_route() {
        for (path, surface) in [
            ("/v1/chat/completions", Surface::Chat),
            ("/v1/completions", Surface::Completions),
            ("/v1/responses", Surface::Responses),
            ("/v1/responses/compact", Surface::Responses),
            ("/v1/messages", Surface::Messages),
            ("/v1/messages/count_tokens", Surface::Messages),
            ("/v1/messages/batches", Surface::Batches),
            ("/v1/sessions/{id}/messages", Surface::Sessions),
            ("/v1/batch", Surface::Batch),
            ("/v1/batches/{id}", Surface::Batches),
            ("/v1/stream", Surface::Stream),
            ("/v1/tasks/{id}/ws", Surface::Tasks),
            ("/v1/embeddings", Surface::Embeddings),
            ("/v1/moderations", Surface::Moderations),
            ("/v1/audio/speech", Surface::Audio),
            ("/v1/images/generations", Surface::Images),
            ("/v1/models", Surface::Chat),
        ] {
            assert_eq!(Surface::of_path(path), surface, "{path}");
            assert_eq!(Surface::from_name(surface.name()), Some(surface));
        }
        assert_eq!(Surface::from_name("email"), None);
        for path in ["/v1/models", "/v1/files/{id}", "/admin/keys", "/"] {
            assert_eq!(Surface::of_route(path), None, "{path}");
        }
    }
}
