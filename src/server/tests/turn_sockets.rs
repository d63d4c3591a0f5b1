//! Tests of many turns over one WebSocket.

use futures::SinkExt as _;
use futures::StreamExt as _;
use serde_json::Value;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use super::response_sockets::Socket;
use super::response_sockets::hanging_turns;
use super::*;
use crate::domain::Failure;
use crate::domain::FailureKind;
use crate::domain::Part;
use crate::domain::Surface;
use crate::domain::Turn;
use crate::engine::hooks::testing::ScriptedHook;
use crate::engine::hooks::testing::deps;
use crate::engine::hooks::testing::scripted_with;
use crate::http::tests::Step;
use crate::http::tests::access_log::Log;
use crate::http::tests::play;
use crate::http::tests::surfaces::SeenSurfaces;
use crate::http::tests::traced::TestTraces;
use crate::http::tests::with_keys::with_configured_key;
use crate::telemetry::metrics::RequestExemplar;

pub(super) async fn open(server: &Server) -> Socket {
    Socket::open_at(server, "/v1/stream").await
}

pub(super) fn chat(id: &str, prompt: &str) -> Value {
    json!({"type": "chat", "id": id, "model": "sonnet", "messages": [{"role": "user", "content": prompt}]})
}

pub(super) fn prompt(turn: &Turn) -> &str {
    let Some(Part::Text(prompt)) = turn.prompt.first() else {
        panic!("no text")
    };
    prompt
}

/// Answers with the prompt; `hang` never ends, `fail` fails.
pub(super) fn prompted_turns() -> ScriptedTurns {
    ScriptedTurns::new(|_, turn| {
        let mut steps = vec![http::started(), http::text(prompt(turn))];
        steps.extend(match prompt(turn) {
            "hang" => vec![Step::Hang],
            "fail" => vec![Step::Fail(
                Failure::new(FailureKind::Overloaded, "It failed.").into(),
            )],
            _ => vec![http::text("!"), http::finished()],
        });
        Ok(play(steps))
    })
}

/// Returns a short text for each event until `count` turns have ended.
pub(super) async fn events_until_end(socket: &mut Socket, count: usize) -> Vec<String> {
    let mut events = Vec::new();
    let mut ended = 0;
    while ended < count {
        let event = socket.next().await.unwrap();
        let kind = event["type"].as_str().unwrap();
        ended += usize::from(["done", "error"].contains(&kind));
        let detail = [
            &event["content"],
            &event["finish_reason"],
            &event["error"]["code"],
        ]
        .map(|value| value.as_str());
        let detail = detail.into_iter().flatten().collect::<String>();
        events.push(
            format!("{} {kind} {detail}", event["id"].as_str().unwrap_or("-"))
                .trim()
                .to_owned(),
        );
    }
    events
}

#[tokio::test]
async fn chat_without_id_gets_tokens_and_done_with_usage() {
    let server = Server::start(prompted_turns()).await;
    let mut socket = open(&server).await;
    let messages = json!([{"role": "user", "content": "hi"}]);
    socket
        .send(json!({"type": "chat", "model": "sonnet", "messages": messages}))
        .await;
    let mut tokens = Vec::new();
    let done = loop {
        let message = socket.next().await.unwrap();
        match message["type"].as_str().unwrap() {
            "token" => tokens.push(message["content"].clone()),
            "done" => break message,
            _ => {}
        }
    };
    assert_eq!(tokens, [json!("hi"), json!("!")]);
    assert_eq!(done["usage"]["total_tokens"], 5, "{done}");
}

#[tokio::test]
async fn turns_of_sockets_name_the_api_that_they_came_by() {
    let seen = SeenSurfaces::default();
    let server = Server::start(seen.turns()).await;
    let mut socket = open(&server).await;
    socket.send(chat("a", "hi")).await;
    socket.read_until("done").await;
    assert_eq!(seen.take(), [Surface::Stream]);
    let mut socket = Socket::open_at(&server, "/v1/responses").await;
    let asked = json!({"type": "response.create", "model": "sonnet", "input": "Hi"});
    socket.send(asked).await;
    socket.read_until("response.completed").await;
    assert_eq!(seen.take(), [Surface::Responses]);
}

/// Answers with the id of the request that the turn runs for.
fn identified_turns() -> ScriptedTurns {
    ScriptedTurns::new(|_, _| {
        let id = RequestExemplar::current_id();
        let words = http::text(id.as_deref().unwrap_or("none"));
        Ok(play(vec![http::started(), words, http::finished()]))
    })
}

#[tokio::test]
async fn turns_of_sockets_have_the_id_of_the_request_that_opened_the_socket() {
    let server = Server::start(identified_turns()).await;
    let mut socket = open(&server).await;
    socket.send(chat("a", "hi")).await;
    let token = socket.read_until("token").await;
    assert!(token["content"].as_str().unwrap().starts_with("req_"));
    let mut socket = Socket::open_at(&server, "/v1/responses").await;
    let asked = json!({"type": "response.create", "model": "sonnet", "input": "Hi"});
    socket.send(asked).await;
    let event = socket.read_until("response.completed").await;
    let text = &event["response"]["output"][0]["content"][0]["text"];
    assert!(text.as_str().unwrap().starts_with("req_"), "{text}");
}

#[tokio::test]
async fn message_that_is_refused_is_reported_to_hooks_once() {
    let toml = "name = \"ear\"\nkind = \"http\"\npoints = [\"error\"]";
    let deps = deps();
    let hook = ScriptedHook::passing();
    let hooks = scripted_with(vec![(toml, hook.clone())], &deps);
    let change = |state: AppState| AppState { hooks, ..state };
    let server = Server::start_as(prompted_turns(), config(), |_| {}, change).await;
    for (count, path, surface) in [
        (1, "/v1/stream", "stream"),
        (2, "/v1/responses", "responses"),
    ] {
        let mut socket = Socket::open_at(&server, path).await;
        socket.send(json!({"type": "nothing"})).await;
        socket.read_until("error").await;
        let told = async {
            while hook.calls().len() < count {
                tokio::task::yield_now().await;
            }
        };
        within(MAX_TEST_WAIT, told).await;
        let call = hook.calls().pop().unwrap();
        let facts = call.request.unwrap();
        assert_eq!((facts.surface, facts.key.name.as_str()), (surface, "local"));
        assert!(facts.request_id.starts_with("req_"));
    }
    assert_eq!(hook.calls().len(), 2);
}

#[tokio::test]
async fn turns_run_concurrently_and_ids_can_be_reused() {
    let server = Server::start(prompted_turns()).await;
    let mut socket = open(&server).await;
    socket.send(chat("slow", "hang")).await;
    socket.read_until("token").await;
    for id in ["b", "a", "b"] {
        socket.send(chat(id, "hi")).await;
        let expected =
            ["started", "token hi", "token !", "done stop"].map(|words| format!("{id} {words}"));
        assert_eq!(events_until_end(&mut socket, 1).await, expected);
    }
    let mut both = Vec::new();
    for id in ["c", "d"] {
        socket.send(chat(id, "ho")).await;
    }
    both.extend(events_until_end(&mut socket, 2).await);
    for id in ["c", "d"] {
        let of_one: Vec<_> = both
            .iter()
            .filter(|line| line.starts_with(id))
            .cloned()
            .collect();
        assert_eq!(
            of_one,
            ["started", "token ho", "token !", "done stop"].map(|words| format!("{id} {words}"))
        );
    }
}

#[tokio::test]
async fn done_event_has_model_and_usage() {
    let server = Server::start(prompted_turns()).await;
    let mut socket = open(&server).await;
    let mut message = chat("a", "hi");
    message.as_object_mut().unwrap().remove("id");
    message["verbosity"] = json!("low");
    socket.send(message).await;
    let started = socket.next().await.unwrap();
    assert!(
        started["id"].as_str().unwrap().starts_with("turn_"),
        "{started}"
    );
    assert_eq!(
        (&started["model"], &started["ignored"]),
        (&json!("sonnet"), &json!(["verbosity"]))
    );
    let done = socket.read_until("done").await;
    assert_eq!(
        (&done["id"], &done["model"]),
        (&started["id"], &json!("claude-sonnet-5-5"))
    );
    assert_eq!(done["usage"]["total_tokens"], 5);
}

#[tokio::test]
async fn cancel_ends_one_turn_and_keeps_the_others() {
    let mut server = Server::start(prompted_turns()).await;
    let mut socket = open(&server).await;
    for id in ["a", "b"] {
        socket.send(chat(id, "hang")).await;
        socket.read_until("token").await;
    }
    server.wait_for_turns(2).await;
    socket.send(json!({"type": "cancel", "id": "a"})).await;
    assert_eq!(events_until_end(&mut socket, 1).await, ["a done cancelled"]);
    server.wait_for_turns(1).await;
    socket.send(json!({"type": "cancel", "id": "a"})).await;
    assert_eq!(
        events_until_end(&mut socket, 1).await,
        ["a error turn_not_found"]
    );
    socket.send(chat("b", "hi")).await;
    assert_eq!(
        events_until_end(&mut socket, 1).await,
        ["b error invalid_value"],
        "it is still running"
    );
    server.wait_for_turns(1).await;
    drop(socket);
    server.wait_for_turns(0).await;
}

#[tokio::test]
async fn queued_turn_can_be_cancelled() {
    let mut server = Server::start(ScriptedTurns::queueing()).await;
    let mut socket = open(&server).await;
    socket.send(chat("a", "hi")).await;
    socket.read_until("started").await;
    server.wait_for_turns(1).await;
    socket.send(json!({"type": "cancel", "id": "a"})).await;
    assert_eq!(events_until_end(&mut socket, 1).await, ["a done cancelled"]);
    server.wait_for_turns(0).await;
}

#[tokio::test]
async fn errors_are_sent_and_keep_the_socket_open() {
    let server = Server::start(prompted_turns()).await;
    let mut socket = open(&server).await;
    for (message, param) in [
        ("{", Value::Null),
        (r#"{"type":"steer"}"#, json!("type")),
        (
            r#"{"type":"chat","id":"a","model":"m","messages":[]}"#,
            json!("messages"),
        ),
        (
            r#"{"type":"chat","model":"m","n":2,"messages":[{"role":"user","content":"x"}]}"#,
            json!("n"),
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
    socket.send(chat("a", "fail")).await;
    assert_eq!(
        events_until_end(&mut socket, 1).await,
        ["a started", "a token fail", "a error overloaded"]
    );
    socket.send(json!({"type": "ping"})).await;
    assert_eq!(socket.next().await, Some(json!({"type": "pong"})));
    socket
        .0
        .send(Message::Binary(chat("a", "hi").to_string().into()))
        .await
        .unwrap();
    assert_eq!(
        events_until_end(&mut socket, 1).await.last().unwrap(),
        "a done stop"
    );
}

#[tokio::test]
async fn number_of_turns_per_socket_is_limited() {
    let mut server = Server::start(prompted_turns()).await;
    let mut socket = open(&server).await;
    for index in 0..17 {
        socket.send(chat(&format!("t{index}"), "hang")).await;
    }
    let error = socket.read_until("error").await;
    assert_eq!(
        (&error["id"], &error["status"]),
        (&json!("t16"), &json!(429))
    );
    assert_eq!(error["error"]["code"], "too_many_turns");
    server.wait_for_turns(16).await;
    socket.0.close(None).await.unwrap();
    server.wait_for_turns(0).await;
}

#[tokio::test]
async fn dead_socket_is_closed_and_silent_live_one_is_kept() {
    let heartbeat = |config: &mut crate::http::Config| config.heartbeat = Duration::from_millis(50);
    let mut server = Server::start_with(hanging_turns(), config(), heartbeat).await;
    let mut alive = open(&server).await;
    alive.send(chat("a", "hi")).await;
    alive.read_until("token").await;
    let mut dead = open(&server).await;
    dead.send(chat("a", "hi")).await;
    dead.read_until("token").await;
    server.wait_for_turns(2).await;
    let mut pings = 0;
    while pings < 6 {
        pings += usize::from(matches!(alive.0.next().await, Some(Ok(Message::Ping(_)))));
    }
    server.wait_for_turns(1).await;
    alive.send(json!({"type": "cancel", "id": "a"})).await;
    assert_eq!(alive.next().await.unwrap()["finish_reason"], "cancelled");
}

#[tokio::test]
async fn each_turn_has_an_access_log_line() {
    let (log, _guard) = Log::collect();
    let server = Server::start_as(prompted_turns(), config(), |_| {}, with_configured_key).await;
    let mut socket = open(&server).await;
    socket
        .send(json!({"type": "auth", "api_key": "secret-1"}))
        .await;
    socket.read_until("authenticated").await;
    for (prompt, end) in [("hi", "done"), ("fail", "error")] {
        socket.send(chat("a", prompt)).await;
        socket.read_until(end).await;
    }
    socket
        .send(json!({"type": "chat", "n": 9, "messages": "secret-prompt"}))
        .await;
    socket.read_until("error").await;
    socket.send(chat("a", "hang")).await;
    socket.read_until("token").await;
    socket.send(json!({"type": "cancel", "id": "a"})).await;
    socket.read_until("done").await;
    let text = log.text();
    let events_until_end = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        let fields = ["caller", "path", "end", "error.code"];
        fields
            .map(|name| line[name].as_str().unwrap_or("-").to_owned())
            .join(" ")
    };
    let lines: Vec<_> = text
        .lines()
        .filter(|line| line.contains(r#""status":200"#))
        .map(events_until_end)
        .collect();
    assert_eq!(
        lines,
        [
            "key-1 /v1/stream complete -",
            "key-1 /v1/stream failed overloaded",
            "key-1 /v1/stream failed missing_required_parameter",
            "key-1 /v1/stream cancelled -",
        ]
    );
    assert!(!text.contains("secret"), "{text}");
}

#[tokio::test]
async fn shutdown_ends_turns_with_an_error_and_closes_sockets() {
    let config = Config {
        drain_timeout: Duration::from_millis(100),
        ..config()
    };
    let server = Server::start_with(prompted_turns(), config, |_| {}).await;
    let mut idle = open(&server).await;
    let mut busy = open(&server).await;
    busy.send(chat("a", "hang")).await;
    busy.read_until("token").await;
    server.shutdown.begin();
    assert_eq!(idle.next().await, Some(json!(1012)));
    busy.send(chat("b", "hi")).await;
    assert_eq!(
        events_until_end(&mut busy, 2).await,
        ["b error shutting_down", "a error shutting_down"]
    );
    assert_eq!(busy.next().await, Some(json!(1012)));
    drop((idle, busy));
    assert_eq!(server.summary().await.aborted, 0);
}

#[tokio::test]
async fn large_message_waiting_for_memory_blocks_no_running_turn() {
    const LARGE: usize = 100_000;
    let (events, received) = futures::channel::mpsc::unbounded();
    let received = std::sync::Mutex::new(Some(received));
    let turns = ScriptedTurns::new(move |_, _| {
        Ok(received.lock().unwrap().take().expect("one turn").boxed())
    });
    let mut server = Server::start_with(turns, config(), |config| {
        config.body_limit = 2 * LARGE;
        config.body_budget = 3 * LARGE;
    })
    .await;
    let mut socket = open(&server).await;
    socket.send(chat("a", "hi")).await;
    socket.read_until("started").await;
    server.wait_for_turns(1).await;
    // A body that reserves all memory of the key and never arrives; `100 Continue` shows that it
    // has its permit.
    let mut slow = server.connect().await;
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: {LARGE}\r\n\r\n"
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    read_until(&mut slow, "100 Continue").await;
    socket.send(chat("b", &"x".repeat(LARGE))).await;
    for number in 0..20 {
        events
            .unbounded_send(Ok(crate::domain::TurnEvent::Text(number.to_string())))
            .unwrap();
        let event = socket.next().await.unwrap();
        assert_eq!(
            (&event["id"], &event["content"]),
            (&json!("a"), &json!(number.to_string()))
        );
    }
    drop(slow);
    assert_eq!(socket.read_until("started").await["id"], "b");
}

#[tokio::test]
async fn each_turn_on_a_socket_has_a_span_with_a_link_to_the_request_that_opened_it() {
    let mut traces = TestTraces::new();
    let tracer = traces.tracer.clone();
    let change = |state: AppState| AppState { tracer, ..state };
    let server = Server::start_as(prompted_turns(), config(), |_| {}, change).await;
    let mut socket = open(&server).await;
    let spans = within(MAX_TEST_WAIT, traces.wait_for(1)).await;
    let opened = spans.only("GET /v1/stream").context();
    for (prompt, is_failed) in [("hi", false), ("fail", true)] {
        socket.send(chat("a", prompt)).await;
        events_until_end(&mut socket, 1).await;
        let spans = within(MAX_TEST_WAIT, traces.wait_for(1)).await;
        let message = spans.only("message /v1/stream");
        assert_eq!(message.text("error.type").is_empty(), !is_failed);
        assert_eq!(message.text("switchboard.key"), "local");
        assert_eq!(message.cause(), Some(opened.traceparent()));
        assert_ne!(message.context().trace_id(), opened.trace_id());
    }
}
