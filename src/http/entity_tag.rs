//! Strong entity tags of content that does not change while the server runs.

use std::fmt::Write as _;

use axum::http::HeaderMap;
use axum::http::HeaderValue;
use axum::http::header;
use sha2::Digest as _;
use sha2::Sha256;

/// Returns the strong entity tag of `content`: half of its SHA-256 hash, in quotes.
pub(super) fn entity_tag(content: &[u8]) -> HeaderValue {
    let mut tag = String::from("\"");
    for byte in &Sha256::digest(content)[..16] {
        let _ = write!(tag, "{byte:02x}");
    }
    tag.push('"');
    // Hexadecimal digits in quotes are a valid value.
    HeaderValue::from_str(&tag).unwrap_or(HeaderValue::from_static("\"\""))
}

/// True if `If-None-Match` names `tag`, so that the client has the content already.
pub(super) fn is_known(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    let known = headers
        .get_all(header::IF_NONE_MATCH)
        .into_iter()
        .filter_map(|value| value.to_str().ok());
    known.flat_map(|value| value.split(',')).any(|value| {
        let value = value.trim();
        value == "*" || value.strip_prefix("W/").unwrap_or(value) == *tag
    })
}
