//! Endpoints that other servers have.

use serde::Deserialize;

/// Group of endpoints, as the configuration names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndpointGroup {
    /// Vectors of texts.
    Embeddings,
    /// Ratings of texts and pictures.
    Moderations,
    /// Speech, transcriptions and translations.
    Audio,
    /// Pictures, and changes of them.
    Images,
    /// Chat completions of models that are not Claude's.
    Chat,
    /// Responses of models that are not Claude's.
    Responses,
}

/// Endpoint that other servers have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpstreamEndpoint {
    /// Vectors of texts.
    Embeddings,
    /// Ratings of texts and pictures.
    Moderations,
    /// Audio of a text.
    Speech,
    /// Text of an audio file.
    Transcriptions,
    /// English text of an audio file.
    Translations,
    /// Pictures by a description.
    ImageGenerations,
    /// Changed pictures.
    ImageEdits,
    /// Variations of a picture.
    ImageVariations,
    /// Chat completions.
    Chat,
    /// Responses.
    Responses,
}

/// Form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerForm {
    /// JSON object, read as a whole.
    Json,
    /// Text in the format that the client has chosen, read as a whole.
    Text,
    /// Audio, passed on piece by piece.
    Bytes,
    /// Server-sent events.
    Events,
}

impl EndpointGroup {
    /// List of all groups.
    pub const ALL: [Self; 6] = [
        Self::Embeddings,
        Self::Moderations,
        Self::Audio,
        Self::Images,
        Self::Chat,
        Self::Responses,
    ];

    /// Returns the name of the group in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Embeddings => "embeddings",
            Self::Moderations => "moderations",
            Self::Audio => "audio",
            Self::Images => "images",
            Self::Chat => "chat",
            Self::Responses => "responses",
        }
    }
}

impl UpstreamEndpoint {
    /// List of all endpoints.
    pub const ALL: [Self; 10] = [
        Self::Embeddings,
        Self::Moderations,
        Self::Speech,
        Self::Transcriptions,
        Self::Translations,
        Self::ImageGenerations,
        Self::ImageEdits,
        Self::ImageVariations,
        Self::Chat,
        Self::Responses,
    ];

    /// Returns the path of the endpoint behind a base URL.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Embeddings => "/embeddings",
            Self::Moderations => "/moderations",
            Self::Speech => "/audio/speech",
            Self::Transcriptions => "/audio/transcriptions",
            Self::Translations => "/audio/translations",
            Self::ImageGenerations => "/images/generations",
            Self::ImageEdits => "/images/edits",
            Self::ImageVariations => "/images/variations",
            Self::Chat => "/chat/completions",
            Self::Responses => "/responses",
        }
    }

    /// Returns the endpoint of a route of this server; `None` if other servers have none such.
    pub fn of_route(path: &str) -> Option<Self> {
        let path = path.strip_prefix("/v1")?;
        Self::ALL
            .into_iter()
            .find(|endpoint| endpoint.path() == path)
    }

    /// True if the endpoint answers messages with a text, as Claude does.
    pub const fn is_conversation(self) -> bool {
        matches!(self, Self::Chat | Self::Responses)
    }

    /// Returns the group of the endpoint.
    pub const fn group(self) -> EndpointGroup {
        match self {
            Self::Embeddings => EndpointGroup::Embeddings,
            Self::Moderations => EndpointGroup::Moderations,
            Self::Speech | Self::Transcriptions | Self::Translations => EndpointGroup::Audio,
            Self::ImageGenerations | Self::ImageEdits | Self::ImageVariations => {
                EndpointGroup::Images
            }
            Self::Chat => EndpointGroup::Chat,
            Self::Responses => EndpointGroup::Responses,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoint_is_found_by_its_route() {
        for endpoint in UpstreamEndpoint::ALL {
            let route = format!("/v1{}", endpoint.path());
            assert_eq!(UpstreamEndpoint::of_route(&route), Some(endpoint));
        }
        for other in ["/v1/messages", "/embeddings", "/v1/audio/{*rest}"] {
            assert_eq!(UpstreamEndpoint::of_route(other), None, "{other}");
        }
    }
}
