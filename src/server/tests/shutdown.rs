use tokio::time::Instant;

use super::*;
use crate::http::tests::Step;

fn hanging_turns() -> ScriptedTurns {
    ScriptedTurns::playing([http::started(), http::text("a"), Step::Hang])
}

fn draining_for(milliseconds: u64) -> Config {
    Config {
        drain_timeout: Duration::from_millis(milliseconds),
        ..config()
    }
}

#[tokio::test]
async fn shutdown_closes_idle_connections_and_lets_answers_finish() {
    let pause = Step::Wait(Duration::from_millis(200));
    let steps = [
        http::started(),
        http::text("a"),
        pause,
        http::text("b"),
        http::finished(),
    ];
    let server = Server::start(ScriptedTurns::playing(steps)).await;
    let mut fresh = server.connect().await;
    let mut idle = server.connect().await;
    idle.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await
        .unwrap();
    read_until(&mut idle, "ok").await;
    let mut running = server.connect().await;
    running.write_all(&chat(true)).await.unwrap();
    read_until(&mut running, "\"a\"").await;

    server.shutdown.begin();
    assert_eq!(read_to_end(&mut idle).await, "");
    assert_eq!(read_to_end(&mut fresh).await, "");
    assert!(
        read_to_end(&mut running)
            .await
            .ends_with("data: [DONE]\n\n\r\n0\r\n\r\n")
    );
    drop((idle, fresh, running));
    let address = server.address;
    assert_eq!(
        server.summary().await,
        DrainSummary {
            drained: 3,
            aborted: 0
        }
    );
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn answers_running_after_drain_timeout_end_with_an_error() {
    let server = Server::start_with(hanging_turns(), draining_for(100), |_| {}).await;
    let mut stream = server.connect().await;
    stream.write_all(&chat(true)).await.unwrap();
    read_until(&mut stream, "\"a\"").await;
    let mut running_turns = server.running_turns.clone();
    let mut whole = server.connect().await;
    whole.write_all(&chat(false)).await.unwrap();
    within(
        MAX_TEST_WAIT,
        running_turns.wait_for(|running_turns| *running_turns == 2),
    )
    .await
    .unwrap();

    server.shutdown.begin();
    let end = read_to_end(&mut stream).await;
    assert!(
        end.contains(r#""code":"shutting_down""#) && !end.contains("[DONE]"),
        "{end}"
    );
    assert!(end.ends_with("0\r\n\r\n"), "{end}");
    let response = read_to_end(&mut whole).await;
    assert!(
        response.starts_with("HTTP/1.1 503 ") && response.contains("shutting_down"),
        "{response}"
    );
    drop((stream, whole));
    assert_eq!(
        server.summary().await,
        DrainSummary {
            drained: 2,
            aborted: 0
        }
    );
    assert_eq!(*running_turns.borrow(), 0);
}

#[tokio::test]
async fn connection_that_outlasts_the_last_error_is_dropped() {
    let server = Server::start_with(hanging_turns(), draining_for(100), |_| {}).await;
    let mut client = server.connect().await;
    client
        .write_all(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n",
        )
        .await
        .unwrap();
    client.write_all(b"{").await.unwrap();
    let mut answered = server.connect().await;
    answered
        .write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await
        .unwrap();
    read_until(&mut answered, "ok").await;

    server.shutdown.begin();
    assert_eq!(
        server.summary().await,
        DrainSummary {
            drained: 1,
            aborted: 1
        }
    );
}

#[tokio::test]
async fn second_signal_aborts_without_waiting() {
    let server = Server::start(hanging_turns()).await;
    let mut client = server.connect().await;
    client.write_all(&chat(true)).await.unwrap();
    read_until(&mut client, "\"a\"").await;
    let running_turns = server.running_turns.clone();

    server.shutdown.begin();
    server.shutdown.abort();
    let started = Instant::now();
    assert_eq!(
        server.summary().await,
        DrainSummary {
            drained: 0,
            aborted: 1
        }
    );
    assert!(started.elapsed() < Duration::from_millis(200));
    assert_eq!(*running_turns.borrow(), 0);
}
