//! Page at `/docs` that shows the OpenAPI document: three files, which load nothing from elsewhere.

use std::sync::LazyLock;

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
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

static PAGE: LazyLock<PageFile> = LazyLock::new(|| {
    PageFile::new(
        "text/html; charset=utf-8",
        include_str!("docs_page/index.html"),
    )
});
static STYLE: LazyLock<PageFile> = LazyLock::new(|| {
    PageFile::new(
        "text/css; charset=utf-8",
        include_str!("docs_page/docs.css"),
    )
});
static SCRIPT: LazyLock<PageFile> = LazyLock::new(|| {
    PageFile::new(
        "text/javascript; charset=utf-8",
        include_str!("docs_page/docs.js"),
    )
});

/// Returns the page.
pub(super) async fn page(headers: HeaderMap) -> Response {
    PAGE.answer(&headers)
}

/// Returns the style sheet of the page.
pub(super) async fn style(headers: HeaderMap) -> Response {
    STYLE.answer(&headers)
}

/// Returns the script of the page.
pub(super) async fn script(headers: HeaderMap) -> Response {
    SCRIPT.answer(&headers)
}

/// File of the page, with its strong entity tag.
#[derive(Debug)]
struct PageFile {
    media_type: &'static str,
    content: &'static str,
    tag: HeaderValue,
}

impl PageFile {
    fn new(media_type: &'static str, content: &'static str) -> Self {
        Self {
            media_type,
            content,
            tag: entity_tag(content.as_bytes()),
        }
    }

    /// Answers a request with `headers`: without the content if the client has it.
    fn answer(&self, headers: &HeaderMap) -> Response {
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
