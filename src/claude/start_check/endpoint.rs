//! The listener that takes the calls of a process in place of the Messages API.

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

/// How a call is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reply {
    /// With a word.
    Whole,
    /// With a word that is cut off by the limit of tokens, after which the CLI would ask the model to go on.
    CutByLimit,
    /// With a word and a refusal, after which the CLI would ask once more.
    Refused,
}

/// The calls that have come. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Calls {
    bodies: Arc<Mutex<Vec<Bytes>>>,
    reply: Arc<watch::Sender<Option<Reply>>>,
}

impl Calls {
    fn new() -> Self {
        Self { bodies: Arc::default(), reply: Arc::new(watch::Sender::new(None)) }
    }

    /// Answers the calls that wait and those to come with `reply`.
    pub(super) fn answer_with(&self, reply: Reply) {
        self.reply.send_replace(Some(reply));
    }

    /// Lets the calls to come wait for [`answer_with`](Self::answer_with).
    pub(super) fn hold(&self) {
        self.reply.send_replace(None);
    }

    /// Takes the bodies of the calls so far.
    pub(super) fn take(&self) -> Vec<Bytes> {
        std::mem::take(&mut self.bodies.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps the body of a call, and waits until the call may be answered.
    async fn note(&self, body: Bytes) -> Option<Reply> {
        self.bodies.lock().unwrap_or_else(PoisonError::into_inner).push(body);
        *self.reply.subscribe().wait_for(Option::is_some).await.ok()?
    }
}

/// A listener on a free port of the loopback interface.
#[derive(Debug)]
pub(super) struct Endpoint {
    listener: TcpListener,
    port: u16,
}

impl Endpoint {
    pub(super) async fn bind() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        Ok(Self { listener, port })
    }

    /// The address that stands in for that of the Messages API.
    pub(super) fn base_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The calls that come, as long as the future beside them is polled. It ends only if nothing more can be accepted.
    pub(super) fn serve(self) -> (Calls, impl Future<Output = ()>) {
        let calls = Calls::new();
        let served = accept(self.listener, calls.clone());
        (calls, served)
    }
}

async fn accept(listener: TcpListener, calls: Calls) {
    let mut connections = FuturesUnordered::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => connections.push(answer(stream, calls.clone())),
                Err(_) => return,
            },
            Some(()) = connections.next() => {}
        }
    }
}

async fn answer(stream: TcpStream, calls: Calls) {
    let service = service_fn(move |request: Request<Incoming>| {
        let calls = calls.clone();
        async move { Ok::<_, Infallible>(respond(request, &calls).await) }
    });
    // A process that hangs up is noticed where its calls are missed.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn respond(request: Request<Incoming>, calls: &Calls) -> Response<Full<Bytes>> {
    let is_call = request.uri().path() == "/v1/messages";
    let Ok(body) = request.into_body().collect().await else { return refusal() };
    if !is_call {
        return refusal();
    }
    let Some(reply) = calls.note(body.to_bytes()).await else { return refusal() };
    let mut response = Response::new(Full::from(stream_of(reply)));
    let content_type = hyper::header::HeaderValue::from_static("text/event-stream");
    response.headers_mut().insert(hyper::header::CONTENT_TYPE, content_type);
    response
}

fn refusal() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}

/// The events of an answer of one word, as few tokens as there can be.
fn stream_of(reply: Reply) -> String {
    let stop_reason = match reply {
        Reply::Whole => "end_turn",
        Reply::CutByLimit => "max_tokens",
        Reply::Refused => "refusal",
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
        ("content_block_stop", r#"{"type":"content_block_stop","index":0}"#),
        ("message_delta", delta.as_str()),
        ("message_stop", r#"{"type":"message_stop"}"#),
    ];
    events.iter().map(|(name, data)| format!("event: {name}\ndata: {data}\n\n")).collect()
}
