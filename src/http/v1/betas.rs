//! Betas of Anthropic's API that a client asks for.

use axum::http::HeaderMap;

use crate::api::request_schema::printable;

const HEADER: &str = "anthropic-beta";

/// Prefixes of the betas that the CLI requests by itself, without their dates. They are not reported as ignored.
const OF_THE_CLI: [&str; 6] = [
    "claude-code-",
    "interleaved-thinking-",
    "context-management-",
    "effort-",
    "oauth-",
    "extended-cache-ttl-",
];

/// Most names that are told: the list travels in a header.
const MOST: usize = 16;

/// The betas that `headers` ask for and that calls do not, as names for the list of what has no effect.
pub(super) fn missing(headers: &HeaderMap, configured: &[String]) -> Vec<String> {
    let lists = headers
        .get_all(HEADER)
        .iter()
        .filter_map(|list| list.to_str().ok());
    let asked = lists
        .flat_map(|list| list.split(','))
        .map(str::trim)
        .filter(|beta| !beta.is_empty());
    let is_missing = |beta: &&str| {
        !configured.iter().any(|known| known == beta)
            && !OF_THE_CLI.iter().any(|prefix| beta.starts_with(prefix))
    };
    asked
        .filter(is_missing)
        .take(MOST)
        .map(|beta| format!("{HEADER}: {}", printable(beta)))
        .collect()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn only_betas_that_calls_do_not_ask_for_are_told() {
        let mut headers = HeaderMap::new();
        let list = "claude-code-20250219, files-api-2025-04-14,code-execution-2025-08-25,";
        headers.insert(HEADER, HeaderValue::from_static(list));
        let configured = ["code-execution-2025-08-25".to_owned()];
        assert_eq!(
            missing(&headers, &configured),
            ["anthropic-beta: files-api-2025-04-14"]
        );
        assert_eq!(missing(&HeaderMap::new(), &[]), Vec::<String>::new());
    }
}
