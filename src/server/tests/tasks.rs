//! Tests of tasks over a WebSocket.

use futures::SinkExt as _;
use serde_json::Value;
use serde_json::json;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use super::response_sockets::Socket;
use super::*;
use crate::http::tests::tasks::AgentCall;
use crate::http::tests::tasks::AgentEvent;
use crate::http::tests::tasks::AgentScript;
use crate::http::tests::tasks::AgentStop;
use crate::http::tests::tasks::PermissionDecision;
use crate::http::tests::tasks::TaskFixture;

/// Server with one running task.
struct RunningTask {
    fixture: TaskFixture,
    server: Server,
    task: String,
    agent: AgentScript,
}

impl RunningTask {
    async fn open() -> Self {
        let mut fixture = TaskFixture::open().await;
        let turns = ScriptedTurns::playing([]);
        let server = Server::start_as(turns, config(), |_| {}, |state| fixture.state(state)).await;
        let (task, agent) = fixture.start_task(json!({})).await;
        Self {
            fixture,
            server,
            task,
            agent,
        }
    }

    async fn open_socket(&self, query: &str, key: usize) -> Result<Socket, u16> {
        let url = format!(
            "ws://{}/v1/tasks/{}/ws{query}",
            self.server.address, self.task
        );
        let mut request = url.into_client_request().unwrap();
        let bearer = format!("Bearer {}", self.fixture.keys[key])
            .parse()
            .unwrap();
        request.headers_mut().insert("authorization", bearer);
        match client_async(request, self.server.connect().await).await {
            Ok((socket, _)) => Ok(Socket(socket)),
            Err(tungstenite::Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }
}

fn numbers(events: &[Value]) -> Vec<u64> {
    events
        .iter()
        .filter_map(|event| event["sequence_number"].as_u64())
        .collect()
}

#[tokio::test]
async fn task_is_watched_and_controlled_over_one_socket() {
    let mut running = RunningTask::open().await;
    let mut socket = running.open_socket("", 0).await.unwrap();
    running.agent.emit(AgentEvent::Message("hm".to_owned()));
    assert_eq!(socket.read_until("message").await["text"], "hm");
    running.agent.request_permission("q1");
    assert_eq!(
        socket.read_until("permission_request").await["request_id"],
        "q1"
    );
    socket
        .send(json!({"type": "permission", "request_id": "q1", "decision": "allow"}))
        .await;
    assert_eq!(
        running.agent.calls.recv().await.unwrap(),
        AgentCall::Answer("q1".to_owned(), PermissionDecision::Allow)
    );
    assert_eq!(
        socket.read_until("permission_resolved").await["decision"],
        "allow"
    );
    socket.send(json!({"type": "ping"})).await;
    socket.read_until("pong").await;
    for (wrong, status, what) in [
        (
            json!({"type": "permission", "request_id": "q1", "decision": "allow"}),
            404,
            "permission_request_not_found",
        ),
        (
            json!({"type": "permission", "request_id": "q1"}),
            400,
            "missing_required_parameter",
        ),
        (json!({"type": "stop"}), 400, "invalid_value"),
    ] {
        socket.send(wrong).await;
        let refused = socket.read_until("request_error").await;
        assert_eq!(
            (&refused["status"], &refused["error"]["code"]),
            (&json!(status), &json!(what))
        );
    }
    socket.0.send(Message::text("not JSON")).await.unwrap();
    socket.read_until("request_error").await;
    socket.send(json!({"type": "interrupt"})).await;
    assert_eq!(
        running.agent.calls.recv().await.unwrap(),
        AgentCall::Interrupt
    );
    running.agent.end(AgentStop::Interrupted, "0.25");
    assert_eq!(socket.read_until("complete").await["status"], "interrupted");
    assert_eq!(socket.next().await, Some(json!(1000)));
}

#[tokio::test]
async fn socket_opened_later_starts_after_the_requested_event() {
    let running = RunningTask::open().await;
    for number in 1..=5 {
        running.agent.emit(AgentEvent::Message(number.to_string()));
    }
    let mut socket = running.open_socket("?starting_after=2", 0).await.unwrap();
    let mut events = Vec::new();
    while events.len() < 3 {
        events.push(socket.next().await.unwrap());
    }
    running.agent.end(AgentStop::Completed, "0.25");
    events.push(socket.read_until("complete").await);
    assert_eq!(numbers(&events), [3, 4, 5, 6]);
    assert_eq!(
        running.open_socket("", 1).await.err(),
        Some(404),
        "another key has no such task"
    );
    assert_eq!(
        running.open_socket("?starting_after=x", 0).await.err(),
        Some(400)
    );
}
