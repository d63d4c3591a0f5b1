//! Local listener that takes the place of the Messages API during the start check.

use std::convert::Infallible;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use http_body_util::BodyExt as _;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::sync::watch;
use uuid::Uuid;

/// Answer to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CheckReply {
    /// Short answer that ends normally.
    Whole,
    /// Short answer cut off by the token limit, after which the CLI would ask the model to
    /// continue.
    CutByLimit,
    /// Short answer with a refusal, after which the CLI would call again.
    Refused,
}

/// Record of the calls received. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct CheckCalls {
    bodies: Arc<Mutex<Vec<Bytes>>>,
    reply: Arc<watch::Sender<Option<CheckReply>>>,
}

impl CheckCalls {
    fn new() -> Self {
        Self {
            bodies: Arc::default(),
            reply: Arc::new(watch::Sender::new(None)),
        }
    }

    /// Answers waiting and further calls with `reply`.
    pub(super) fn answer_with(&self, reply: CheckReply) {
        self.reply.send_replace(Some(reply));
    }

    /// Holds further calls until [`answer_with`](Self::answer_with).
    pub(super) fn hold(&self) {
        self.reply.send_replace(None);
    }

    /// Takes the bodies of the calls received so far.
    pub(super) fn take_bodies(&self) -> Vec<Bytes> {
        std::mem::take(&mut self.bodies.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Records the body of a call, and waits until the call may be answered.
    async fn record(&self, body: Bytes) -> Option<CheckReply> {
        self.bodies
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(body);
        *self
            .reply
            .subscribe()
            .wait_for(Option::is_some)
            .await
            .ok()?
    }
}

/// Listener on a free port of the loopback interface. It answers calls under a secret path that
/// only the process knows, so that other programs of the machine cannot interfere.
#[derive(Debug)]
pub(super) struct CheckEndpoint {
    listener: TcpListener,
    port: u16,
    secret: String,
}

impl CheckEndpoint {
    pub(super) async fn bind() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        Ok(Self {
            listener,
            port,
            secret: Uuid::new_v4().simple().to_string(),
        })
    }

    /// Returns the base URL that the process uses instead of that of the Messages API.
    pub(super) fn base_url(&self) -> String {
        format!("http://127.0.0.1:{}/{}", self.port, self.secret)
    }

    /// Returns the record of calls, and a future that accepts and answers calls while it is polled.
    /// The future ends only when no more connections can be accepted, with the error.
    pub(super) fn serve(self) -> (CheckCalls, impl Future<Output = io::Error>) {
        let calls = CheckCalls::new();
        let path = format!("/{}/v1/messages", self.secret);
        let served = accept(self.listener, path, calls.clone());
        (calls, served)
    }
}

async fn accept(listener: TcpListener, path: String, calls: CheckCalls) -> io::Error {
    let mut connections = FuturesUnordered::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => connections.push(answer(stream, &path, &calls)),
                // The client has disconnected already.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => return error,
            },
            Some(()) = connections.next() => {}
        }
    }
}

async fn answer(stream: TcpStream, path: &str, calls: &CheckCalls) {
    let service =
        service_fn(async |request| Ok::<_, Infallible>(respond(request, path, calls).await));
    // A process that disconnects is noticed by its missing call.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn respond(
    request: Request<Incoming>,
    path: &str,
    calls: &CheckCalls,
) -> Response<Full<Bytes>> {
    if request.uri().path() != path {
        return refusal();
    }
    let Ok(body) = request.into_body().collect().await else {
        return refusal();
    };
    let Some(reply) = calls.record(body.to_bytes()).await else {
        return refusal();
    };
    let mut response = Response::new(Full::from(stream_of(reply)));
    let content_type = hyper::header::HeaderValue::from_static("text/event-stream");
    response
        .headers_mut()
        .insert(hyper::header::CONTENT_TYPE, content_type);
    response
}

fn refusal() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}

/// Returns the event stream of a short answer.
fn stream_of(reply: CheckReply) -> String {
    let stop_reason = match reply {
        CheckReply::Whole => "end_turn",
        CheckReply::CutByLimit => "max_tokens",
        CheckReply::Refused => "refusal",
    };
    let delta = format!(
        r#"{{"type":"message_delta","delta":{{"stop_reason":"{stop_reason}","stop_sequence":null}},"usage":{{"output_tokens":1}}}}"#
    );
    let events = [
        (
            "message_start",
            r#"{"type":"message_start","message":{"id":"msg_check","type":"message","role":"assistant","model":"check","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":1}}}"#,
        ),
        (
            "content_block_start",
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
        ),
        (
            "content_block_delta",
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"ok"}}"#,
        ),
        (
            "content_block_stop",
            r#"{"type":"content_block_stop","index":0}"#,
        ),
        ("message_delta", delta.as_str()),
        ("message_stop", r#"{"type":"message_stop"}"#),
    ];
    events
        .iter()
        .map(|(name, data)| format!("event: {name}\ndata: {data}\n\n"))
        .collect()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn post(base_url: &str, path: &str) -> String {
        let address = base_url.strip_prefix("http://").unwrap();
        let (host, secret) = address.split_once('/').unwrap();
        let mut stream = TcpStream::connect(host).await.unwrap();
        let path = path.replace("SECRET", secret);
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{{}}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        // A response that is sent before the body was read may end with a reset.
        let _ = stream.read_to_string(&mut answer).await;
        answer
    }

    #[tokio::test]
    async fn start_check_ignores_calls_under_other_paths() {
        let endpoint = CheckEndpoint::bind().await.unwrap();
        let address = endpoint.base_url();
        let (calls, served) = endpoint.serve();
        calls.answer_with(CheckReply::Whole);
        let others = async {
            for path in [
                "/v1/messages",
                "/SECRET",
                "/SECRETx/v1/messages",
                "/x/v1/messages",
            ] {
                let answer = post(&address, path).await;
                assert!(answer.starts_with("HTTP/1.1 404"), "{path}: {answer}");
            }
            assert_eq!(calls.take_bodies().len(), 0);
            assert!(
                post(&address, "/SECRET/v1/messages?beta=true")
                    .await
                    .contains("message_stop")
            );
            assert_eq!(calls.take_bodies().len(), 1);
        };
        tokio::select! {
            () = others => {}
            error = served => panic!("{error}"),
        }
    }
}
