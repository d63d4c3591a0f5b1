use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::net::UnixListener;
use tokio::time::timeout;

use super::super::called::CalledHook;
use super::*;
use crate::engine::hooks::testing::assert_calls_close_files;
use crate::engine::hooks::testing::notice;
use crate::engine::hooks::testing::question;

/// Longest wait for a hook that must answer.
const MAX_TEST_WAIT: Duration = Duration::from_secs(20);
const PASS: &str = r#"{"action":"pass"}"#;

/// Reaction of a scripted server to a request.
#[derive(Debug, Clone)]
enum Step {
    /// Answers with a status and a body.
    Answer(u16, Vec<u8>),
    /// Lets one request of each connection pass, and closes the connection at the next one.
    PassOnce,
    /// Sends an answer in chunks that has no end.
    Endless,
    /// Sends the beginning of an answer, and closes the connection.
    BreakOff,
    /// Closes the connection without an answer.
    Close,
    /// Never answers.
    Hang,
}

fn pass() -> Step {
    Step::Answer(200, PASS.into())
}

/// Reads requests of a connection to its end, and answers each by `step`.
async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, step: Step) {
    let mut received = Vec::new();
    for number in 0.. {
        while !is_whole(&received) {
            match stream.read_buf(&mut received).await {
                Ok(1..) => {}
                _ => return,
            }
        }
        received.clear();
        let answer = match &step {
            Step::Answer(status, body) => answer(*status, body),
            Step::PassOnce if number == 0 => answer(200, PASS.as_bytes()),
            Step::PassOnce => return,
            Step::Endless => {
                let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
                let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
                let mut sent = stream.write_all(head.as_bytes()).await;
                while sent.is_ok() {
                    sent = stream.write_all(chunk.as_bytes()).await;
                }
                return;
            }
            Step::BreakOff => {
                let head = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"act";
                let _ = stream.write_all(head.as_bytes()).await;
                return;
            }
            Step::Close => return,
            Step::Hang => std::future::pending().await,
        };
        if stream.write_all(&answer).await.is_err() {
            return;
        }
    }
}

/// Returns an answer with its head.
fn answer(status: u16, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

/// True if `received` is one whole request.
fn is_whole(received: &[u8]) -> bool {
    let text = String::from_utf8_lossy(received);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    assert!(head.contains("x-switchboard-hook-depth: 1-"), "{head}");
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    length.is_some_and(|length| body.len() >= length.parse::<usize>().unwrap())
}

/// Starts a server whose connections all follow `step`, and returns its hook.
async fn hook_of(tracker: &TaskTracker, step: Step) -> HttpHook {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let connections = tracker.clone();
    tracker.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(serve(stream, step.clone()));
        }
    });
    HttpHook::new(&url, tracker.clone(), 8)
}

async fn ask(hook: &HttpHook) -> Result<HookReply, HookFailure> {
    let answer = timeout(MAX_TEST_WAIT, hook.call(&question())).await;
    answer.expect("the hook answers or fails")
}

#[tokio::test]
async fn http_hook_answers_over_tcp_again_and_again() {
    let hook = hook_of(&TaskTracker::new(), pass()).await;
    for _ in 0..3 {
        assert_eq!(ask(&hook).await, Ok(HookReply::pass()));
    }
}

#[tokio::test]
async fn http_hook_that_answers_wrongly_is_a_failure() {
    let tracker = TaskTracker::new();
    let answers = |status, body: &str| Step::Answer(status, body.into());
    let huge = Step::Answer(200, vec![b' '; MAX_BODY_BYTES + 1]);
    let cases = [
        (answers(500, PASS), Some(HookFailure::Status(500))),
        (answers(302, PASS), Some(HookFailure::Status(302))),
        (answers(204, ""), Some(HookFailure::Status(204))),
        (huge, Some(ANSWER_TOO_LARGE)),
        (Step::Endless, Some(ANSWER_TOO_LARGE)),
        (answers(200, "nonsense"), None),
        (answers(200, ""), None),
        (Step::BreakOff, None),
        (Step::Close, None),
    ];
    for (number, (step, expected)) in cases.into_iter().enumerate() {
        let hook = hook_of(&tracker, step).await;
        let failed = ask(&hook).await.unwrap_err();
        match (expected, failed) {
            (Some(expected), failed) => assert_eq!(failed, expected, "{number}"),
            (None, HookFailure::InvalidAnswer(_) | HookFailure::Unreachable(_)) => {}
            (None, failed) => panic!("{number}: {failed}"),
        }
    }
    let silent = hook_of(&tracker, answers(204, "")).await;
    assert_eq!(silent.call(&notice()).await, Ok(HookReply::pass()));
}

#[tokio::test]
async fn http_hook_that_hangs_is_given_up_in_time() {
    let hook = hook_of(&TaskTracker::new(), Step::Hang).await;
    let called = CalledHook::new(Arc::new(hook), Duration::from_millis(50), 1);
    for _ in 0..2 {
        let failed = timeout(MAX_TEST_WAIT, called.call(&question())).await;
        assert_eq!(failed.unwrap(), Err(HookFailure::TimedOut));
    }
}

#[tokio::test]
async fn kept_connection_that_the_service_closed_is_replaced() {
    let hook = hook_of(&TaskTracker::new(), Step::PassOnce).await;
    for _ in 0..4 {
        assert_eq!(ask(&hook).await, Ok(HookReply::pass()));
    }
}

#[tokio::test]
async fn hook_over_a_unix_socket_is_found_again_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hook.sock");
    let url = format!("unix:{}", path.display());
    let hook = HttpHook::new(&url, TaskTracker::new(), 8);
    assert!(matches!(ask(&hook).await, Err(HookFailure::Unreachable(_))));
    for _ in 0..2 {
        let server = TaskTracker::new();
        let stop = tokio_util::sync::CancellationToken::new();
        serve_unix(&path, &server, &stop);
        assert_eq!(ask(&hook).await, Ok(HookReply::pass()));
        stop.cancel();
        server.close();
        server.wait().await;
        std::fs::remove_file(&path).unwrap();
        assert!(ask(&hook).await.is_err());
    }
}

fn serve_unix(path: &Path, server: &TaskTracker, stop: &tokio_util::sync::CancellationToken) {
    let listener = UnixListener::bind(path).unwrap();
    let connections = server.clone();
    let ended = stop.clone();
    let accepting = async move {
        while let Ok((stream, _)) = listener.accept().await {
            let ended = ended.clone();
            connections.spawn(async move {
                ended.run_until_cancelled(serve(stream, pass())).await;
            });
        }
    };
    let stop = stop.clone();
    server.spawn(async move {
        stop.run_until_cancelled(accepting).await;
    });
}

#[tokio::test]
async fn ten_thousand_calls_leave_the_open_files_as_they_are() {
    let hook = hook_of(&TaskTracker::new(), pass()).await;
    for _ in 0..100 {
        ask(&hook).await.unwrap();
    }
    assert_calls_close_files(&hook).await;
}
