//! Tests of the Responses API over a WebSocket.

use futures::SinkExt as _;
use futures::StreamExt as _;
use serde_json::Value;
use serde_json::json;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;

use super::*;
use crate::domain::Failure;
use crate::domain::FailureKind;
use crate::domain::Part;
use crate::http::tests::Step;
use crate::http::tests::access_log::Log;
use crate::http::tests::play;

/// Client side of a WebSocket.
pub(super) struct Socket(pub(super) WebSocketStream<TcpStream>);

impl Socket {
    async fn open(server: &Server) -> Self {
        Self::open_at(server, "/v1/responses").await
    }

    pub(super) async fn open_at(server: &Server, path: &str) -> Self {
        let url = format!("ws://{}{path}", server.address);
        Self(client_async(url, server.connect().await).await.unwrap().0)
    }

    pub(super) async fn send(&mut self, message: Value) {
        self.0
            .send(Message::text(message.to_string()))
            .await
            .unwrap();
    }

    async fn request(&mut self, fields: Value) {
        let mut message = json!({"type": "response.create", "model": "sonnet", "input": "Hi"});
        let Value::Object(fields) = fields else {
            panic!("no fields")
        };
        message.as_object_mut().unwrap().extend(fields);
        self.send(message).await;
    }

    /// Returns the next event, or the close code; `None` when the connection is gone.
    pub(super) async fn next(&mut self) -> Option<Value> {
        loop {
            match within(MAX_TEST_WAIT, self.0.next()).await?.unwrap() {
                Message::Text(text) => return Some(serde_json::from_str(&text).unwrap()),
                Message::Close(frame) => return frame.map(|frame| json!(u16::from(frame.code))),
                _ => {}
            }
        }
    }

    /// Returns the event `name`, skipping those before it.
    pub(super) async fn read_until(&mut self, name: &str) -> Value {
        loop {
            let event = self.next().await.unwrap();
            if event["type"] == name {
                return event;
            }
        }
    }

    /// Returns the next completed response.
    async fn completed_response(&mut self) -> Value {
        self.read_until("response.completed").await["response"].clone()
    }
}

/// Answers with the number of earlier messages and the prompt.
fn repeating_turns() -> ScriptedTurns {
    ScriptedTurns::new(|_, turn| {
        let Some(Part::Text(prompt)) = turn.prompt.first() else {
            panic!("no text")
        };
        let words = format!("{} {prompt}", turn.history.len());
        Ok(play(vec![
            http::started(),
            http::text(&words),
            http::finished(),
        ]))
    })
}

pub(super) fn hanging_turns() -> ScriptedTurns {
    ScriptedTurns::playing([http::started(), http::text("a"), Step::Hang])
}

fn answer_text(response: &Value) -> &str {
    response["output"][0]["content"][0]["text"]
        .as_str()
        .unwrap()
}

#[tokio::test]
async fn requests_are_answered_in_order_with_their_stream_ids() {
    let server = Server::start(repeating_turns()).await;
    let mut socket = Socket::open(&server).await;
    for (stream_id, input) in [("a", "1"), ("b", "2"), ("a", "3")] {
        socket
            .request(json!({"stream_id": stream_id, "input": input}))
            .await;
    }
    for (stream_id, answer) in [("a", "0 1"), ("b", "0 2"), ("a", "0 3")] {
        loop {
            let event = socket.next().await.unwrap();
            assert_eq!(event["stream_id"], stream_id);
            if event["type"] == "response.completed" {
                assert_eq!(answer_text(&event["response"]), answer);
                break;
            }
        }
    }
}

#[tokio::test]
async fn last_unstored_response_can_be_continued_on_its_socket() {
    let server = Server::start(repeating_turns()).await;
    let mut socket = Socket::open(&server).await;
    socket.request(json!({"store": false})).await;
    let first = socket.completed_response().await;
    let next = json!({"store": false, "previous_response_id": first["id"], "input": "2"});
    socket.request(next.clone()).await;
    assert_eq!(answer_text(&socket.completed_response().await), "2 2");
    socket.request(next).await;
    let error = socket.next().await.unwrap();
    assert_eq!(
        (&error["type"], &error["status"]),
        (&json!("error"), &json!(400))
    );
    assert_eq!(
        error["error"]["code"], "previous_response_not_found",
        "only the last one is remembered"
    );

    socket
        .request(json!({"generate": false, "input": "kept"}))
        .await;
    let response = socket.completed_response().await;
    assert_eq!(response["output"], json!([]));
    socket.request(json!({"previous_response_id": response["id"], "input": [{"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]})).await;
    assert_eq!(answer_text(&socket.completed_response().await), "2 c");
}

#[tokio::test]
async fn first_event_lists_ignored_fields_and_repairs() {
    let server = Server::start(repeating_turns()).await;
    let mut socket = Socket::open(&server).await;
    let input = json!([{"role": "user", "content": " "}, {"role": "user", "content": "hi"}]);
    socket
        .request(json!({"input": input, "x_unknown": 1}))
        .await;
    let first = socket.next().await.unwrap();
    assert_eq!(
        (&first["type"], &first["ignored"]),
        (&json!("response.created"), &json!(["x_unknown"]))
    );
    assert_eq!(first["repaired"], json!(["empty_messages"]));
    let second = socket.next().await.unwrap();
    assert_eq!(
        (&second["ignored"], &second["repaired"]),
        (&Value::Null, &Value::Null)
    );
}

#[tokio::test]
async fn empty_input_is_accepted_without_generation() {
    let server = Server::start(repeating_turns()).await;
    let mut socket = Socket::open(&server).await;
    socket
        .request(json!({"generate": false, "store": false, "input": []}))
        .await;
    let response = socket.completed_response().await;
    assert_eq!(
        (&response["status"], &response["output"]),
        (&json!("completed"), &json!([]))
    );
    socket
        .request(json!({"store": false, "previous_response_id": response["id"], "input": "a"}))
        .await;
    assert_eq!(answer_text(&socket.completed_response().await), "0 a");
}

#[tokio::test]
async fn bad_request_gets_an_error_and_keeps_the_socket_open() {
    let server = Server::start(repeating_turns()).await;
    let mut socket = Socket::open(&server).await;
    for (message, param) in [
        ("{", Value::Null),
        (
            r#"{"type":"response.steer","stream_id":"s"}"#,
            json!("type"),
        ),
        (
            r#"{"type":"response.create","model":"m","input":"x","background":true}"#,
            json!("background"),
        ),
    ] {
        socket.0.send(Message::text(message)).await.unwrap();
        let error = socket.next().await.unwrap();
        assert_eq!(
            (&error["type"], &error["status"]),
            (&json!("error"), &json!(400)),
            "{error}"
        );
        assert_eq!(error["error"]["param"], param, "{error}");
    }
    socket.request(json!({})).await;
    assert_eq!(answer_text(&socket.completed_response().await), "0 Hi");
}

#[tokio::test]
async fn each_response_has_an_access_log_line() {
    let (log, _guard) = Log::collect();
    let failure = Failure::new(FailureKind::Overloaded, "It failed.");
    let steps = vec![http::started(), http::text("a"), Step::Fail(failure.into())];
    let server = Server::start(ScriptedTurns::playing(steps)).await;
    let mut socket = Socket::open(&server).await;
    socket.request(json!({})).await;
    socket.read_until("response.failed").await;
    socket
        .request(json!({"n": 1, "temperature": 9, "input": "secret"}))
        .await;
    socket.read_until("error").await;
    // The next answer begins after the previous log line is written.
    socket.request(json!({})).await;
    socket.read_until("response.created").await;
    let text = log.text();
    let summarize = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        format!(
            "{} {} {} {}",
            line["status"], line["end"], line["error.code"], line["error"]
        )
    };
    let lines: Vec<_> = text
        .lines()
        .filter(|line| line.contains(r#""status":200"#))
        .map(summarize)
        .collect();
    assert_eq!(
        lines[..2],
        [
            r#"200 "failed" "overloaded" "It failed.""#,
            r#"200 "failed" "invalid_value" "temperature""#
        ]
    );
}

#[tokio::test]
async fn turn_is_cancelled_when_socket_closes() {
    let mut server = Server::start(hanging_turns()).await;
    let mut socket = Socket::open(&server).await;
    socket.request(json!({})).await;
    socket.read_until("response.output_text.delta").await;
    server.wait_for_turns(1).await;
    drop(socket);
    server.wait_for_turns(0).await;
}

#[tokio::test]
async fn socket_with_too_many_queued_requests_is_closed() {
    let mut server = Server::start(hanging_turns()).await;
    let mut socket = Socket::open(&server).await;
    for _ in 0..10 {
        socket.request(json!({})).await;
    }
    while let Some(event) = socket.next().await {
        if event.is_number() {
            assert_eq!(event, 1008);
            break;
        }
    }
    server.wait_for_turns(0).await;
}

#[tokio::test]
async fn shutdown_closes_idle_sockets_and_fails_running_responses() {
    let config = Config {
        drain_timeout: Duration::from_millis(100),
        ..config()
    };
    let server = Server::start_with(hanging_turns(), config, |_| {}).await;
    let mut idle = Socket::open(&server).await;
    let mut busy = Socket::open(&server).await;
    busy.request(json!({})).await;
    busy.read_until("response.output_text.delta").await;
    server.shutdown.begin();
    assert_eq!(idle.next().await, Some(json!(1012)));
    let failed = busy.read_until("response.failed").await;
    assert_eq!(failed["response"]["status"], "failed");
    assert_eq!(busy.next().await, Some(json!(1012)));
    drop((idle, busy));
    assert_eq!(server.summary().await.aborted, 0);
}

#[tokio::test]
async fn queued_requests_of_a_socket_are_bounded_in_bytes() {
    let server =
        Server::start_with(hanging_turns(), config(), |config| config.body_limit = 1000).await;
    let mut socket = Socket::open(&server).await;
    socket.request(json!({})).await;
    socket.read_until("response.created").await;
    for _ in 0..2 {
        socket.request(json!({"input": "x".repeat(600)})).await;
    }
    let closed = loop {
        let next = socket.next().await.unwrap();
        if next.is_u64() {
            break next;
        }
    };
    assert_eq!(closed, json!(1008));
}

#[tokio::test]
async fn number_of_sockets_per_key_is_limited() {
    let server = Server::start(hanging_turns()).await;
    let mut sockets = Vec::new();
    for _ in 0..32 {
        sockets.push(Socket::open(&server).await);
        sockets.push(Socket::open_at(&server, "/v1/stream").await);
    }
    for path in ["/v1/responses", "/v1/stream"] {
        let url = format!("ws://{}{path}", server.address);
        let refused = client_async(url, server.connect().await).await;
        let Err(tokio_tungstenite::tungstenite::Error::Http(refused)) = refused else {
            panic!("let in at {path}")
        };
        assert_eq!(refused.status().as_u16(), 429);
    }
}
