//! Request and response bodies of `/v1/files`.

use serde::Serialize;
use serde_json::Map;
use serde_json::Value;

use super::json;
use super::list;
use crate::api::request_schema::Field;
use crate::api::request_schema::FieldType;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::ObjectPath;
use crate::api::request_schema::ObjectReader;
use crate::api::request_schema::ObjectSchema;
use crate::api::request_schema::Policy;
use crate::api::request_schema::RemarkCollector;
use crate::api::request_schema::Remarks;
use crate::api::request_schema::code;
use crate::api::request_schema::honoured;
use crate::api::request_schema::printable;

/// Minimum lifetime of a file, in seconds: one hour.
const MIN_LIFETIME_SECONDS: i64 = 3_600;
/// Maximum lifetime of a file, in seconds: 30 days.
const MAX_LIFETIME_SECONDS: i64 = 2_592_000;

/// Fields of the form of `POST /v1/files`, without the file itself.
pub static UPLOAD: ObjectSchema = ObjectSchema {
    prefix: "",
    fields: &[
        honoured(
            "purpose",
            FieldType::Text,
            "`batch`, for the requests of a batch; `user_data` or `vision`, for what messages name by `file_id`.",
        )
        .required(),
        honoured(
            "expires_after",
            FieldType::Object,
            "When the file is deleted automatically. Without it a file of the purpose `batch` is deleted after 30 days, and others are kept.",
        )
        .with_inner(&EXPIRES_AFTER),
    ],
};

const EXPIRES_AFTER_FIELDS: [Field; 2] = [
    honoured("anchor", FieldType::Text, "`created_at`."),
    honoured(
        "seconds",
        FieldType::Integer(MIN_LIFETIME_SECONDS, MAX_LIFETIME_SECONDS),
        "Then the file is deleted.",
    )
    .required(),
];

/// Fields of `expires_after`, written `expires_after[anchor]` and so on in a form.
pub(super) static EXPIRES_AFTER: ObjectSchema = ObjectSchema {
    prefix: "expires_after.",
    fields: &EXPIRES_AFTER_FIELDS,
};

/// Fields of `output_expires_after` of a batch.
pub(super) static OUTPUT_EXPIRES_AFTER: ObjectSchema = ObjectSchema {
    prefix: "output_expires_after.",
    fields: &EXPIRES_AFTER_FIELDS,
};

/// Purpose of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Input file of a batch.
    Batch,
    /// Output or error file of a batch.
    BatchOutput,
    /// File of any kind that messages refer to.
    UserData,
    /// Image that messages refer to.
    Vision,
    /// File of a message batch of Anthropic's API; hidden from clients.
    MessageBatch,
}

/// File metadata, as clients see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct File {
    /// Unique id: `file-` and 32 hexadecimal digits; ids increase with the time of creation.
    pub id: String,
    /// Object type, always `file`.
    pub object: String,
    /// Size of the file, in bytes.
    pub bytes: u64,
    /// Time of creation, in seconds of Unix time.
    pub created_at: u64,
    /// Expiry time, in seconds of Unix time; the file never expires if none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
    /// Name of the file, as the client gave it.
    pub filename: String,
    /// Purpose of the file.
    pub purpose: Purpose,
    /// Always `processed`, since files need no processing.
    pub status: String,
    /// Always null, as in `OpenAI`'s API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<String>,
}

/// Decoded form of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadRequest {
    /// Purpose of the file.
    pub purpose: Purpose,
    /// Lifetime of the file, in seconds.
    pub expires_after: Option<u64>,
    /// Fields of the form that were ignored or repaired.
    pub remarks: Remarks,
}

impl Purpose {
    /// Returns the purpose with the wire name `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "batch" => Some(Self::Batch),
            "batch_output" => Some(Self::BatchOutput),
            "user_data" => Some(Self::UserData),
            "vision" => Some(Self::Vision),
            _ => None,
        }
    }
}

impl File {
    /// Serializes the file metadata as a response body.
    pub fn to_json(&self) -> String {
        json::to_string(self)
    }
}

/// Decodes the text fields of an upload form, given as pairs of name and value.
///
/// # Errors
/// Fails if a field is missing or asks for something unsupported.
pub fn decode(
    texts: Vec<(String, String)>,
    policy: Policy,
) -> Result<UploadRequest, InvalidRequest> {
    let mut ignored = RemarkCollector::new(policy);
    let mut form = ObjectReader::new(Value::Object(nest_fields(texts)), ObjectPath::root(&UPLOAD))?;
    let purpose = form.require_text("purpose")?;
    let purpose = Purpose::from_name(&purpose).filter(|purpose| *purpose != Purpose::BatchOutput);
    let purpose = purpose.ok_or_else(|| {
        let words = "expected `batch`, for the requests of a batch, or `user_data` or `vision`, for what messages name. Claude has \
                     no use for files of other purposes, and `batch_output` is that of the files that batches make.";
        form.invalid_field("purpose", code::VALUE, words)
    })?;
    let expires_after =
        take_expires_after(&mut form, "expires_after", &EXPIRES_AFTER, &mut ignored)?;
    form.finish(&mut ignored)?;
    Ok(UploadRequest {
        purpose,
        expires_after,
        remarks: ignored.into_remarks(),
    })
}

/// Takes the expiry policy in the field `name`; returns the lifetime in seconds.
pub(super) fn take_expires_after(
    request: &mut ObjectReader,
    name: &'static str,
    table: &'static ObjectSchema,
    ignored: &mut RemarkCollector,
) -> Result<Option<u64>, InvalidRequest> {
    let Some(value) = request.take(name)? else {
        return Ok(None);
    };
    let mut policy = ObjectReader::new(value, ObjectPath::at(name, table))?;
    if policy
        .take_text("anchor")?
        .is_some_and(|anchor| anchor != "created_at")
    {
        return Err(policy.invalid_field("anchor", code::VALUE, "expected `created_at`."));
    }
    let seconds = policy
        .take_integer("seconds")?
        .ok_or_else(|| policy.missing_field("seconds"))?;
    policy.finish(ignored)?;
    Ok(Some(seconds.unsigned_abs()))
}

/// Builds an object from form fields: `a[b]` becomes the field `b` of the object `a`, with integers
/// parsed.
fn nest_fields(texts: Vec<(String, String)>) -> Map<String, Value> {
    let mut form = Map::new();
    for (name, text) in texts {
        let inner = name.strip_suffix(']').and_then(|name| name.split_once('['));
        let Some((outer, inner)) = inner else {
            form.insert(name, text.into());
            continue;
        };
        let number = text.trim().parse::<i64>().ok().map(Value::from);
        if let Value::Object(object) = form
            .entry(outer)
            .or_insert_with(|| Value::Object(Map::new()))
        {
            object.insert(inner.to_owned(), number.unwrap_or(Value::String(text)));
        }
    }
    form
}

/// Parses the purpose by which a client filters the list of files.
///
/// # Errors
/// Fails if there is no such purpose.
pub fn parse_list_purpose(name: &str) -> Result<Purpose, InvalidRequest> {
    Purpose::from_name(name).ok_or_else(|| {
        let message = format!(
            "`purpose`: there are no files of the purpose '{}'. Files are for `batch`, `batch_output`, `user_data` or \
             `vision`.",
            printable(name)
        );
        InvalidRequest::at("purpose", code::VALUE, message)
    })
}

/// Returns the body of a list of files.
pub fn list_body(files: &[File], has_more: bool) -> String {
    list::body(files, |file| Some(&file.id), has_more)
}

/// Returns the body that confirms the deletion of a file.
pub fn deleted_body(id: &str) -> String {
    json::to_string(&serde_json::json!({"id": id, "object": "file", "deleted": true}))
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;
