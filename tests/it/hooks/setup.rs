//! Servers with hooks, and a hook over HTTP inside the test that counts what it is asked.

use std::future::pending;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::response::Response;
use futures::{StreamExt as _, stream};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use super::wire;
use crate::support::{Builder, ServerProcess, eventually, serve};

/// Beginning of an answer that never comes to its end.
const HALF_ANSWER: &[u8] = br#"{"action":"#;

/// Starts a server with one worker and this configuration file.
pub(super) async fn start(builder: Builder, config: &str) -> ServerProcess {
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), config).unwrap();
    // The file is read before the server listens, so it may go afterwards.
    builder.config(file.path()).workers(1).spawn().await
}

/// Returns the path of an example, absolute.
pub(super) fn example(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/hooks");
    folder.join(name).display().to_string()
}

/// Reply of a [`HookServer`].
#[derive(Debug, Clone)]
pub(super) enum HookReply {
    /// Action, which has to conform to the schema.
    Action(Value),
    /// Any status and body.
    Raw(u16, Vec<u8>),
    /// No reply, on an open connection.
    Silence,
    /// First half of a reply, and nothing more on an open connection.
    Stalled,
    /// First half of a reply, and then the end of the connection.
    Cut,
}

/// Hook over HTTP in the process of the test.
#[derive(Debug)]
pub(super) struct HookServer {
    pub(super) url: String,
    asked: Arc<Mutex<Vec<Value>>>,
    reply: Arc<Mutex<HookReply>>,
}

impl HookServer {
    /// Starts a hook that passes everything.
    pub(super) async fn passing() -> Self {
        Self::replying(HookReply::Action(json!({"action": "pass"}))).await
    }

    /// Starts a hook that always gives the same reply.
    pub(super) async fn replying(reply: HookReply) -> Self {
        reply.check();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let reply = Arc::new(Mutex::new(reply));
        let inputs = Arc::clone(&asked);
        let replies = Arc::clone(&reply);
        let handler = move |body: Bytes| {
            // `null` conforms to no schema, so that `asked` reports it.
            let input = serde_json::from_slice(&body).unwrap_or(Value::Null);
            inputs.lock().unwrap().push(input);
            let reply = replies.lock().unwrap().clone();
            respond(reply)
        };
        let router = Router::new().route("/hook", axum::routing::post(handler));
        let url = format!("http://{}/hook", serve(router).await);
        Self { url, asked, reply }
    }

    /// Replaces the reply to what is asked from now on.
    pub(super) fn set_reply(&self, reply: HookReply) {
        reply.check();
        *self.reply.lock().unwrap() = reply;
    }

    /// Returns all inputs so far, each checked against the schema.
    pub(super) fn asked(&self) -> Vec<Value> {
        let asked = self.asked.lock().unwrap().clone();
        asked.iter().for_each(wire::assert_input);
        asked
    }

    /// Waits until the hook has been asked `count` times, and returns and forgets the inputs.
    pub(super) async fn take(&self, count: usize) -> Vec<Value> {
        let what = format!("the hook is asked {count} times");
        eventually(&what, async || (self.asked().len() >= count).then_some(())).await;
        let taken = self.asked();
        self.asked.lock().unwrap().clear();
        taken
    }
}

impl HookReply {
    /// Asserts that an action conforms to the schema.
    fn check(&self) {
        if let Self::Action(action) = self {
            wire::assert_output(action);
        }
    }
}

async fn respond(reply: HookReply) -> Response {
    let half = stream::iter([Ok::<_, io::Error>(Bytes::from_static(HALF_ANSWER))]);
    match reply {
        HookReply::Action(action) => Response::new(Body::from(action.to_string())),
        HookReply::Raw(status, bytes) => {
            let mut response = Response::new(Body::from(bytes));
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            response
        }
        HookReply::Silence => pending().await,
        HookReply::Stalled => Response::new(Body::from_stream(half.chain(stream::pending()))),
        HookReply::Cut => {
            let end = stream::iter([Err(io::Error::other("cut"))]);
            Response::new(Body::from_stream(half.chain(end)))
        }
    }
}
