//! Bodies of `/v1/files` of Anthropic's API, and the form of an upload.

use serde::Serialize;
use serde_json::Value;
use serde_json::json;

use super::json;
use super::list;
use super::time;
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

/// Allowed lifetimes of a file, in seconds: an hour to 90 days.
const LIFETIME_SECONDS: std::ops::RangeInclusive<u64> = 3_600..=7_776_000;
/// Media type of a file if neither the client nor the file name determines it.
const DEFAULT_MEDIA_TYPE: &str = "application/octet-stream";
/// Media types by file name extension.
const MEDIA_TYPES: [(&str, &str); 10] = [
    ("pdf", "application/pdf"),
    ("txt", "text/plain"),
    ("md", "text/markdown"),
    ("csv", "text/csv"),
    ("json", "application/json"),
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("gif", "image/gif"),
    ("webp", "image/webp"),
];

/// Fields of the upload form, except the file itself.
pub static UPLOAD: ObjectSchema = ObjectSchema {
    prefix: "",
    fields: &[honoured(
        "expires_in_seconds",
        FieldType::Text,
        "When the file is deleted automatically: from 3600 to 7776000 seconds after its upload. Without it the file is kept.",
    )],
};

/// File as Anthropic's API shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileMetadata {
    /// Id of the file.
    pub id: String,
    /// File name given by the client.
    pub filename: String,
    /// Media type given by the client, if any.
    pub mime_type: Option<String>,
    /// Size of the file in bytes.
    pub size_bytes: u64,
    /// Time of creation, in seconds of Unix time.
    pub created_at: u64,
    /// Time of expiry, in seconds of Unix time; `None` if the file does not expire.
    pub expires_at: Option<u64>,
}

#[derive(Serialize)]
struct FileMetadataBody<'a> {
    r#type: &'static str,
    id: &'a str,
    filename: &'a str,
    mime_type: &'a str,
    size_bytes: u64,
    created_at: String,
    downloadable: bool,
    expires_at: Option<String>,
}

impl FileMetadata {
    /// Returns the body of a response with the file.
    pub fn to_json(&self) -> String {
        json::to_string(&self.body())
    }

    fn body(&self) -> FileMetadataBody<'_> {
        FileMetadataBody {
            r#type: "file",
            id: &self.id,
            filename: &self.filename,
            mime_type: self
                .mime_type
                .as_deref()
                .unwrap_or_else(|| media_type_of(&self.filename)),
            size_bytes: self.size_bytes,
            created_at: time::format_time(self.created_at),
            downloadable: true,
            expires_at: self.expires_at.map(time::format_time),
        }
    }
}

fn media_type_of(filename: &str) -> &'static str {
    let end = filename
        .rsplit_once('.')
        .map(|(_, end)| end.to_ascii_lowercase());
    let known = MEDIA_TYPES
        .iter()
        .find(|(known, _)| end.as_deref() == Some(*known));
    known.map_or(DEFAULT_MEDIA_TYPE, |(_, kind)| kind)
}

/// Decodes the text fields of an upload form to the file's lifetime in seconds and the remarks.
///
/// # Errors
/// Fails if the form asks for something not supported.
pub fn decode(
    texts: Vec<(String, String)>,
    policy: Policy,
) -> Result<(Option<u64>, Remarks), InvalidRequest> {
    let mut ignored = RemarkCollector::new(policy);
    let texts = texts
        .into_iter()
        .map(|(name, text)| (name, Value::String(text)))
        .collect();
    let mut form = ObjectReader::new(Value::Object(texts), ObjectPath::root(&UPLOAD))?;
    let expires = match form.take_text("expires_in_seconds")? {
        None => None,
        Some(text) => Some(
            text.parse()
                .ok()
                .filter(|seconds| LIFETIME_SECONDS.contains(seconds))
                .ok_or_else(|| {
                    let words = format!(
                        "expected a number from {} to {}.",
                        LIFETIME_SECONDS.start(),
                        LIFETIME_SECONDS.end()
                    );
                    form.invalid_field("expires_in_seconds", code::VALUE, &words)
                })?,
        ),
    };
    form.finish(&mut ignored)?;
    Ok((expires, ignored.into_remarks()))
}

/// Returns the body of a page of files.
pub fn list(files: &[FileMetadata], has_more: bool) -> String {
    let bodies: Vec<_> = files.iter().map(FileMetadata::body).collect();
    list::body(&bodies, |body| body.id, has_more)
}

/// Returns the body that confirms the deletion of a file.
pub fn deleted(id: &str) -> String {
    json::to_string(&json!({"id": id, "type": "file_deleted"}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::request_schema::document;

    #[test]
    fn documentation_shows_file_fields() {
        document::check("messages file fields", &[&UPLOAD]);
    }

    #[test]
    fn file_media_type_falls_back_to_the_extension() {
        let file = |filename: &str, mime_type: Option<&str>| FileMetadata {
            id: "file-1".into(),
            filename: filename.into(),
            mime_type: mime_type.map(Into::into),
            size_bytes: 3,
            created_at: 0,
            expires_at: None,
        };
        assert_eq!(
            file("a.PDF", None).to_json(),
            r#"{"type":"file","id":"file-1","filename":"a.PDF","mime_type":"application/pdf","size_bytes":3,"created_at":"1970-01-01T00:00:00Z","downloadable":true,"expires_at":null}"#
        );
        assert!(file("a", None).to_json().contains(DEFAULT_MEDIA_TYPE));
        assert!(file("a.pdf", Some("text/x")).to_json().contains("text/x"));
    }

    #[test]
    fn upload_lifetime_is_validated() {
        let form = |text: &str| {
            decode(
                vec![("expires_in_seconds".into(), text.into())],
                Policy::Strict,
            )
        };
        assert_eq!(form("3600").unwrap().0, Some(3600));
        for odd in ["1", "x", "7776001"] {
            assert_eq!(
                form(odd).unwrap_err().param.as_deref(),
                Some("expires_in_seconds")
            );
        }
        let odd = decode(vec![("scope".into(), "x".into())], Policy::Lenient).unwrap();
        assert_eq!(odd.1.ignored, ["scope"]);
    }
}
