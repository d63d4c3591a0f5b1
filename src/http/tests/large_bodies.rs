//! Tests of bodies that take long to decode.

use std::sync::mpsc;

use axum::extract::FromRequest as _;
use tokio::sync::oneshot;

use super::*;
use crate::http::bodies::Bodies;
use crate::http::error::ApiError;
use crate::http::extract::RequestBody;

const SIZE: usize = 100_000;

fn large_state() -> AppState {
    let config = Config {
        body_limit: 2 * SIZE,
        ..config()
    };
    AppState {
        config: config.into(),
        ..state(ScriptedTurns::playing(greeting_steps()))
    }
}

/// Extracts the body of a request, whose size may be unknown.
async fn read(state: &AppState, body: Body) -> RequestBody {
    let mut request = request("POST", "/v1/chat/completions", &[], body);
    request.extensions_mut().insert(Bodies::new(1 << 20));
    RequestBody::from_request(request, state).await.unwrap()
}

/// The test runtime has a single thread, which must stay free while a body is decoded.
#[tokio::test]
async fn health_is_answered_while_a_large_body_is_decoded() {
    let state = large_state();
    let pieces = stream::iter((0..SIZE / 1000).map(|_| Ok::<_, std::io::Error>("x".repeat(1000))));
    for body in [Body::from("x".repeat(SIZE)), Body::from_stream(pieces)] {
        let body = read(&state, body).await;
        let (start, started) = oneshot::channel();
        let (release, released) = mpsc::channel();
        let decoding = TaskTracker::new().spawn(body.decode(move |body| {
            start.send(()).unwrap();
            released.recv().unwrap();
            Ok::<_, ApiError>(body.len())
        }));
        started.await.unwrap();
        let health = request("GET", "/health", &[], Body::empty());
        assert_eq!(
            send(router(state.clone()), health).await.status(),
            StatusCode::OK
        );
        release.send(()).unwrap();
        assert_eq!(decoding.await.unwrap().unwrap(), SIZE);
    }
}

#[tokio::test]
async fn large_request_is_answered() {
    let router = router(large_state());
    let mut large = chat(false);
    large["messages"][0]["content"] = json!("x".repeat(SIZE));
    let answer: Value =
        serde_json::from_str(&body(send(router.clone(), post(&large)).await).await).unwrap();
    assert_eq!(answer["choices"][0]["message"]["content"], "Hello");
    let broken = request("POST", "/v1/chat/completions", &[], "{".repeat(SIZE));
    assert_eq!(
        error(send(router, broken).await).await.0,
        StatusCode::BAD_REQUEST
    );
}

/// Returns a body of unknown length that is available at once, in chunks of 64 KiB.
fn pieces(count: usize) -> Body {
    let piece = bytes::Bytes::from(vec![b'x'; 1 << 16]);
    Body::from_stream(stream::iter(
        (0..count).map(move |_| Ok::<_, std::io::Error>(piece.clone())),
    ))
}

#[tokio::test(start_paused = true)]
async fn body_of_unknown_length_reserves_memory_as_needed() {
    let config = Config {
        body_limit: 32 << 20,
        ..config()
    };
    let state = AppState {
        config: config.into(),
        ..state(ScriptedTurns::playing(greeting_steps()))
    };
    // A key may use half of this.
    let bodies = Bodies::new(16 << 20);
    let read = async |body| {
        let mut request = request("POST", "/v1/chat/completions", &[], body);
        request.extensions_mut().insert(bodies.clone());
        RequestBody::from_request(request, &state).await
    };
    let small = [
        read(pieces(2)).await.unwrap(),
        read(pieces(2)).await.unwrap(),
    ];
    assert_eq!(
        read(pieces(126)).await.unwrap_err().status(),
        429,
        "there is no room beside the others"
    );
    drop(small);
    drop(read(pieces(128)).await.unwrap());
    assert_eq!(read(pieces(130)).await.unwrap_err().status(), 429);
    drop(bodies.reserve("", 8 << 20).await.unwrap());
}

#[tokio::test]
async fn reading_an_available_body_yields_to_other_tasks() {
    let config = Config {
        body_limit: 32 << 20,
        ..config()
    };
    let state = AppState {
        config: config.into(),
        ..state(ScriptedTurns::playing(greeting_steps()))
    };
    let mut request = request("POST", "/v1/chat/completions", &[], pieces(100));
    request.extensions_mut().insert(Bodies::new(64 << 20));
    let mut reading = std::pin::pin!(RequestBody::from_request(request, &state));
    let mut turns = 0;
    let read = std::future::poll_fn(|context| {
        turns += 1;
        reading.as_mut().poll(context)
    });
    read.await.unwrap();
    assert!(turns > 20, "{turns}");
}
