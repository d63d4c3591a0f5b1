//! Field tables of content parts.

use crate::api::openai::cache_mark;
use crate::api::request_schema::FieldType::Object;
use crate::api::request_schema::FieldType::Text;
use crate::api::request_schema::ObjectSchema;
use crate::api::request_schema::honoured;
use crate::api::request_schema::ignored;
use crate::api::request_schema::refused;

/// Fields of a content part.
pub(in crate::api::openai) static PART: ObjectSchema = ObjectSchema {
    prefix: "messages[].content[].",
    fields: &[
        honoured(
            "type",
            Text,
            "`text`; in messages of the user and of tools also `image_url` and `file`, in assistant messages `refusal`. `input_audio` is refused: Claude does not accept audio.",
        )
        .required(),
        honoured("text", Text, "Each part stays a separate text."),
        honoured("refusal", Text, "Taken as text."),
        honoured("image_url", Object, "A picture for Claude to see.").with_inner(&IMAGE),
        refused("input_audio", Object, "Claude does not accept audio."),
        honoured("file", Object, "A file for Claude to read.").with_inner(&FILE),
        cache_mark::BREAKPOINT,
        cache_mark::CACHE_CONTROL,
    ],
};

/// Fields of `image_url`.
pub(super) static IMAGE: ObjectSchema = ObjectSchema {
    prefix: "messages[].content[].image_url.",
    fields: &[
        honoured(
            "url",
            Text,
            "`data:image/png;base64,...` with a PNG, JPEG, GIF or WebP, or `https://...`, which Anthropic fetches. Sent to Claude unchanged.",
        )
        .required(),
        ignored("detail", Text, "Claude sees an image in one way.").with_no_op(&["\"auto\""]),
    ],
};

/// Fields of `file`.
pub(super) static FILE: ObjectSchema = ObjectSchema {
    prefix: "messages[].content[].file.",
    fields: &[
        honoured(
            "file_data",
            Text,
            "A PDF, an image or text in UTF-8 (CSV, JSON, Markdown and the like), in base64, with or without `data:TYPE;base64,` before it. The format is detected from its bytes.",
        ),
        honoured("filename", Text, "Sent to Claude as the title."),
        honoured(
            "file_id",
            Text,
            "Instead of `file_data`: a [file](#v1files) of the key's project with the purpose `user_data` or `vision`, which is a PDF, an image (PNG, JPEG, GIF or WebP) or text in UTF-8. It is read again for each request.",
        ),
    ],
};
