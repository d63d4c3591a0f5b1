//! Files of the pages that this server shows: compiled in, with a validator and a policy for the
//! browser.

use axum::http::HeaderMap;
use axum::http::HeaderName;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse as _;
use axum::response::Response;

use super::entity_tag::entity_tag;
use super::entity_tag::is_known;

/// Policy by which a browser loads files of this server alone and sends nothing elsewhere.
pub(super) const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// File of a page, with its strong entity tag.
#[derive(Debug)]
pub(super) struct PageFile {
    media_type: &'static str,
    content: &'static str,
    tag: HeaderValue,
}

impl PageFile {
    /// Creates the file with this content.
    pub(super) fn new(media_type: &'static str, content: &'static str) -> Self {
        Self {
            media_type,
            content,
            tag: entity_tag(content.as_bytes()),
        }
    }

    /// Answers a request with `headers`: without the content if the client has it.
    pub(super) fn answer(&self, headers: &HeaderMap) -> Response {
        let mut response = if is_known(headers, &self.tag) {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            ([(header::CONTENT_TYPE, self.media_type)], self.content).into_response()
        };
        let answers = response.headers_mut();
        answers.insert(header::ETAG, self.tag.clone());
        let fixed: [(HeaderName, &'static str); 4] = [
            (header::CACHE_CONTROL, "no-cache"),
            (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "no-referrer"),
        ];
        answers.extend(fixed.map(|(name, value)| (name, HeaderValue::from_static(value))));
        response
    }
}
