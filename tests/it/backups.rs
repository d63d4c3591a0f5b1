//! The command `store`: backup of a running server, verification, repair and restore.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::command_line::{CommandOutput, run, run_beside};
use crate::support::{Redis, ServerProcess, TestServer};

fn run_in(folder: &Path, arguments: &[&str]) -> CommandOutput {
    run(
        &[arguments, &["--data-dir", folder.to_str().unwrap()]].concat(),
        &[],
    )
}

#[track_caller]
fn stdout_of(output: &CommandOutput) -> &str {
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""));
    &output.stdout
}

/// Posts `body`, or gets `path` if it is null. Returns the status and the JSON answer.
async fn send_json(server: &ServerProcess, path: &str, body: Value) -> (u16, Value) {
    let url = server.url(path);
    let request = if body.is_null() {
        server.http.get(url)
    } else {
        server.http.post(url).json(&body)
    };
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn backup_of_a_running_server_restores_a_damaged_store() {
    let data = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let backup = elsewhere.path().join("backup");
    let backup = backup.to_str().unwrap();
    let server = TestServer::fake().workers(1).spawn_in(data.path()).await;
    let (_, session) = send_json(&server, "/v1/sessions", json!({"model": "haiku"})).await;
    let session = format!("/v1/sessions/{}", session["id"].as_str().unwrap());
    let messages = format!("{session}/messages");
    let long = format!("[[tokens=2]] {}", "x".repeat(20_000));
    assert_eq!(
        send_json(&server, &messages, json!({"content": long}))
            .await
            .0,
        200
    );
    let with_slash = format!("{backup}/");
    let created = run_in(data.path(), &["store", "backup", &with_slash]);
    assert!(
        stdout_of(&created).contains("1 of them large values"),
        "{}",
        created.stdout
    );
    assert!(
        stdout_of(&run_in(data.path(), &["store", "verify"]))
            .starts_with("all records can be read")
    );
    assert!(
        stdout_of(&run_in(data.path(), &["store", "verify", backup]))
            .starts_with("the backup is whole")
    );
    let again = run_in(data.path(), &["store", "backup", backup]);
    assert!(
        again.stderr.contains("is there already\nhint: "),
        "{}",
        again.stderr
    );
    let refused = run_in(data.path(), &["store", "restore", backup]);
    assert!(
        refused.stderr.contains("a server holds the data directory"),
        "{}",
        refused.stderr
    );
    assert_eq!(
        send_json(&server, &messages, json!({"content": "[[tokens=1]] later"}))
            .await
            .0,
        200
    );
    server.end().await;

    // Flips one bit in every 512 bytes of the database.
    let database = data.path().join("store/db");
    let mut bytes = fs::read(&database).unwrap();
    bytes.iter_mut().step_by(512).for_each(|byte| *byte ^= 1);
    fs::write(&database, &bytes).unwrap();
    let restored = run_in(data.path(), &["store", "restore", backup]);
    let (_, previous) = stdout_of(&restored)
        .trim_end()
        .split_once("; what was there before is in ")
        .unwrap();
    assert_eq!(
        fs::read(Path::new(previous).join("store/db")).unwrap(),
        bytes
    );
    let next = TestServer::fake().workers(1).spawn_in(data.path()).await;
    assert_eq!(
        send_json(&next, &session, Value::Null).await.1["message_count"],
        2
    );
    let (_, list) = send_json(&next, &format!("{messages}?order=asc"), Value::Null).await;
    assert_eq!(list["data"][0]["content"], long);
    next.end().await;
}

#[test]
fn restore_refuses_damaged_and_missing_backups() {
    let data = tempfile::tempdir().unwrap();
    let missing = run_in(data.path(), &["store", "restore", "/nonexistent"]);
    assert_eq!(missing.code, Some(1));
    assert!(
        missing
            .stderr
            .contains("hint: `claude-switchboard store backups` lists"),
        "{}",
        missing.stderr
    );
    let folder = data.path().join("backups/2026-01-01T00-00-00-000Z");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("records"), "nothing").unwrap();
    let listed = run_in(data.path(), &["store", "backups"]);
    assert!(
        stdout_of(&listed).contains("the backup is damaged"),
        "{}",
        listed.stdout
    );
    let refused = run_in(data.path(), &["store", "restore", folder.to_str().unwrap()]);
    assert!(
        refused.stderr.contains("the backup is damaged"),
        "{}",
        refused.stderr
    );
    assert!(!data.path().join("store").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn repair_opens_a_store_with_a_damaged_snapshot_without_loss() {
    let data = tempfile::tempdir().unwrap();
    // The second start writes a snapshot.
    let mut session = String::new();
    for _ in 0..2 {
        let server = TestServer::fake().workers(1).spawn_in(data.path()).await;
        let (_, created) = send_json(&server, "/v1/sessions", json!({"model": "haiku"})).await;
        session = format!("/v1/sessions/{}", created["id"].as_str().unwrap());
        server.end().await;
    }
    let entries = fs::read_dir(data.path().join("store"))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let is_snapshot = |path: &std::path::PathBuf| {
        path.file_name()
            .unwrap()
            .to_string_lossy()
            .starts_with("snap.")
    };
    let snapshots: Vec<_> = entries.filter(is_snapshot).collect();
    assert!(!snapshots.is_empty());
    snapshots
        .iter()
        .for_each(|path| fs::write(path, b"damaged").unwrap());
    let refused = run_in(data.path(), &["store", "verify"]);
    assert!(
        refused.stderr.contains("`claude-switchboard store repair`"),
        "{}",
        refused.stderr
    );
    let repaired = run_in(data.path(), &["store", "repair"]);
    let (report, previous) = stdout_of(&repaired)
        .trim_end()
        .split_once("; a copy of its former state is in ")
        .unwrap();
    assert!(
        report.contains("all figures of the ledger agree"),
        "{report}"
    );
    assert!(
        Path::new(previous)
            .join("store")
            .join(snapshots[0].file_name().unwrap())
            .exists()
    );
    let next = TestServer::fake().workers(1).spawn_in(data.path()).await;
    assert_eq!(send_json(&next, &session, Value::Null).await.0, 200);
    next.end().await;
}

/// Variables of a server, or of a command, whose records are in `redis`.
fn variables(redis: &Redis) -> [(&'static str, String); 2] {
    [
        ("SWITCHBOARD_STORE__BACKEND", "redis".to_owned()),
        ("SWITCHBOARD_REDIS__URL", redis.url()),
    ]
}

/// Runs a command for the records in `redis`, with the data directory `folder`.
fn run_on(redis: &Redis, folder: &Path, arguments: &[&str]) -> CommandOutput {
    let variables = variables(redis);
    let variables: Vec<(&str, &str)> = variables
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let place = ["--data-dir", folder.to_str().unwrap()];
    run_beside(&[arguments, &place].concat(), &variables)
}

async fn server_on(redis: &Redis, folder: &Path) -> ServerProcess {
    let builder = TestServer::fake().workers(1);
    let builder = variables(redis)
        .into_iter()
        .fold(builder, |builder, (name, value)| builder.set(name, value));
    builder.spawn_in(folder).await
}

/// Asserts that the command has succeeded. It may have told on stderr that it waits.
#[track_caller]
fn assert_done<'a>(output: &'a CommandOutput, words: &str) -> &'a str {
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert!(output.stdout.contains(words), "{}", output.stdout);
    &output.stdout
}

/// From a data directory to Redis and back, with a session that each server has.
#[tokio::test(flavor = "multi_thread")]
async fn records_are_copied_to_redis_and_back() {
    let redis = Redis::start().await;
    let url = redis.url();
    let data = tempfile::tempdir().unwrap();
    let server = TestServer::fake().workers(1).spawn_in(data.path()).await;
    let (_, session) = send_json(&server, "/v1/sessions", json!({"model": "haiku"})).await;
    let session = format!("/v1/sessions/{}", session["id"].as_str().unwrap());
    let messages = format!("{session}/messages");
    let content = json!({"content": format!("[[tokens=2]] {}", "x".repeat(20_000))});
    assert_eq!(send_json(&server, &messages, content).await.0, 200);
    let to_redis = ["store", "copy", "--from", "config", "--to", &url];
    let refused = tokio::task::block_in_place(|| run_in(data.path(), &to_redis));
    assert!(
        refused.stderr.contains("a server holds the data directory"),
        "{}",
        refused.stderr
    );
    server.end().await;

    let dry_run = run_in(data.path(), &[&to_redis[..], &["--dry-run"]].concat());
    assert_done(&dry_run, "can take them");
    let copied = run_in(data.path(), &to_redis);
    assert_done(&copied, "found equal there");
    let moved = run_in(data.path(), &["keys", "list"]);
    assert!(
        moved
            .stderr
            .contains("the records were moved to the Redis at"),
        "{}",
        moved.stderr
    );
    assert!(moved.stderr.contains("hint: "), "{}", moved.stderr);

    let elsewhere = tempfile::tempdir().unwrap();
    let shared = server_on(&redis, elsewhere.path()).await;
    let (_, found) = send_json(&shared, &session, Value::Null).await;
    assert_eq!(found["message_count"], 2, "{found}");
    let back = format!("sled:{}", data.path().display());
    let to_folder = ["store", "copy", "--from", "config", "--to", &back];
    let refused = run_on(&redis, elsewhere.path(), &to_folder);
    assert!(
        refused.stderr.contains("a server uses the records"),
        "{}",
        refused.stderr
    );
    shared.end().await;
    let returned = run_on(&redis, elsewhere.path(), &to_folder);
    assert_done(&returned, "what was moved away from there before is in");
    let verified = run_in(data.path(), &["ledger", "verify"]);
    assert_eq!(verified.code, Some(0), "{}", verified.stderr);
    let server = TestServer::fake().workers(1).spawn_in(data.path()).await;
    let (_, found) = send_json(&server, &session, Value::Null).await;
    assert_eq!(found["message_count"], 2, "{found}");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn backup_of_records_in_redis_is_restored_there() {
    let redis = Redis::start().await;
    let data = tempfile::tempdir().unwrap();
    let server = server_on(&redis, data.path()).await;
    let create = async || send_json(&server, "/v1/sessions", json!({"model": "haiku"})).await;
    let path_of = |session: &Value| format!("/v1/sessions/{}", session["id"].as_str().unwrap());
    let kept = path_of(&create().await.1);
    let folder = data.path().join("copies");
    let folder = folder.to_str().unwrap();
    let made = run_on(&redis, data.path(), &["store", "backup", folder]);
    assert_done(&made, "records, 0 of them large values");
    let later = path_of(&create().await.1);
    let verified = run_on(&redis, data.path(), &["store", "verify"]);
    assert_done(&verified, "all records can be read");
    server.end().await;

    let restored = run_on(&redis, data.path(), &["store", "restore", folder]);
    let told = assert_done(&restored, "what was there before is in");
    assert!(told.contains("/backups/"), "{told}");
    let listed = run_on(&redis, data.path(), &["store", "backups"]);
    assert!(!stdout_of(&listed).contains("damaged"), "{}", listed.stdout);
    let server = server_on(&redis, data.path()).await;
    assert_eq!(send_json(&server, &kept, Value::Null).await.0, 200);
    assert_eq!(send_json(&server, &later, Value::Null).await.0, 404);
    server.end().await;
}
