//! The canonical form of the paths that clients ask for.
//!
//! Base URLs are written with `/v1`, without it or with it twice, below `/api`, and with a slash at the end; each client joins its
//! own path to that. All these forms lead to the same place, before anything else looks at the path.

use std::borrow::Cow;

use axum::extract::Request;
use axum::http::Uri;
use axum::http::uri::PathAndQuery;

/// The version that stands in front of the paths of the API.
const VERSION: &str = "v1";

/// Gives `request` the canonical form of its path.
pub(super) fn rewrite<B>(mut request: Request<B>, resources: &[&'static str]) -> Request<B> {
    let uri = request.uri();
    let Cow::Owned(mut path) = canonical(uri.path(), resources) else {
        return request;
    };
    if let Some(query) = uri.query() {
        path.push('?');
        path.push_str(query);
    }
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = PathAndQuery::try_from(path).ok();
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
    request
}

/// The first segments of those of `paths` that lie below the version.
pub(super) fn resources(paths: impl Iterator<Item = &'static str>) -> Vec<&'static str> {
    let mut resources: Vec<_> = paths
        .filter_map(|path| path.strip_prefix("/v1/")?.split('/').next())
        .collect();
    resources.sort_unstable();
    resources.dedup();
    resources
}

/// The canonical form of `path`: one slash between segments and none at the end, one version in front of `resources`.
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
    fn paths_have_one_form() {
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
    fn the_rest_of_an_address_stays_as_it_is() {
        let request = Request::builder()
            .uri("http://a:1/models/?limit=2&b=//")
            .body(())
            .unwrap();
        assert_eq!(
            rewrite(request, &["models"]).uri(),
            "http://a:1/v1/models?limit=2&b=//"
        );
    }
}
