//! Two servers, as processes of their own, that share their cached answers in a Redis.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use futures::future::join;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Answer, Journal, ServerProcess, TestServer, eventually};

const ADMIN: &str = "made-up-admin-key";

/// Redis for cached answers on a Unix socket. It ends with its value.
struct CacheRedis {
    process: Child,
    folder: TempDir,
}

impl CacheRedis {
    #[expect(clippy::disallowed_methods, reason = "the server under the servers")]
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--save", "", "--maxmemory", "64mb"]);
        command.args(["--maxmemory-policy", "allkeys-lru"]);
        command.arg("--unixsocket").arg(socket_in(&folder));
        command.arg("--dir").arg(folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let process = command.spawn().unwrap_or_else(|error| {
            panic!("redis-server cannot be started: {error}\nhint: tools/install-redis installs it")
        });
        let this = Self { process, folder };
        eventually("redis listens", || {
            let connected = std::os::unix::net::UnixStream::connect(socket_in(&this.folder));
            std::future::ready(connected.ok())
        })
        .await;
        this
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts a server with records of its own, whose workers write to `journal`.
    async fn server(&self, journal: &Journal) -> ServerProcess {
        let url = format!("unix://{}", socket_in(&self.folder).display());
        let server = TestServer::fake()
            .journal(journal)
            .set("SWITCHBOARD_ADMIN_KEY", ADMIN)
            .set("SWITCHBOARD_CACHE__SHARED", "redis")
            .set("SWITCHBOARD_CACHE__REDIS_URL", url)
            .set("SWITCHBOARD_CACHE__REDIS_TIMEOUT_MS", 2000);
        server.spawn().await
    }
}

impl Drop for CacheRedis {
    fn drop(&mut self) {
        // Both fail after `kill`.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn socket_in(folder: &TempDir) -> PathBuf {
    folder.path().join("redis.sock")
}

/// Asks a server, and checks that it answers. Returns the answer and its cache status.
async fn ask(server: &ServerProcess, prompt: &str) -> (Answer, String) {
    let asked = server.chat(prompt).with("temperature", 0);
    let answer = asked.send().await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let status = answer.headers["x-cache"].to_str().unwrap().to_owned();
    (answer, status)
}

/// Clears the answers of all projects at `server`. Returns the status and the body.
async fn clear(server: &ServerProcess) -> (u16, Value) {
    let request = server
        .http
        .request(Method::DELETE, server.url("/admin/cache"));
    let response = request.bearer_auth(ADMIN).send().await.unwrap();
    let status = response.status().as_u16();
    (status, response.json().await.unwrap())
}

fn text_of(answer: &Answer) -> &Value {
    &answer.body["choices"][0]["message"]["content"]
}

#[tokio::test(flavor = "multi_thread")]
async fn answer_of_one_server_is_free_at_the_other_until_it_is_cleared() {
    let redis = CacheRedis::start().await;
    let journal = Journal::new();
    let (one, other) = (redis.server(&journal).await, redis.server(&journal).await);
    let (made, status) = ask(&one, "[[tokens=3]]").await;
    assert_eq!(status, "miss");
    // Also right after the answer, while it is being stored.
    let (reused, status) = ask(&other, "[[tokens=3]]").await;
    assert_eq!(status, "hit");
    assert_eq!(text_of(&reused), text_of(&made));
    let tokens = |answer: &Answer| answer.body["usage"]["total_tokens"].clone();
    assert_eq!(tokens(&reused), tokens(&made));
    let streamed = other.chat("[[tokens=3]]").with("temperature", 0);
    assert_eq!(streamed.stream().await.headers["x-cache"], "hit");
    assert_eq!(journal.prompts(), 1);
    assert_eq!(clear(&one).await.0, 200);
    eventually("the other server notices the clearing", || async {
        let (_, status) = ask(&other, "[[tokens=3]]").await;
        (status == "miss").then_some(())
    })
    .await;
    one.end().await;
    other.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_that_are_asked_at_once_make_one_call() {
    let redis = CacheRedis::start().await;
    let journal = Journal::new();
    let (one, other) = (redis.server(&journal).await, redis.server(&journal).await);
    let prompt = "[[tokens=3 ttft_ms=500]]";
    let ((first, one_status), (second, other_status)) =
        join(ask(&one, prompt), ask(&other, prompt)).await;
    assert_eq!(text_of(&first), text_of(&second));
    let mut statuses = [one_status, other_status];
    statuses.sort();
    assert_eq!(statuses, ["hit", "miss"]);
    assert_eq!(journal.prompts(), 1);
    one.end().await;
    other.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_go_on_without_the_redis_of_their_cache() {
    let mut redis = CacheRedis::start().await;
    let journal = Journal::new();
    let (one, other) = (redis.server(&journal).await, redis.server(&journal).await);
    assert_eq!(ask(&one, "[[tokens=3]]").await.1, "miss");
    redis.kill();
    assert_eq!(ask(&one, "[[tokens=3]]").await.1, "hit");
    assert_eq!(ask(&other, "[[tokens=3]]").await.1, "miss");
    assert_eq!(ask(&other, "[[tokens=3]]").await.1, "hit");
    let (status, body) = clear(&one).await;
    assert_eq!(
        (status, &body["error"]["code"]),
        (503, &json!("storage_unavailable"))
    );
    // Its own memory is cleared nevertheless.
    assert_eq!(ask(&one, "[[tokens=3]]").await.1, "miss");
    one.end().await;
    other.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_password_file_of_the_cache_ends_the_start_with_a_hint() {
    let ended = TestServer::fake()
        .set("SWITCHBOARD_CACHE__SHARED", "redis")
        .set("SWITCHBOARD_CACHE__REDIS_URL", "redis://127.0.0.1:1")
        .set("SWITCHBOARD_CACHE__REDIS_PASSWORD_FILE", "/nonexistent")
        .fail()
        .await;
    assert_eq!(ended.code, Some(1), "{}", ended.log);
    let log = &ended.log;
    assert!(log.contains("cache.redis_password_file"), "{log}");
    assert!(log.contains("hint: name a file"), "{log}");
}
