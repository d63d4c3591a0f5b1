//! The document as the server sends it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::OnceLock;

use axum::http::HeaderMap;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse as _;
use axum::response::Response;
use bytes::Bytes;

use super::described::DescribedRoute;
use super::document::document;
use super::version::SpecificationVersion;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::code;
use crate::http::entity_tag::entity_tag;
use crate::http::entity_tag::is_known;
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
        Self {
            etag: entity_tag(text.as_bytes()),
            body: text.into(),
        }
    }
}
