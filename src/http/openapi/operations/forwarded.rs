//! Operations that other servers answer.

use crate::api::openai::forwarded;
use crate::http::openapi::operation::Operation;
use crate::http::openapi::operation::OperationTag;
use crate::http::openapi::operation::RequestObject;

pub(in crate::http) static CREATE_EMBEDDING: Operation = Operation::new(
    "createEmbedding",
    OperationTag::Forwarded,
    "Creates vectors of texts.",
)
.body(
    RequestObject::of("CreateEmbeddingRequest", &[&forwarded::EMBEDDINGS]),
    r#"{"model": "text-embedding-3-small", "input": ["A switchboard connects calls."]}"#,
)
.idempotent()
.runs_model();

pub(in crate::http) static CREATE_MODERATION: Operation = Operation::new(
    "createModeration",
    OperationTag::Forwarded,
    "Rates texts and pictures.",
)
.body(
    RequestObject::of("CreateModerationRequest", &[&forwarded::MODERATIONS]),
    r#"{"model": "omni-moderation-latest", "input": "A switchboard connects calls."}"#,
)
.idempotent()
.runs_model();

pub(in crate::http) static CREATE_SPEECH: Operation =
    Operation::new("createSpeech", OperationTag::Forwarded, "Speaks a text.")
        .body(
            RequestObject::of("CreateSpeechRequest", &[&forwarded::SPEECH]),
            r#"{"model": "tts-1", "voice": "alloy", "input": "A switchboard connects calls."}"#,
        )
        .idempotent()
        .runs_model();

pub(in crate::http) static CREATE_TRANSCRIPTION: Operation = Operation::new(
    "createTranscription",
    OperationTag::Forwarded,
    "Writes down what an audio file says.",
)
.form(&[("CreateTranscriptionRequest", &forwarded::TRANSCRIPTIONS)])
.idempotent()
.runs_model();

pub(in crate::http) static CREATE_TRANSLATION: Operation = Operation::new(
    "createTranslation",
    OperationTag::Forwarded,
    "Writes down in English what an audio file says.",
)
.form(&[("CreateTranslationRequest", &forwarded::TRANSLATIONS)])
.idempotent()
.runs_model();

pub(in crate::http) static CREATE_IMAGE: Operation = Operation::new(
    "createImage",
    OperationTag::Forwarded,
    "Creates pictures by a description.",
)
.body(
    RequestObject::of("CreateImageRequest", &[&forwarded::IMAGES]),
    r#"{"model": "gpt-image-1", "prompt": "A switchboard", "n": 1}"#,
)
.idempotent()
.runs_model();

pub(in crate::http) static CREATE_IMAGE_EDIT: Operation = Operation::new(
    "createImageEdit",
    OperationTag::Forwarded,
    "Changes pictures by a description.",
)
.form(&[("CreateImageEditRequest", &forwarded::IMAGE_EDITS)])
.idempotent()
.runs_model();

pub(in crate::http) static CREATE_IMAGE_VARIATION: Operation = Operation::new(
    "createImageVariation",
    OperationTag::Forwarded,
    "Creates variations of a picture.",
)
.form(&[("CreateImageVariationRequest", &forwarded::IMAGE_VARIATIONS)])
.idempotent()
.runs_model();
