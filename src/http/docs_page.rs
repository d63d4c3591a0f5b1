//! Page at `/docs` that shows the OpenAPI document: three files, which load nothing from elsewhere.

use std::sync::LazyLock;

use axum::http::HeaderMap;
use axum::response::Response;

use super::page_file::PageFile;

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
