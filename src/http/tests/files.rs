//! Tests of uploaded files.

use super::*;

const BOUNDARY: &str = "multipart/form-data; boundary=b";

/// Router with file storage in a temporary folder.
pub(super) async fn with_files(turns: ScriptedTurns) -> (Router, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let files = Files::temporary(folder.path()).await.unwrap();
    let state = state(turns);
    (
        router(AppState {
            services: ApiServices {
                files,
                ..state.services
            },
            ..state
        }),
        folder,
    )
}

fn part(head: &str, content: &str) -> String {
    format!("--b\r\nContent-Disposition: form-data; {head}\r\n\r\n{content}\r\n")
}

/// Returns a complete form.
fn form(parts: &[String]) -> String {
    format!("{}--b--\r\n", parts.concat())
}

pub(super) fn upload(content: &str) -> Request<Body> {
    upload_for("batch", "in.jsonl", content, &[])
}

/// Returns the upload of a file with the name `name`, with further headers.
pub(super) fn upload_for(
    purpose: &str,
    name: &str,
    content: &str,
    headers: &[(&str, &str)],
) -> Request<Body> {
    let file = part(&format!("name=\"file\"; filename=\"{name}\""), content);
    let headers = [&[("content-type", BOUNDARY)], headers].concat();
    request(
        "POST",
        "/v1/files",
        &headers,
        form(&[file, part("name=\"purpose\"", purpose)]),
    )
}

/// Returns the body of a successful answer.
pub(super) async fn found(router: &Router, request: Request<Body>) -> Value {
    let response = send(router.clone(), request).await;
    let status = response.status();
    let body = body(response).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    serde_json::from_str(&body).unwrap()
}

fn at(method: &str, path: &str) -> Request<Body> {
    request(method, path, &[], "")
}

async fn refused(router: &Router, request: Request<Body>) -> String {
    let (status, error) = error(send(router.clone(), request).await).await;
    format!("{} {} {}", status.as_u16(), error["code"], error["param"])
}

#[tokio::test]
async fn file_is_uploaded_listed_read_and_deleted() {
    let (router, _folder) = with_files(ScriptedTurns::playing([])).await;
    // Larger than the limit for bodies of other requests.
    let content = "a line\n".repeat(1000);
    let file = found(&router, upload(&content)).await;
    assert_eq!(
        (&file["object"], &file["bytes"], &file["status"]),
        (&json!("file"), &json!(7000), &json!("processed"))
    );
    assert_eq!(
        (&file["filename"], &file["purpose"]),
        (&json!("in.jsonl"), &json!("batch"))
    );
    assert_eq!(
        file["expires_at"].as_u64(),
        file["created_at"]
            .as_u64()
            .map(|created| created + 2_592_000)
    );
    let path = format!("/v1/files/{}", file["id"].as_str().unwrap());
    assert_eq!(found(&router, at("GET", &path)).await, file);
    let list = found(
        &router,
        at("GET", "/v1/files?limit=1&order=asc&purpose=batch"),
    )
    .await;
    assert_eq!(
        (&list["data"], &list["has_more"]),
        (&json!([file]), &json!(false))
    );
    let download = send(router.clone(), at("GET", &format!("{path}/content"))).await;
    assert_eq!(
        download.headers()["content-type"],
        "application/octet-stream"
    );
    assert_eq!(download.headers()["content-length"], "7000");
    assert_eq!(body(download).await, content);
    let deleted = found(&router, at("DELETE", &path)).await;
    assert_eq!(
        deleted,
        json!({"id": file["id"], "object": "file", "deleted": true})
    );
    for (method, path) in [
        ("GET", path.clone()),
        ("GET", format!("{path}/content")),
        ("DELETE", path),
    ] {
        assert_eq!(
            refused(&router, at(method, &path)).await,
            r#"404 "file_not_found" "id""#,
            "{method} {path}"
        );
    }
}

#[tokio::test]
async fn invalid_upload_names_the_field_and_leaves_no_file() {
    let (router, folder) = with_files(ScriptedTurns::playing([])).await;
    let file = || part("name=\"file\"; filename=\"a\"", "x");
    let purpose = |purpose| part("name=\"purpose\"", purpose);
    for (parts, expected) in [
        (
            vec![purpose("batch")],
            r#"400 "missing_required_parameter" "file""#,
        ),
        (
            vec![file()],
            r#"400 "missing_required_parameter" "purpose""#,
        ),
        (
            vec![file(), purpose("assistants")],
            r#"400 "invalid_value" "purpose""#,
        ),
        (
            vec![file(), file(), purpose("batch")],
            r#"400 "invalid_value" "file""#,
        ),
        (
            vec![purpose(&"x".repeat(5000)), file()],
            r#"400 "invalid_value" "purpose""#,
        ),
        (
            vec![part("name=\"file\"", &"x".repeat(10_001))],
            r#"413 "request_too_large" "file""#,
        ),
    ] {
        let upload = request(
            "POST",
            "/v1/files",
            &[("content-type", BOUNDARY)],
            form(&parts),
        );
        assert_eq!(refused(&router, upload).await, expected);
    }
    let cut = format!("{}{}", file(), "--b");
    let cut = request("POST", "/v1/files", &[("content-type", BOUNDARY)], cut);
    assert_eq!(refused(&router, cut).await, r#"400 "body_unreadable" null"#);
    for kind in ["application/json", "multipart/form-data"] {
        let upload = request(
            "POST",
            "/v1/files",
            &[("content-type", kind)],
            form(&[file()]),
        );
        assert_eq!(refused(&router, upload).await, "400 null null");
    }
    let large = [("content-type", BOUNDARY), ("content-length", "1058577")];
    let large = request("POST", "/v1/files", &large, form(&[file()]));
    assert_eq!(
        refused(&router, large).await,
        r#"413 "request_too_large" null"#
    );
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        0,
        "nothing is left of them"
    );
}

#[tokio::test]
async fn invalid_file_paths_and_queries_are_refused() {
    let (router, _folder) = with_files(ScriptedTurns::playing([])).await;
    for (path, expected) in [
        ("/v1/files?limit=0", r#"400 "invalid_value" "limit""#),
        ("/v1/files?order=up", r#"400 "invalid_value" "order""#),
        (
            "/v1/files?purpose=assistants",
            r#"400 "invalid_value" "purpose""#,
        ),
        ("/v1/files?after=file-1", r#"400 "invalid_value" "after""#),
        ("/v1/files/file-1", r#"404 "file_not_found" "id""#),
        ("/v1/uploads", r#"404 "unsupported_endpoint" null"#),
        ("/v1/uploads/1/parts", r#"404 "unsupported_endpoint" null"#),
    ] {
        assert_eq!(refused(&router, at("GET", path)).await, expected, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn paused_upload_times_out() {
    let (router, folder) = with_files(ScriptedTurns::playing([])).await;
    let head = part("name=\"file\"; filename=\"a\"", "x");
    let body = stream::iter([Ok::<_, std::io::Error>(head)]).chain(stream::pending());
    let upload = request(
        "POST",
        "/v1/files",
        &[("content-type", BOUNDARY)],
        Body::from_stream(body),
    );
    assert_eq!(refused(&router, upload).await, r#"408 "body_timeout" null"#);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

const ANTHROPIC_VERSION: (&str, &str) = ("anthropic-version", "2023-06-01");

/// Returns the upload of a file in Anthropic's format.
pub(super) fn anthropic_upload(
    name: &str,
    kind: &str,
    content: &str,
    headers: &[(&str, &str)],
) -> Request<Body> {
    let head = format!("name=\"file\"; filename=\"{name}\"\r\nContent-Type: {kind}");
    let headers = [&[("content-type", BOUNDARY), ANTHROPIC_VERSION], headers].concat();
    request("POST", "/v1/files", &headers, form(&[part(&head, content)]))
}

fn anthropic_request(method: &str, path: &str) -> Request<Body> {
    request(method, path, &[ANTHROPIC_VERSION], "")
}

#[tokio::test]
async fn files_have_anthropics_format_for_its_clients() {
    let (router, _folder) = with_files(ScriptedTurns::playing([])).await;
    let mut created = Vec::new();
    for name in ["a.pdf", "b", "c.txt"] {
        created.push(found(&router, anthropic_upload(name, "text/x-test", "words", &[])).await);
    }
    let file = &created[0];
    assert_eq!(
        (&file["type"], &file["filename"], &file["mime_type"]),
        (&json!("file"), &json!("a.pdf"), &json!("text/x-test"))
    );
    assert_eq!(
        (&file["size_bytes"], &file["downloadable"]),
        (&json!(5), &json!(true))
    );
    assert!(
        file["created_at"].as_str().unwrap().ends_with('Z') && file["expires_at"].is_null(),
        "{file}"
    );
    let path = format!("/v1/files/{}", file["id"].as_str().unwrap());
    assert_eq!(found(&router, anthropic_request("GET", &path)).await, *file);
    assert_eq!(
        found(&router, at("GET", &path)).await["purpose"],
        "user_data"
    );
    assert_eq!(
        body(
            send(
                router.clone(),
                anthropic_request("GET", &format!("{path}/content"))
            )
            .await
        )
        .await,
        "words"
    );

    let page = found(&router, anthropic_request("GET", "/v1/files?limit=2")).await;
    assert_eq!(
        (&page["data"], &page["has_more"]),
        (&json!([created[2], created[1]]), &json!(true))
    );
    let next = format!("/v1/files?page={}", page["next_page"].as_str().unwrap());
    assert_eq!(
        found(&router, anthropic_request("GET", &next)).await["data"],
        json!([file])
    );
    let some = format!(
        "/v1/files?ids[]={}&ids[]=file-0",
        file["id"].as_str().unwrap()
    );
    assert_eq!(
        found(&router, anthropic_request("GET", &some)).await["data"],
        json!([file])
    );

    let deleted = found(&router, anthropic_request("DELETE", &path)).await;
    assert_eq!(deleted, json!({"id": file["id"], "type": "file_deleted"}));
    let missing = send(router.clone(), anthropic_request("GET", &path)).await;
    assert_eq!(missing.status(), StatusCode::NOT_FOUND);
    let missing: Value = serde_json::from_str(&body(missing).await).unwrap();
    assert_eq!(
        (&missing["type"], &missing["error"]["type"]),
        (&json!("error"), &json!("not_found_error"))
    );
    let bad = send(
        router.clone(),
        anthropic_request("GET", "/v1/files?limit=x"),
    )
    .await;
    assert!(body(bad).await.contains("invalid_request_error"));
}
