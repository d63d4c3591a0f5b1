//! A disk without space: each endpoint refuses at once and works again when there is space.

use std::fs::File;
use std::time::Duration;

use rustix::fs::{FallocateFlags, fallocate, statvfs};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{HttpRequest, ServerProcess, TestServer, within};

const MIB: u64 = 1 << 20;
/// Space above the floor; other programs change the free space meanwhile.
const MARGIN_MIB: u64 = 2048;
/// Longest time in which a request is refused, and in which `/ready` is red.
const AT_ONCE: Duration = Duration::from_secs(1);
/// Longest time in which the server works again.
const RECOVERED: Duration = Duration::from_secs(5);

fn requests() -> [(&'static str, Value); 7] {
    let messages = json!([{"role": "user", "content": "[[tokens=1]]"}]);
    [
        (
            "/v1/chat/completions",
            json!({"model": "haiku", "messages": messages}),
        ),
        (
            "/v1/messages",
            json!({"model": "haiku", "max_tokens": 9, "messages": messages}),
        ),
        (
            "/v1/completions",
            json!({"model": "haiku", "prompt": "[[tokens=1]]"}),
        ),
        (
            "/v1/responses",
            json!({"model": "haiku", "input": "[[tokens=1]]"}),
        ),
        ("/v1/sessions", json!({"model": "haiku"})),
        ("/v1/conversations", json!({})),
        (
            "/v1/messages/batches",
            json!({"requests": [{
                "custom_id": "a",
                "params": {"model": "haiku", "max_tokens": 9, "messages": messages},
            }]}),
        ),
    ]
}

/// Form that uploads a small file.
const UPLOAD: &str = concat!(
    "--b\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nuser_data\r\n",
    "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\r\nwords\r\n",
    "--b--\r\n"
);

async fn expect_refusals(server: &ServerProcess) {
    for (path, body) in requests() {
        let request = server.http.post(server.url(path)).json(&body);
        expect_refusal(path, request).await;
    }
    let upload = server.http.post(server.url("/v1/files"));
    let upload = upload.header("content-type", "multipart/form-data; boundary=b");
    expect_refusal("/v1/files", upload.body(UPLOAD)).await;
}

async fn expect_refusal(path: &str, request: HttpRequest) {
    let started_at = Instant::now();
    let response = request.send().await.unwrap();
    let status = response.status();
    let text = response.text().await.unwrap();
    assert_eq!(status, 503, "{path}: {text}");
    assert!(
        started_at.elapsed() < AT_ONCE,
        "{path} after {:?}",
        started_at.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn full_disk_is_refused_at_once_on_each_endpoint_and_left_when_there_is_space() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let space = statvfs(folder.path()).unwrap();
    let floor = space.f_bavail * space.f_frsize / MIB - MARGIN_MIB;
    let data = folder.path().join("data");
    let filler = folder.path().join("filler");
    // The second server opens what the first one has written.
    for _ in 0..2 {
        let server = TestServer::fake().workers(1);
        let server = server
            .set("SWITCHBOARD_STORE__MIN_FREE_MIB", floor)
            .set("SWITCHBOARD_FILES__MIN_FREE_MIB", floor);
        let server = server.spawn_in(&data).await;
        assert_eq!(server.chat("[[tokens=1]]").send().await.text(), "w0 ");
        let file = File::create(&filler).unwrap();
        fallocate(&file, FallocateFlags::empty(), 0, 2 * MARGIN_MIB * MIB).unwrap();
        // An open descriptor would keep the space after the file is removed.
        drop(file);
        within(AT_ONCE, "/ready is red", || async {
            (server.get("/ready").await.0 == 503).then_some(())
        })
        .await;
        assert_eq!(server.get("/health").await.0, 200);
        expect_refusals(&server).await;
        std::fs::remove_file(&filler).unwrap();
        within(RECOVERED, "turns are served again", || async {
            (server.chat("[[tokens=1]]").send().await.status == 200).then_some(())
        })
        .await;
        server.kill().await;
    }
}
