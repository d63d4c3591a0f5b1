//! Canonical form of request paths.
//!
//! Clients join their paths to base URLs that have `/v1` once, twice or not at all, are below
//! `/api`, or end with a slash. All these forms are rewritten to one before anything else looks at
//! the path.

use std::borrow::Cow;

use axum::extract::Request;
use axum::http::Uri;
use axum::http::uri::PathAndQuery;

/// Version prefix of the API's paths.
const VERSION: &str = "v1";

/// Path of a request as the client has sent it, where it was rewritten.
#[derive(Debug, Clone)]
pub(super) struct RequestedPath(String);

impl RequestedPath {
    /// Returns the path, without the query.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Rewrites the path of `request` to its canonical form, and keeps the former one as an extension.
pub(super) fn canonicalize<B>(mut request: Request<B>, resources: &[&'static str]) -> Request<B> {
    let uri = request.uri();
    let Cow::Owned(mut path) = canonical(uri.path(), resources) else {
        return request;
    };
    if let Some(query) = uri.query() {
        path.push('?');
        path.push_str(query);
    }
    let sent = RequestedPath(uri.path().to_owned());
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = PathAndQuery::try_from(path).ok();
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
        request.extensions_mut().insert(sent);
    }
    request
}

/// Returns the first segment after the version of each path in `paths`.
pub(super) fn resources(paths: impl Iterator<Item = &'static str>) -> Vec<&'static str> {
    let mut resources: Vec<_> = paths
        .filter_map(|path| path.strip_prefix("/v1/")?.split('/').next())
        .collect();
    resources.sort_unstable();
    resources.dedup();
    resources
}

/// Returns the canonical form of `path`: single slashes, none at the end, one version before
/// `resources`.
fn canonical<'path>(path: &'path str, resources: &[&str]) -> Cow<'path, str> {
    if !path.starts_with('/') {
        return Cow::Borrowed(path);
    }
    let mut segments: Vec<&str> = path
        .split('/')
        .filter(|segment| !segment.is_empty())
        .collect();
    if let ["api", VERSION, ..] = *segments {
        segments.remove(0);
    }
    let versions = segments
        .iter()
        .take_while(|segment| **segment == VERSION)
        .count();
    segments.drain(..versions.saturating_sub(1));
    if segments
        .first()
        .is_some_and(|first| resources.contains(first))
    {
        segments.insert(0, VERSION);
    }
    let canonical = format!("/{}", segments.join("/"));
    if canonical == path {
        Cow::Borrowed(path)
    } else {
        Cow::Owned(canonical)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equivalent_paths_have_one_canonical_form() {
        let resources =
            resources(["/v1/chat/completions", "/v1/models", "/v1/models/{*id}"].into_iter());
        assert_eq!(resources, ["chat", "models"]);
        for (path, expected) in [
            ("/v1/chat/completions", "/v1/chat/completions"),
            ("/v1/chat/completions/", "/v1/chat/completions"),
            ("//v1//chat/completions", "/v1/chat/completions"),
            ("/chat/completions", "/v1/chat/completions"),
            ("/v1/v1/v1/models", "/v1/models"),
            ("/api/v1/models/a%2Fb", "/v1/models/a%2Fb"),
            ("/health/", "/health"),
            ("//admin/keys", "/admin/keys"),
            ("/api/hello", "/api/hello"),
            ("/v2/models", "/v2/models"),
            ("/", "/"),
            ("//", "/"),
            ("*", "*"),
        ] {
            assert_eq!(canonical(path, &resources), expected, "{path}");
            assert_eq!(canonical(expected, &resources), expected, "{path} twice");
        }
    }

    #[test]
    fn rewrite_keeps_authority_and_query() {
        let request = Request::builder()
            .uri("http://a:1/models/?limit=2&b=//")
            .body(())
            .unwrap();
        let request = canonicalize(request, &["models"]);
        assert_eq!(request.uri(), "http://a:1/v1/models?limit=2&b=//");
        let sent = request.extensions().get::<RequestedPath>().unwrap();
        assert_eq!(sent.as_str(), "/models/");
    }
}
