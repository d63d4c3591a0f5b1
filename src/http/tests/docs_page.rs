//! Page at `/docs`.

use super::*;

const FILES: [(&str, &str); 3] = [
    ("/docs", "text/html; charset=utf-8"),
    ("/docs/docs.css", "text/css; charset=utf-8"),
    ("/docs/docs.js", "text/javascript; charset=utf-8"),
];

async fn get(path: &str, headers: &[(&str, &str)]) -> Response {
    let router = with_keys(ScriptedTurns::playing([]));
    send(router, request("GET", path, headers, "")).await
}

#[tokio::test]
async fn docs_page_needs_no_key_and_may_load_its_own_files_only() {
    for (path, media_type) in FILES {
        let response = get(path, &[]).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        let headers = response.headers();
        assert_eq!(headers["content-type"], media_type);
        assert_eq!(headers["cache-control"], "no-cache");
        assert_eq!(headers["x-content-type-options"], "nosniff");
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"));
        assert!(!policy.contains("unsafe") && !policy.contains("http"));
    }
}

#[tokio::test]
async fn docs_page_has_no_inline_script_or_style_and_names_no_other_host() {
    for (path, _) in FILES {
        let content = body(get(path, &[]).await).await;
        assert!(!content.contains("style=\"") && !content.contains("<style"));
        assert!(!content.contains("onclick=") && !content.contains("<script>"));
        assert!(!content.contains("https://"), "{path} names another host");
        assert!(!content.contains("localStorage") && !content.contains("sessionStorage"));
    }
}

#[tokio::test]
async fn docs_file_that_the_client_has_is_not_sent_again() {
    for (path, _) in FILES {
        let tag = get(path, &[]).await.headers()["etag"].clone();
        let tag = tag.to_str().unwrap();
        assert!(tag.starts_with('"'), "the tag is strong: {tag}");
        for known in [tag, &format!("\"x\", W/{tag}"), "*"] {
            let response = get(path, &[("if-none-match", known)]).await;
            assert_eq!(response.status(), StatusCode::NOT_MODIFIED, "{known}");
            assert_eq!(response.headers()["etag"], tag);
            assert_eq!(body(response).await, "");
        }
        let response = get(path, &[("if-none-match", "\"other\"")]).await;
        assert_eq!(response.status(), StatusCode::OK);
    }
}
