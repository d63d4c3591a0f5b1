//! The document as the server sends it.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::OnceLock;

use axum::http::HeaderMap;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse as _;
use axum::response::Response;
use bytes::Bytes;
use sha2::Digest as _;
use sha2::Sha256;

use super::described::DescribedRoute;
use super::document::document;
use super::version::SpecificationVersion;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::code;
use crate::http::error::ApiError;

/// Document of the routes of a listener, made when it is first asked for.
#[derive(Debug)]
pub(in crate::http) struct ServedDocument {
    routes: Vec<DescribedRoute>,
    v3_1: OnceLock<RenderedDocument>,
    v3_2: OnceLock<RenderedDocument>,
}

/// Document as JSON, with its validator.
#[derive(Debug)]
struct RenderedDocument {
    body: Bytes,
    etag: HeaderValue,
}

impl ServedDocument {
    /// Creates the document of `routes`.
    pub(in crate::http) fn new(routes: Vec<DescribedRoute>) -> Arc<Self> {
        Arc::new(Self {
            routes,
            v3_1: OnceLock::new(),
            v3_2: OnceLock::new(),
        })
    }

    /// Answers a request for the document in the version that the query names.
    ///
    /// # Errors
    /// Fails when there is no such version.
    pub(in crate::http) fn answer(
        &self,
        query: &HashMap<String, String>,
        headers: &HeaderMap,
    ) -> Result<Response, ApiError> {
        let document = match query.get("version").map(String::as_str) {
            None | Some("3.1") => self.rendered(SpecificationVersion::V3_1),
            Some("3.2") => self.rendered(SpecificationVersion::V3_2),
            Some(_) => {
                let message =
                    "`version`: expected `3.1` or `3.2`, versions of the OpenAPI Specification.";
                return Err(InvalidRequest::at("version", code::VALUE, message).into());
            }
        };
        let validators = [
            (header::ETAG, document.etag.clone()),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        ];
        if is_known(headers, &document.etag) {
            return Ok((StatusCode::NOT_MODIFIED, validators).into_response());
        }
        let kind = [(header::CONTENT_TYPE, "application/json")];
        Ok((validators, kind, document.body.clone()).into_response())
    }

    fn rendered(&self, version: SpecificationVersion) -> &RenderedDocument {
        let rendered = match version {
            SpecificationVersion::V3_1 => &self.v3_1,
            SpecificationVersion::V3_2 => &self.v3_2,
        };
        rendered.get_or_init(|| RenderedDocument::new(document(version, &self.routes).to_string()))
    }
}

impl RenderedDocument {
    fn new(text: String) -> Self {
        let mut etag = String::from("\"");
        for byte in &Sha256::digest(&text)[..16] {
            let _ = write!(etag, "{byte:02x}");
        }
        etag.push('"');
        // Hexadecimal digits in quotes are a valid value.
        let etag = HeaderValue::from_str(&etag).unwrap_or(HeaderValue::from_static("\"\""));
        Self {
            body: text.into(),
            etag,
        }
    }
}

/// True if the client has the version `etag` already.
fn is_known(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    let known = headers
        .get_all(header::IF_NONE_MATCH)
        .into_iter()
        .filter_map(|value| value.to_str().ok());
    known.flat_map(|value| value.split(',')).any(|value| {
        let value = value.trim();
        value == "*" || value.strip_prefix("W/").unwrap_or(value) == *etag
    })
}
