//! Multipart forms with a file, read as a stream.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRef;
use axum::extract::FromRequest;
use axum::extract::Request;
use axum::http::header;
use bytes::Bytes;
use multer::Field;
use multer::Multipart;
use tokio::time::timeout;

use super::Config;
use super::error::ApiError;
use super::extract::paused_body;
use super::extract::unreadable_body;
use super::middleware::body_limit;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::code;
use crate::api::request_schema::printable;

/// Maximum size of a text field, in bytes; no known field is longer.
const MAX_TEXT_BYTES: usize = 4096;
/// Maximum number of text fields.
const MAX_TEXT_FIELDS: usize = 64;
/// Maximum length of a filename, in characters; longer ones are cut.
const MAX_FILENAME_CHARACTERS: usize = 255;
/// Name of the file field.
const FILE: &str = "file";

/// Next piece of a form.
pub(super) enum FormPiece {
    /// Text field of the form.
    Text {
        /// Name of the field.
        name: String,
        /// Content of the field.
        text: String,
    },
    /// Beginning of the file.
    File {
        /// Filename given by the client.
        name: Option<String>,
        /// Content type given by the client.
        kind: Option<String>,
    },
    /// Chunk of the file.
    Bytes(Bytes),
}

/// Multipart form that is being read.
pub(super) struct MultipartForm {
    parts: Multipart<'static>,
    /// File field whose chunks are being read.
    file: Option<Field<'static>>,
    texts: usize,
    pause_limit: Duration,
    limit: u64,
}

impl<S> FromRequest<S> for MultipartForm
where
    S: Send + Sync,
    Arc<Config>: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let config = Arc::<Config>::from_ref(state);
        let kind = request
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok());
        let boundary = multer::parse_boundary(kind.unwrap_or_default()).map_err(|_| no_form())?;
        let parts = Multipart::new(request.into_body().into_data_stream(), boundary);
        let pause_limit = config.body_pause_timeout;
        let limit = body_limit::upload_form_limit(&config);
        Ok(Self {
            parts,
            file: None,
            texts: 0,
            pause_limit,
            limit,
        })
    }
}

impl MultipartForm {
    /// Returns the next piece; `None` at the end of the form.
    ///
    /// # Errors
    /// Fails when the next piece does not arrive in time, or the form is not valid.
    pub(super) async fn next(&mut self) -> Result<Option<FormPiece>, ApiError> {
        let pause_limit = self.pause_limit;
        let limit = self.limit;
        let next = async { self.read().await.map_err(|error| broken(error, limit))? };
        timeout(pause_limit, next)
            .await
            .unwrap_or_else(|_| Err(paused_body(pause_limit)))
    }

    async fn read(&mut self) -> Result<Result<Option<FormPiece>, ApiError>, multer::Error> {
        if let Some(file) = &mut self.file {
            if let Some(bytes) = file.chunk().await? {
                return Ok(Ok(Some(FormPiece::Bytes(bytes))));
            }
            self.file = None;
        }
        let Some(part) = self.parts.next_field().await? else {
            return Ok(Ok(None));
        };
        let name = part.name().unwrap_or_default().to_owned();
        if name == FILE {
            let named = part
                .file_name()
                .map(|name| name.chars().take(MAX_FILENAME_CHARACTERS).collect());
            let kind = part
                .content_type()
                .map(|kind| kind.essence_str().to_owned());
            self.file = Some(part);
            return Ok(Ok(Some(FormPiece::File { name: named, kind })));
        }
        self.texts += 1;
        if self.texts > MAX_TEXT_FIELDS {
            return Ok(Err(invalid_field(&name, "the form has too many fields.")));
        }
        self.text(name, part).await
    }

    async fn text(
        &self,
        name: String,
        mut part: Field<'static>,
    ) -> Result<Result<Option<FormPiece>, ApiError>, multer::Error> {
        let mut text = Vec::new();
        while let Some(bytes) = part.chunk().await? {
            text.extend_from_slice(&bytes);
            if text.len() > MAX_TEXT_BYTES {
                return Ok(Err(invalid_field(
                    &name,
                    "the text is too long. The file belongs into the field `file`.",
                )));
            }
        }
        Ok(match String::from_utf8(text) {
            Ok(text) => Ok(Some(FormPiece::Text { name, text })),
            Err(_) => Err(invalid_field(
                &name,
                "expected a text in UTF-8. The file belongs into the field `file`.",
            )),
        })
    }

    /// Error: the form has no file.
    pub(super) fn no_file() -> ApiError {
        let message = "`file` is missing: it is the field of the form that holds the file itself.";
        InvalidRequest::at(FILE, code::MISSING, message).into()
    }

    /// Error: the form has more than one file.
    pub(super) fn second_file() -> ApiError {
        InvalidRequest::at(
            FILE,
            code::VALUE,
            "`file`: expected one file, got more. Upload each by itself.",
        )
        .into()
    }
}

fn invalid_field(name: &str, words: &str) -> ApiError {
    let name = printable(name);
    let message = format!("`{name}`: {words}");
    InvalidRequest::at(name, code::VALUE, message).into()
}

fn no_form() -> ApiError {
    let message = "The body must be a form with the field `file`, and in OpenAI's API `purpose`. Send it as `multipart/form-data`, whose \
                   content type names a boundary, as `curl -F` does.";
    InvalidRequest::body(message).into()
}

fn broken(error: multer::Error, limit: u64) -> ApiError {
    match error {
        multer::Error::StreamReadFailed(_)
        | multer::Error::IncompleteFieldData { .. }
        | multer::Error::IncompleteStream => unreadable_body(error, limit),
        _ => no_form(),
    }
}
