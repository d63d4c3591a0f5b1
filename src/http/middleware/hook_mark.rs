//! Mark of requests that hooks make.

use axum::http::HeaderMap;

use crate::engine::hooks::HOOK_MARK_HEADER;
use crate::engine::hooks::is_hook_mark;

/// Returns true if a hook of this server made the request with these headers.
pub(in crate::http) fn is_from_hook(headers: &HeaderMap) -> bool {
    let mark = headers.get(HOOK_MARK_HEADER);
    mark.is_some_and(|mark| is_hook_mark(mark.as_bytes()))
}
