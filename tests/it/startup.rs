//! Start of the binary: messages, refusals and permissions of its files.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use crate::support::TestServer;

#[tokio::test(flavor = "multi_thread")]
async fn server_without_credentials_starts_and_names_the_missing_variables() {
    let server = TestServer::fake()
        .without("ANTHROPIC_API_KEY")
        .spawn()
        .await;
    let names_the_variables =
        |text: &str| text.contains("ANTHROPIC_API_KEY") && text.contains("CLAUDE_CODE_OAUTH_TOKEN");
    assert!(names_the_variables(&server.log()), "{}", server.log());

    for stream in [false, true] {
        let answer = server.chat("hi").with("stream", stream).send().await;
        assert_eq!(answer.error(), "401 authentication_error not_signed_in");
        assert_eq!(answer.headers["x-should-retry"], "false");
        let message = answer.body["error"]["message"].as_str().unwrap();
        assert!(names_the_variables(message), "{message}");
    }
    let (status, models) = server.get("/v1/models").await;
    assert_eq!(
        (status, &models["error"]["type"]),
        (401, &Value::from("authentication_error"))
    );

    let (status, ready) = server.get("/ready").await;
    assert_eq!((status, &ready["status"]), (503, &Value::from("not_ready")));
    assert!(
        names_the_variables(ready["problems"][0].as_str().unwrap()),
        "{ready}"
    );
    assert_eq!(server.get("/health").await.0, 200);
    assert_eq!(server.workers(), Vec::<i32>::new());
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn start_fails_and_names_a_missing_or_invalid_cli() {
    for missing in ["no-such-claude", "/nowhere/claude"] {
        let ended = TestServer::fake()
            .set("SWITCHBOARD_CLAUDE__BINARY", missing)
            .fail()
            .await;
        assert_eq!(ended.code, Some(1));
        let error = last_error(&ended.log);
        assert!(
            error.contains(missing) && error.contains("--claude-bin"),
            "{error}"
        );
    }
    let ended = TestServer::fake()
        .set("SWITCHBOARD_CLAUDE__BINARY", "/bin/true")
        .fail()
        .await;
    assert_eq!(ended.code, Some(1));
    let error = last_error(&ended.log);
    assert!(
        error.contains("not a version of the Claude CLI") && error.contains("--claude-bin"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn start_fails_and_names_a_port_in_use() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let ended = TestServer::fake()
        .set("SWITCHBOARD_SERVER__LISTEN", address)
        .fail()
        .await;
    assert_eq!(ended.code, Some(1));
    let error = last_error(&ended.log);
    assert!(
        error.contains(&format!("cannot listen on {address}")) && error.contains("in use"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn start_fails_if_another_server_uses_the_data_directory() {
    let server = TestServer::fake().spawn().await;
    server
        .wait_until("a worker is ready", |ready| ready["workers"]["idle"] == 1)
        .await;
    let workers = server.workers();
    let data_dir = server.data_dir();
    let ended = TestServer::fake().fail_in(data_dir).await;
    assert_eq!(ended.code, Some(1));
    let error = last_error(&ended.log);
    assert!(
        error.contains("another server uses") && error.contains(data_dir.to_str().unwrap()),
        "{error}"
    );
    assert!(error.contains("--data-dir DIR --listen"), "{error}");
    assert_eq!(
        server.workers(),
        workers,
        "the first server's workers keep running"
    );
    assert_eq!(server.chat("[[tokens=1]]").send().await.text(), "w0 ");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_keys_from_the_environment_are_accepted() {
    let server = TestServer::fake()
        .set("SWITCHBOARD_AUTH__KEYS", "key-one,key-two")
        .spawn()
        .await;
    let ask = async |key: Option<&str>| {
        let request = server.http.get(server.url("/v1/models"));
        let request = match key {
            Some(key) => request.bearer_auth(key),
            None => request,
        };
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(ask(Some("key-one")).await, 200);
    assert_eq!(ask(Some("key-two")).await, 200);
    assert_eq!(ask(Some("key-one,key-two")).await, 401);
    assert_eq!(ask(None).await, 401);
    assert_eq!(server.get("/health").await.0, 200);
    assert!(!server.log().contains("key-one"), "{}", server.log());
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn home_directory_of_the_cli_is_private_to_the_user() {
    let server = TestServer::fake().spawn().await;
    let mode = std::fs::metadata(server.data_dir().join("home"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700);
    server.end().await;
}

/// Returns the last error in the log, with its hint.
fn last_error(log: &str) -> &str {
    let start = log
        .rfind("error: ")
        .unwrap_or_else(|| panic!("no error in {log}"));
    let error = &log[start..];
    assert!(error.contains("\nhint: "), "no hint in {error}");
    error
}
