//! Multipart forms with audio or pictures, of which a few text fields are read.

use std::convert::Infallible;

use bytes::Bytes;
use futures::stream;
use multer::Multipart;

use crate::domain::Failure;
use crate::domain::FailureKind;

/// Maximum number of fields in a form.
const MAX_FIELDS: usize = 128;
/// Maximum length of a text that is read, in bytes.
const MAX_TEXT_BYTES: usize = 1024;

/// Fields of a form that matter to its way through the server.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct FormHead {
    pub(super) model: Option<String>,
    pub(super) stream: Option<String>,
    pub(super) response_format: Option<String>,
    pub(super) n: Option<String>,
    pub(super) user: Option<String>,
    pub(super) safety_identifier: Option<String>,
    /// Bytes of all files.
    pub(super) file_bytes: u64,
    /// Number of files.
    pub(super) files: u64,
}

impl FormHead {
    /// Reads the form in `body`, whose boundary `content_type` names.
    ///
    /// # Errors
    /// Fails when it is no form, or names one of these fields twice.
    pub(super) async fn read(content_type: &str, body: Bytes) -> Result<Self, Failure> {
        let boundary = multer::parse_boundary(content_type).map_err(|_| {
            invalid("The request must be a form: send `Content-Type: multipart/form-data` with its boundary.")
        })?;
        let whole = stream::once(std::future::ready(Ok::<_, Infallible>(body)));
        let mut form = Multipart::new(whole, boundary);
        let mut head = Self::default();
        let mut fields = 0;
        let broken =
            |_| invalid("The form is not valid: it ends too early, or a part has no name.");
        while let Some(mut field) = form.next_field().await.map_err(broken)? {
            fields += 1;
            if fields > MAX_FIELDS {
                return Err(invalid("The form has too many fields."));
            }
            let name = field.name().unwrap_or_default().to_owned();
            head.files += u64::from(field.file_name().is_some());
            let Some(place) = head.place(&name) else {
                let mut bytes = 0;
                while let Some(chunk) = field.chunk().await.map_err(broken)? {
                    bytes += chunk.len() as u64;
                }
                head.file_bytes += bytes;
                continue;
            };
            if place.is_some() {
                return Err(invalid(&format!("The form has the field `{name}` twice.")));
            }
            let text = field.text().await.map_err(broken)?;
            if text.len() > MAX_TEXT_BYTES {
                return Err(invalid(&format!(
                    "The field `{name}` of the form is too long."
                )));
            }
            *place = Some(text);
        }
        Ok(head)
    }

    fn place(&mut self, name: &str) -> Option<&mut Option<String>> {
        match name {
            "model" => Some(&mut self.model),
            "stream" => Some(&mut self.stream),
            "response_format" => Some(&mut self.response_format),
            "n" => Some(&mut self.n),
            "user" => Some(&mut self.user),
            "safety_identifier" => Some(&mut self.safety_identifier),
            _ => None,
        }
    }
}

/// Returns the failure of a request that the caller has to correct.
pub(super) fn invalid(message: &str) -> Failure {
    Failure::new(FailureKind::InvalidRequest, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=x";

    fn form(parts: &[(&str, &str)]) -> Bytes {
        let mut text = String::new();
        for (name, value) in parts {
            text.push_str(&format!(
                "--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
            ));
        }
        Bytes::from(text + "--x--\r\n")
    }

    #[tokio::test]
    async fn form_is_read_in_any_order_of_its_fields() {
        let body = form(&[("file", "12345"), ("language", "en"), ("model", "w-1")]);
        let head = FormHead::read(TYPE, body).await.unwrap();
        assert_eq!(head.model.as_deref(), Some("w-1"));
        assert_eq!(head.file_bytes, 7);
    }

    #[tokio::test]
    async fn form_that_is_ambiguous_or_broken_is_refused() {
        for (content_type, body, part) in [
            ("application/json", form(&[]), "must be a form"),
            (TYPE, form(&[("model", "a"), ("model", "b")]), "twice"),
            (TYPE, Bytes::from_static(b"--x\r\nnonsense"), "not valid"),
        ] {
            let failure = FormHead::read(content_type, body).await.unwrap_err();
            assert_eq!(failure.kind, FailureKind::InvalidRequest);
            assert!(failure.message.contains(part), "{failure}");
        }
    }
}
