//! Description of the server at `/`.

use std::sync::Arc;

use axum::Json;
use axum::http::HeaderMap;
use axum::http::header;
use axum::response::Html;
use axum::response::IntoResponse as _;
use axum::response::Response;
use serde_json::json;

/// Description at `/`: a page for browsers, JSON for all others.
#[derive(Debug)]
pub(super) struct RootPage {
    paths: Vec<&'static str>,
}

const NAME: &str = "claude-switchboard";
const DESCRIPTION: &str = "Claude behind the OpenAI API and Anthropic's Messages API.";

impl RootPage {
    /// Describes a server of `paths`, without those that contain an id.
    pub(super) fn new(paths: Vec<&'static str>) -> Arc<Self> {
        Arc::new(Self { paths })
    }

    /// Answers a request with `headers`.
    pub(super) fn answer(&self, headers: &HeaderMap) -> Response {
        let accept = headers
            .get(header::ACCEPT)
            .and_then(|value| value.to_str().ok());
        let mut response = if accept.is_some_and(|accept| accept.contains("text/html")) {
            Html(self.page()).into_response()
        } else {
            Json(json!({
                "name": NAME,
                "description": DESCRIPTION,
                "base_urls": {"openai": "/v1", "anthropic": "/"},
                "paths": self.paths,
            }))
            .into_response()
        };
        response
            .headers_mut()
            .insert(header::VARY, header::ACCEPT.into());
        response
    }

    /// Returns the most similar known path, if one is similar enough.
    pub(super) fn nearest(&self, path: &str) -> Option<&'static str> {
        /// Minimum similarity of two paths, from 0 to 1.
        const MIN_SIMILARITY: f64 = 0.6;
        /// Maximum length of a compared path, in bytes, since the comparison is quadratic.
        const MAX_PATH_BYTES: usize = 100;
        if path.len() > MAX_PATH_BYTES {
            return None;
        }
        let alike =
            |other: &&'static str| (strsim::normalized_damerau_levenshtein(path, other), *other);
        let (likeness, nearest) = self
            .paths
            .iter()
            .map(alike)
            .max_by(|(one, _), (other, _)| one.total_cmp(other))?;
        (likeness >= MIN_SIMILARITY).then_some(nearest)
    }

    fn page(&self) -> String {
        let paths: String = self
            .paths
            .iter()
            .map(|path| format!("<li><code>{path}</code></li>\n"))
            .collect();
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n<title>{NAME}</title>\n\
             <style>body{{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:3rem auto;padding:0 1rem}}</style>\n\
             <h1>{NAME}</h1>\n<p>{DESCRIPTION}</p>\n\
             <p>The base URL of OpenAI's clients is this address with <code>/v1</code> behind it, that of Anthropic's is \
             this address.</p>\n<ul>\n{paths}</ul>\n"
        )
    }
}
