//! Management of API keys: by commands, through the admin socket and over HTTP.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;

use crate::command_line::CommandOutput;
use crate::support::{Builder, HttpClient, ServerProcess, TestServer, eventually};

const ADMIN: &str = "made-up-admin-key";

/// Runs a command on a data directory.
#[expect(
    clippy::disallowed_methods,
    reason = "a test starts the binary as a shell would"
)]
async fn run(data_dir: &Path, arguments: &[&str]) -> CommandOutput {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_claude-switchboard"));
    command
        .args(arguments)
        .arg("--data-dir")
        .arg(data_dir)
        .env_clear()
        .stdin(Stdio::null());
    let output = command.kill_on_drop(true).output().await;
    output.unwrap().into()
}

/// Runs a command with `--json` and returns the JSON that it prints.
async fn json_of(data_dir: &Path, arguments: &[&str]) -> Value {
    let output = run(data_dir, &[arguments, &["--json"]].concat()).await;
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    serde_json::from_str(&output.stdout).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// Returns a server without credentials: these tests make no upstream calls.
fn server() -> Builder {
    TestServer::fake().without("ANTHROPIC_API_KEY")
}

/// Returns the error code for a request with `key`. A server without credentials answers a valid
/// key with [`AUTHENTICATED`].
async fn error_code_for(server: &ServerProcess, key: &str) -> String {
    let request = server.http.get(server.url("/v1/models")).bearer_auth(key);
    let body: Value = request.send().await.unwrap().json().await.unwrap();
    text(&body["error"]["code"]).to_owned()
}

/// Error code of an authenticated request to a server without credentials.
const AUTHENTICATED: &str = "not_signed_in";

#[tokio::test(flavor = "multi_thread")]
#[expect(
    clippy::too_many_lines,
    reason = "one story from the first key to the last"
)]
async fn keys_are_managed_while_no_server_runs() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path();
    let made = json_of(
        data_dir,
        &[
            "keys",
            "create",
            "laptop",
            "--monthly-money",
            "5",
            "--expires-in",
            "30d",
        ],
    )
    .await;
    assert!(text(&made["key"]).starts_with("sk-sb-"));
    assert_eq!(made["budget"]["monthly"]["money"], "5.00");
    let project = json_of(
        data_dir,
        &["projects", "create", "team", "--requests-per-minute", "9"],
    )
    .await;
    let project = text(&project["id"]);
    assert_eq!(project, "team", "the name is an id");
    let with_id = json_of(
        data_dir,
        &["projects", "create", "The team", "--id", "team-2"],
    )
    .await;
    assert_eq!(
        (&with_id["id"], &with_id["name"]),
        (&json!("team-2"), &json!("The team"))
    );
    let without_id = json_of(data_dir, &["projects", "create", "The team"]).await;
    assert!(text(&without_id["id"]).starts_with("proj_"));
    let taken = run(data_dir, &["projects", "create", "team"]).await;
    assert!(
        taken.code == Some(1) && taken.stderr.contains("There is a project 'team' already"),
        "{}",
        taken.stderr
    );
    let other = json_of(
        data_dir,
        &[
            "keys",
            "create",
            "ci",
            "--project",
            project,
            "--models",
            "haiku,sonnet",
        ],
    )
    .await;
    assert_eq!(other["models"], json!(["haiku", "sonnet"]));
    let held = json_of(
        data_dir,
        &["projects", "budget", project, "--daily-tokens", "7"],
    )
    .await;
    assert_eq!(held["budget"]["daily"], json!({"tokens": 7, "money": null}));

    let rotated = json_of(
        data_dir,
        &["keys", "rotate", text(&made["id"]), "--grace", "1h"],
    )
    .await;
    assert_ne!(rotated["key"], made["key"]);
    let revoked = run(data_dir, &["keys", "revoke", text(&other["prefix"])]).await;
    assert_eq!(
        revoked.stdout,
        format!("The key ci ({}) is revoked.\n", text(&other["id"]))
    );
    let listed = run(data_dir, &["keys", "list"]).await.stdout;
    let lines: Vec<&str> = listed.lines().collect();
    assert_eq!(lines.len(), 3, "{listed}");
    assert!(
        lines[1].contains("laptop") && lines[1].contains("$5.00/month"),
        "{listed}"
    );
    assert!(
        lines[2].contains("ci") && lines[2].contains("revoked"),
        "{listed}"
    );
    assert!(
        !listed.contains("sk-sb-"),
        "no secret is shown again: {listed}"
    );
    assert!(
        run(data_dir, &["projects", "list"])
            .await
            .stdout
            .contains("7 tokens/day")
    );

    // A server that starts now accepts these keys and no others.
    let server = server().spawn_in(data_dir).await;
    for key in [&made["key"], &rotated["key"]] {
        assert_eq!(error_code_for(&server, text(key)).await, AUTHENTICATED);
    }
    assert_eq!(
        error_code_for(&server, text(&other["key"])).await,
        "revoked_api_key"
    );
    assert_eq!(error_code_for(&server, "").await, "invalid_api_key");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_managed_while_the_server_runs() {
    let server = server().spawn().await;
    let data_dir = server.data_dir();
    assert_eq!(
        error_code_for(&server, "").await,
        AUTHENTICATED,
        "a server without keys answers local requests"
    );
    let made = run(data_dir, &["keys", "create", "laptop"]).await;
    let key = made
        .stdout
        .split_whitespace()
        .find(|word| word.starts_with("sk-sb-"))
        .unwrap()
        .to_owned();
    assert_eq!(
        (
            error_code_for(&server, "").await,
            error_code_for(&server, &key).await
        ),
        ("invalid_api_key".into(), AUTHENTICATED.into())
    );
    let mode = std::fs::metadata(data_dir.join("admin.sock"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);

    let rotated = json_of(data_dir, &["keys", "rotate", &key]).await;
    assert_eq!(error_code_for(&server, &key).await, "expired_api_key");
    assert_eq!(
        error_code_for(&server, text(&rotated["key"])).await,
        AUTHENTICATED
    );
    json_of(data_dir, &["keys", "create", "another"]).await;
    json_of(data_dir, &["keys", "revoke", &key]).await;
    assert_eq!(
        error_code_for(&server, text(&rotated["key"])).await,
        "revoked_api_key"
    );

    let log = server.log();
    assert!(
        log.contains("key created") && log.contains("key revoked"),
        "{log}"
    );
    assert!(
        !log.contains(&key) && !log.contains(text(&rotated["key"])),
        "{log}"
    );
    // The socket of a killed server does not block commands.
    let folder = tempfile::tempdir().unwrap();
    let killed = self::server().spawn_in(folder.path()).await;
    killed.kill().await;
    assert!(folder.path().join("admin.sock").exists());
    assert_eq!(run(folder.path(), &["keys", "list"]).await.code, Some(0));
    assert!(!folder.path().join("admin.sock").exists());
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_command_prints_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    let failed = async |arguments: &[&str]| {
        let output = run(folder.path(), arguments).await;
        assert_eq!(
            (output.code, output.stdout.as_str()),
            (Some(1), ""),
            "{arguments:?}"
        );
        assert!(output.stderr.contains("\nhint: "), "{}", output.stderr);
        output.stderr
    };
    let unknown = failed(&["keys", "revoke", "key_none"]).await;
    assert!(
        unknown.starts_with("error: There is no key 'key_none'.") && unknown.contains("keys list"),
        "{unknown}"
    );
    let permissions = failed(&["keys", "create", "x", "--permissions", "all"]).await;
    assert!(
        permissions.contains(
            "`inference`, `responses`, `usage`, `tasks`, `web_search` and `server_tools`"
        ),
        "{permissions}"
    );
    let money = failed(&["projects", "budget", "default", "--daily-money", "lots"]).await;
    assert!(money.contains("daily.money"), "{money}");
    let project = failed(&["keys", "create", "x", "--project", "proj_none"]).await;
    assert!(project.contains("project_id"), "{project}");

    // The directory is locked by a process that does not answer.
    let lock = std::fs::File::open(folder.path().join("lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let silent = failed(&["keys", "list"]).await;
    assert!(
        silent.contains("a server holds the data directory") && silent.contains("try again"),
        "{silent}"
    );
    drop(lock);
    std::fs::write(folder.path().join("file"), "").unwrap();
    let output = run(&folder.path().join("file"), &["keys", "list"]).await;
    assert!(
        output.code == Some(1) && output.stderr.contains("--data-dir DIR"),
        "{}",
        output.stderr
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_managed_over_http_with_the_admin_key() {
    let server = server().set("SWITCHBOARD_ADMIN_KEY", ADMIN).spawn().await;
    let send = async |method: &str, path: &str, key: &str, body: Value| {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let request = server
            .http
            .request(method, server.url(path))
            .bearer_auth(key)
            .json(&body);
        let response = request.send().await.unwrap();
        (
            response.status().as_u16(),
            response.json::<Value>().await.unwrap(),
        )
    };
    let (status, made) = send(
        "POST",
        "/admin/keys",
        ADMIN,
        json!({"name": "ci", "project_id": "default"}),
    )
    .await;
    assert_eq!(status, 201);
    let key = text(&made["key"]);
    let path = format!("/admin/keys/{}", text(&made["id"]));
    assert_eq!(error_code_for(&server, key).await, AUTHENTICATED);
    assert_eq!(error_code_for(&server, ADMIN).await, "invalid_api_key");
    let (status, refused) = send("GET", "/admin/keys", key, Value::Null).await;
    assert_eq!(
        (status, text(&refused["error"]["code"])),
        (403, "admin_key_required")
    );
    assert_eq!(
        send("GET", "/admin/keys", "guess", Value::Null).await.0,
        401
    );
    assert_eq!(
        send("PATCH", &path, ADMIN, json!({"permissions": ["usage"]}))
            .await
            .0,
        200
    );
    let chat = json!({"model": "haiku", "messages": [{"role": "user", "content": "hi"}]});
    let (status, refused) = send("POST", "/v1/chat/completions", key, chat).await;
    assert_eq!(
        (status, text(&refused["error"]["code"])),
        (403, "insufficient_permissions")
    );
    assert_eq!(send("DELETE", &path, ADMIN, Value::Null).await.0, 200);
    assert_eq!(error_code_for(&server, key).await, "revoked_api_key");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn admin_api_listens_on_an_address_of_its_own() {
    let server = server()
        .set("SWITCHBOARD_ADMIN_KEY", ADMIN)
        .set("SWITCHBOARD_ADMIN__LISTEN", "127.0.0.1:0");
    let server = server
        .set("SWITCHBOARD_AUTH__KEYS", "ordinary")
        .start()
        .await;
    let status = async |address: SocketAddr, path: &str, key: &str| {
        let request = server
            .http
            .get(format!("http://{address}{path}"))
            .bearer_auth(key);
        request.send().await.unwrap().status().as_u16()
    };
    let admin = server.app.admin_address.unwrap();
    assert_eq!(status(admin, "/admin/keys", ADMIN).await, 200);
    assert_eq!(status(admin, "/admin/keys", "ordinary").await, 403);
    assert_eq!(status(admin, "/v1/models", "ordinary").await, 403);
    assert_eq!(status(server.address, "/admin/keys", ADMIN).await, 401);
    assert_eq!(status(server.address, "/admin/keys", "ordinary").await, 404);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
#[expect(
    clippy::disallowed_methods,
    reason = "a test starts the binary as a shell would"
)]
async fn first_start_on_a_terminal_shows_an_admin_key_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut shown = Vec::new();
    for _ in 0..2 {
        let terminal =
            rustix::pty::openpt(rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY)
                .unwrap();
        rustix::pty::grantpt(&terminal).unwrap();
        rustix::pty::unlockpt(&terminal).unwrap();
        let name = rustix::pty::ptsname(&terminal, Vec::new())
            .unwrap()
            .into_string()
            .unwrap();
        let screen = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(name)
            .unwrap();
        let log = tempfile::NamedTempFile::new().unwrap();
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_claude-switchboard"));
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(folder.path())
            .env_clear();
        command
            .stdin(Stdio::null())
            .stdout(screen)
            .stderr(log.reopen().unwrap())
            .kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        drop(command);
        let read_log = || std::fs::read_to_string(log.path()).unwrap();
        let url = eventually("the server listens", || async {
            let log = read_log();
            let (_, rest) = log.split_once("server listening address=")?;
            Some(format!("http://{}", rest.split_once('\n')?.0))
        });
        let url = url.await;
        let process = rustix::process::Pid::from_raw(child.id().unwrap().cast_signed()).unwrap();
        if let Some(key) = shown.first() {
            let request = HttpClient::new()
                .get(format!("{url}/admin/keys"))
                .bearer_auth(key);
            assert_eq!(request.send().await.unwrap().status().as_u16(), 200);
        }
        rustix::process::kill_process(process, Signal::TERM).unwrap();
        assert!(child.wait().await.unwrap().success());
        // The terminal is read to its end, which is an error after its last writer has closed it.
        let mut seen = Vec::new();
        let _ = tokio::fs::File::from_std(terminal.into())
            .read_to_end(&mut seen)
            .await;
        let seen = String::from_utf8(seen).unwrap();
        let keys = seen
            .split_whitespace()
            .filter(|word| word.starts_with("sk-sb-admin-"));
        shown.extend(keys.map(str::to_owned));
        assert!(!read_log().contains("sk-sb-admin"), "no key is logged");
    }
    assert_eq!(shown.len(), 1, "{shown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn public_server_requires_a_key_after_the_last_one_is_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let made = json_of(folder.path(), &["keys", "create", "only"]).await;
    let server = server()
        .set("SWITCHBOARD_SERVER__LISTEN", "0.0.0.0:0")
        .spawn_in(folder.path())
        .await;
    assert_eq!(
        error_code_for(&server, text(&made["key"])).await,
        AUTHENTICATED
    );
    json_of(folder.path(), &["keys", "revoke", text(&made["id"])]).await;
    assert_eq!(
        error_code_for(&server, text(&made["key"])).await,
        "revoked_api_key"
    );
    assert_eq!(error_code_for(&server, "").await, "invalid_api_key");
    server.end().await;
    let ended = self::server()
        .set("SWITCHBOARD_SERVER__LISTEN", "0.0.0.0:0")
        .fail_in(folder.path())
        .await;
    assert_eq!(ended.code, Some(64), "{}", ended.log);
}
