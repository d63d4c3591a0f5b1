//! The bodies of `/v1/files`, and the form of an upload.

use serde::Deserialize;
use serde::Serialize;
use serde_json::Map;
use serde_json::Value;

use super::json;
use super::list;
use crate::api::request_schema::Field;
use crate::api::request_schema::Ignored;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::Object;
use crate::api::request_schema::Place;
use crate::api::request_schema::Policy;
use crate::api::request_schema::Remarks;
use crate::api::request_schema::Shape;
use crate::api::request_schema::Table;
use crate::api::request_schema::code;
use crate::api::request_schema::honoured;
use crate::api::request_schema::printable;

/// The shortest time after which a file may go, in seconds: an hour.
const SHORTEST_LIFE: i64 = 3_600;
/// The longest, in seconds: 30 days.
const LONGEST_LIFE: i64 = 2_592_000;

/// The form of `POST /v1/files`, but for the file itself.
pub(super) const UPLOAD: Table = Table {
    prefix: "",
    fields: &[
        honoured(
            "purpose",
            Shape::Text,
            "Required. `batch`, for the requests of a batch; `user_data` or `vision`, for what messages name by `file_id`.",
        ),
        honoured(
            "expires_after",
            Shape::Object,
            "When the file goes by itself. Without it a file of the purpose `batch` goes after 30 days, others stay.",
        ),
    ],
};

const EXPIRES_AFTER_FIELDS: [Field; 2] = [
    honoured("anchor", Shape::Text, "`created_at`."),
    honoured(
        "seconds",
        Shape::Integer(SHORTEST_LIFE, LONGEST_LIFE),
        "Required. From then on the file is gone.",
    ),
];

/// The fields of `expires_after`, in a form `expires_after[anchor]` and so on.
pub(super) const EXPIRES_AFTER: Table = Table {
    prefix: "expires_after.",
    fields: &EXPIRES_AFTER_FIELDS,
};

/// The fields of `output_expires_after`.
pub(super) const OUTPUT_EXPIRES_AFTER: Table = Table {
    prefix: "output_expires_after.",
    fields: &EXPIRES_AFTER_FIELDS,
};

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// The requests of a batch.
    Batch,
    /// The answers of a batch.
    BatchOutput,
    /// Anything that a message may name.
    UserData,
    /// Pictures that a message may name.
    Vision,
    /// What a batch of Anthropic's API is made of. No client sees it.
    MessageBatch,
}

/// A file as clients get to see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// `file-` and 32 hexadecimal digits; later files have greater ones.
    pub id: String,
    /// `file`.
    pub object: String,
    /// How large it is.
    pub bytes: u64,
    /// When it was made, in seconds of Unix time.
    pub created_at: u64,
    /// When it expires, in seconds of Unix time; never if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
    /// What its maker calls it.
    pub filename: String,
    /// What it is for.
    pub purpose: Purpose,
    /// `processed`: there is nothing to be done with it.
    pub status: String,
    /// What its maker says it is; only of those that were uploaded in Anthropic's form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<String>,
}

/// The form of an upload, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadRequest {
    /// What the file is for.
    pub purpose: Purpose,
    /// After how many seconds it is to go.
    pub expires_after: Option<u64>,
    /// What there is to say of it.
    pub remarks: Remarks,
}

impl Purpose {
    /// The purpose called `name`.
    pub fn named(name: &str) -> Option<Self> {
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
    /// The body of an answer with it.
    pub fn to_json(&self) -> String {
        json::to_string(self)
    }
}

/// Reads the texts of the form that an upload is: pairs of names and values.
///
/// # Errors
/// When something is missing or asks for what is not served.
pub fn decode(
    texts: Vec<(String, String)>,
    policy: Policy,
) -> Result<UploadRequest, InvalidRequest> {
    let mut ignored = Ignored::new(policy);
    let mut form = Object::new(Value::Object(nested(texts)), Place::root(&UPLOAD))?;
    let purpose = form
        .take_text("purpose")?
        .ok_or_else(|| form.missing("purpose"))?;
    let purpose = Purpose::named(&purpose).filter(|purpose| *purpose != Purpose::BatchOutput);
    let purpose = purpose.ok_or_else(|| {
        let words = "expected `batch`, for the requests of a batch, or `user_data` or `vision`, for what messages name. Claude has \
                     no use for files of other purposes, and `batch_output` is that of the files that batches make.";
        form.refuse("purpose", code::VALUE, words)
    })?;
    let expires_after = expires_after(&mut form, "expires_after", &EXPIRES_AFTER, &mut ignored)?;
    form.finish(&mut ignored)?;
    Ok(UploadRequest {
        purpose,
        expires_after,
        remarks: ignored.into_remarks(),
    })
}

/// Takes the field `name`, which says after how many seconds a file is to go.
pub(super) fn expires_after(
    request: &mut Object,
    name: &'static str,
    table: &'static Table,
    ignored: &mut Ignored,
) -> Result<Option<u64>, InvalidRequest> {
    let Some(value) = request.take(name)? else {
        return Ok(None);
    };
    let mut policy = Object::new(value, Place::at(name, table))?;
    if policy
        .take_text("anchor")?
        .is_some_and(|anchor| anchor != "created_at")
    {
        return Err(policy.refuse("anchor", code::VALUE, "expected `created_at`."));
    }
    let seconds = policy
        .take_integer("seconds")?
        .ok_or_else(|| policy.missing("seconds"))?;
    policy.finish(ignored)?;
    Ok(Some(seconds.unsigned_abs()))
}

/// `a[b]` is the field `b` of the object `a`; a number within an object is one.
fn nested(texts: Vec<(String, String)>) -> Map<String, Value> {
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

/// The purpose that the query of a list names.
///
/// # Errors
/// When there is none of this name.
pub fn purpose_of_list(name: &str) -> Result<Purpose, InvalidRequest> {
    Purpose::named(name).ok_or_else(|| {
        let message = format!(
            "`purpose`: there are no files of the purpose '{}'. Files are for `batch`, `batch_output`, `user_data` or \
             `vision`.",
            printable(name)
        );
        InvalidRequest::at("purpose", code::VALUE, message)
    })
}

/// The body of a list.
pub fn list(files: &[File], has_more: bool) -> String {
    list::body(files, |file| Some(&file.id), has_more)
}

/// The body that says that a file is gone.
pub fn deleted(id: &str) -> String {
    json::to_string(&serde_json::json!({"id": id, "object": "file", "deleted": true}))
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;
