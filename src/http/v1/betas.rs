//! Beta features of Anthropic's API that a client asks for.

use axum::http::HeaderMap;

use crate::api::request_schema::printable;

const HEADER: &str = "anthropic-beta";

/// Prefixes of the betas that the CLI requests by itself, without their dates. They are not
/// reported as ignored.
const CLI_BETA_PREFIXES: [&str; 6] = [
    "claude-code-",
    "interleaved-thinking-",
    "context-management-",
    "effort-",
    "oauth-",
    "extended-cache-ttl-",
];

/// Maximum number of reported names, since the list is sent in a header.
const MAX_REPORTED_BETAS: usize = 16;

/// Returns the betas that `headers` ask for and that upstream calls do not, as entries of the list
/// of ignored fields.
pub(super) fn missing_betas(headers: &HeaderMap, configured: &[String]) -> Vec<String> {
    let lists = headers
        .get_all(HEADER)
        .iter()
        .filter_map(|list| list.to_str().ok());
    let requested = lists
        .flat_map(|list| list.split(','))
        .map(str::trim)
        .filter(|beta| !beta.is_empty());
    let is_missing = |beta: &&str| {
        !configured.iter().any(|known| known == beta)
            && !CLI_BETA_PREFIXES
                .iter()
                .any(|prefix| beta.starts_with(prefix))
    };
    requested
        .filter(is_missing)
        .take(MAX_REPORTED_BETAS)
        .map(|beta| format!("{HEADER}: {}", printable(beta)))
        .collect()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn only_betas_missing_from_upstream_calls_are_reported() {
        let mut headers = HeaderMap::new();
        let list = "claude-code-20250219, files-api-2025-04-14,code-execution-2025-08-25,";
        headers.insert(HEADER, HeaderValue::from_static(list));
        let configured = ["code-execution-2025-08-25".to_owned()];
        assert_eq!(
            missing_betas(&headers, &configured),
            ["anthropic-beta: files-api-2025-04-14"]
        );
        assert_eq!(missing_betas(&HeaderMap::new(), &[]), Vec::<String>::new());
    }
}
