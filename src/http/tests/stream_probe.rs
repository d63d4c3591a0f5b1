//! Tests of the probe by which clients find proxies that hold events back.

use tokio::time::Instant;

use super::*;

fn open() -> Router {
    router(state(ScriptedTurns::playing([])))
}

async fn probe(router: Router, path: &str) -> Response {
    send(router, request("GET", path, &[], Body::empty())).await
}

#[tokio::test(start_paused = true)]
async fn events_arrive_with_pauses_and_the_headers_of_streams() {
    let response = probe(with_keys(ScriptedTurns::playing([])), "/health/stream?n=3").await;
    assert_eq!(response.status(), StatusCode::OK);
    let headers = response.headers();
    assert_eq!(headers["content-type"], "text/event-stream; charset=utf-8");
    assert_eq!(headers["x-accel-buffering"], "no");
    let begun = Instant::now();
    let mut body = response.into_body();
    let mut arrived = Vec::new();
    while let Some(piece) = body.frame().await {
        let text = String::from_utf8(piece.unwrap().into_data().unwrap().to_vec()).unwrap();
        arrived.push((begun.elapsed().as_millis() / 100, text));
    }
    let event = |number: usize| format!("data: {{\"n\":{number},\"of\":3}}\n\n");
    let expected = [(0, event(1)), (2, event(2)), (4, event(3))];
    assert_eq!(arrived, expected);
}

#[tokio::test(start_paused = true)]
async fn number_of_events_has_a_default_and_bounds() {
    let text = body(probe(open(), "/health/stream").await).await;
    assert_eq!(text.matches("data: ").count(), 5);
    let (status, error) = error(probe(open(), "/health/stream?n=11").await).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(error["param"], "n");
}

#[tokio::test]
async fn too_many_probes_are_refused_with_the_time_of_the_next() {
    let router = open();
    let mut streams = Vec::new();
    let refused = loop {
        let response = probe(router.clone(), "/health/stream").await;
        if response.status() != StatusCode::OK {
            break response;
        }
        assert!(streams.len() < 100);
        streams.push(response);
    };
    assert!(refused.headers().contains_key("retry-after"));
    let (status, error) = error(refused).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(error["code"], "too_many_probes");
    drop(streams);
    let response = probe(router, "/health/stream").await;
    assert_eq!(response.status(), StatusCode::OK);
}
