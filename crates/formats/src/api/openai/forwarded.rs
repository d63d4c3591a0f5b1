//! Field tables of requests that other servers answer. Only the fields that this server reads have a
//! meaning here; all fields are passed on as they are.

use crate::api::request_schema::Field;
use crate::api::request_schema::FieldType::Any;
use crate::api::request_schema::FieldType::Bool;
use crate::api::request_schema::FieldType::Integer;
use crate::api::request_schema::FieldType::Text;
use crate::api::request_schema::FieldType::TextOrArray;
use crate::api::request_schema::ObjectSchema;
use crate::api::request_schema::honoured;
use crate::api::request_schema::passed;

/// Maximum number of pictures that a field can ask for.
const MAX_IMAGES: i64 = u32::MAX as i64;

const MODEL: Field = honoured(
    "model",
    Text,
    "Chooses the server that answers, and the price. `GET /v1/models` lists the names.",
);
const OPTIONAL_MODEL: Field = honoured(
    "model",
    Text,
    "Chooses the server that answers, and the price. Left out, the default model of the configuration.",
);
const USER: Field = honoured(
    "user",
    Text,
    "End user whom the request is for, with limits and budgets of its own; passed on as well.",
);
const IMAGES_OF_FORM: Field = honoured(
    "n",
    Text,
    "Number of pictures, each of which may have a price.",
);
const STREAM_OF_FORM: Field = honoured(
    "stream",
    Text,
    "With `true` the answer is a stream of events.",
);
const RESPONSE_FORMAT: Field = passed(
    "response_format",
    Text,
    "Without the usage that JSON reports, the length of the audio is estimated from its size.",
);

/// Fields of a request for embeddings.
pub static EMBEDDINGS: ObjectSchema = ObjectSchema {
    prefix: "",
    fields: &[
        OPTIONAL_MODEL,
        passed("input", TextOrArray, "Texts or tokens."),
        passed(
            "dimensions",
            Integer(1, MAX_IMAGES),
            "Length of the vectors.",
        ),
        passed("encoding_format", Text, "Form of the vectors."),
        USER,
    ],
};

/// Fields of a request for moderations.
pub static MODERATIONS: ObjectSchema = ObjectSchema {
    prefix: "",
    fields: &[
        OPTIONAL_MODEL,
        passed("input", TextOrArray, "Texts and pictures."),
    ],
};

/// Fields of a request for speech.
pub static SPEECH: ObjectSchema = ObjectSchema {
    prefix: "",
    fields: &[
        OPTIONAL_MODEL,
        passed(
            "input",
            Text,
            "Text to speak; its characters may have a price.",
        ),
        passed("voice", Any, "Voice of the server."),
        honoured(
            "stream_format",
            Text,
            "With `sse` the answer is a stream of events.",
        ),
    ],
};

/// Text fields of a form with audio, for its text or a translation.
pub static TRANSCRIPTIONS: ObjectSchema = ObjectSchema {
    prefix: "",
    fields: &[MODEL.required(), RESPONSE_FORMAT, STREAM_OF_FORM],
};

/// Text fields of a form with audio, for a translation.
pub static TRANSLATIONS: ObjectSchema = ObjectSchema {
    prefix: "",
    fields: &[MODEL.required(), RESPONSE_FORMAT],
};

/// Fields of a request for pictures.
pub static IMAGES: ObjectSchema = ObjectSchema {
    prefix: "",
    fields: &[
        OPTIONAL_MODEL,
        passed("prompt", Text, "Description of the pictures."),
        honoured(
            "n",
            Integer(1, MAX_IMAGES),
            "Number of pictures, each of which may have a price.",
        ),
        honoured("stream", Bool, "The answer is a stream of events."),
        USER,
    ],
};

/// Text fields of a form with pictures that are to be changed.
pub static IMAGE_EDITS: ObjectSchema = ObjectSchema {
    prefix: "",
    fields: &[
        MODEL.required(),
        passed("prompt", Text, "Description of the pictures."),
        IMAGES_OF_FORM,
        STREAM_OF_FORM,
        USER,
    ],
};

/// Text fields of a form with a picture of which there are to be variations.
pub static IMAGE_VARIATIONS: ObjectSchema = ObjectSchema {
    prefix: "",
    fields: &[MODEL.required(), IMAGES_OF_FORM, USER],
};
