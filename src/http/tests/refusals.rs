use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use super::*;

async fn refused(request: Request<Body>) -> (u16, String, String) {
    let (status, error) = error(
        send(
            router(state(ScriptedTurns::playing(greeting_steps()))),
            request,
        )
        .await,
    )
    .await;
    let text = |field: &str| error[field].as_str().unwrap_or("null").to_owned();
    (status.as_u16(), text("code"), text("message"))
}

#[tokio::test]
async fn invalid_bodies_are_refused() {
    let message = "[]";
    for body in [
        "",
        "{",
        "nonsense",
        "[1]",
        "\"text\"",
        "{}",
        r#"{"model": 1}"#,
        message,
    ] {
        let (status, ..) = refused(request("POST", "/v1/chat/completions", &[], body)).await;
        assert_eq!(status, 400, "{body}");
    }
    let mut wrong = chat(false);
    wrong["messages"] = json!("Hi");
    assert_eq!(refused(post(&wrong)).await.0, 400);
    let mut invalid = chat(false).to_string().into_bytes();
    invalid.push(0xff);
    assert_eq!(
        refused(request("POST", "/v1/chat/completions", &[], invalid))
            .await
            .0,
        400
    );
}

#[tokio::test]
async fn unknown_paths_and_methods_are_refused() {
    let (status, code, message) =
        refused(request("GET", "/v2/nothing?x=1", &[], Body::empty())).await;
    assert_eq!((status, code.as_str()), (404, "unknown_url"));
    insta::assert_snapshot!(message, @"Unknown request URL: GET /v2/nothing. GET / lists what this server serves; the base URL of OpenAI's clients ends in /v1, that of Anthropic's does not.");
    let (.., message) = refused(request("POST", "/v1/chat/completion", &[], Body::empty())).await;
    insta::assert_snapshot!(message, @"Unknown request URL: POST /v1/chat/completion. The nearest path that this server serves is /v1/chat/completions; the base URL of OpenAI's clients ends in /v1, that of Anthropic's does not.");

    let get = request("GET", "/v1/chat/completions", &[], Body::empty());
    let response = send(router(state(ScriptedTurns::playing([]))), get).await;
    assert_eq!(response.headers()["allow"], "POST");
    let (status, error) = error(response).await;
    assert_eq!(
        (status.as_u16(), &error["code"]),
        (405, &json!("method_not_allowed"))
    );

    let response = send(
        router(state(ScriptedTurns::playing([]))),
        request("GET", "/v1/stream", &[], ""),
    )
    .await;
    assert_eq!(response.headers()["upgrade"], "websocket");
    let (status, error) = self::error(response).await;
    assert_eq!(
        (status.as_u16(), &error["code"]),
        (426, &json!("websocket_required"))
    );

    for path in [
        "/v1/embeddings",
        "/v1/audio/speech",
        "/v1/images/generations",
        "/v1/moderations",
    ] {
        let (status, code, message) = refused(request("POST", path, &[], "{}")).await;
        assert_eq!((status, code.as_str()), (404, "unsupported_endpoint"));
        assert!(
            message.contains("Claude has no model") && message.contains(path),
            "{message}"
        );
    }
}

/// Clients join their own path to base URLs that are written in many ways.
#[tokio::test]
async fn path_is_served_in_each_of_its_forms() {
    for path in [
        "/chat/completions",
        "/v1/v1/chat/completions",
        "//v1/chat//completions/",
        "/api/v1/chat/completions",
    ] {
        let post = request(
            "POST",
            path,
            &[("content-type", "application/json")],
            chat(false).to_string(),
        );
        let response = send(
            router(state(ScriptedTurns::playing(greeting_steps()))),
            post,
        )
        .await;
        assert_eq!(response.status(), 200, "{path}");
    }
    let messages = request("POST", "/messages/", &[], "{}");
    let answer = body(send(router(state(ScriptedTurns::playing([]))), messages).await).await;
    assert!(
        answer.starts_with(r#"{"type":"error""#),
        "in Anthropic's words: {answer}"
    );
}

#[tokio::test]
async fn root_describes_the_server() {
    let ask = async |accept: &str| {
        let request = request("GET", "/", &[("accept", accept)], "");
        let response = send(
            router(with_keys::with_configured_key(state(
                ScriptedTurns::playing([]),
            ))),
            request,
        )
        .await;
        assert_eq!(response.status(), 200);
        (
            response.headers()["content-type"]
                .to_str()
                .unwrap()
                .to_owned(),
            body(response).await,
        )
    };
    let (kind, page) = ask("text/html,*/*;q=0.8").await;
    assert!(
        kind.starts_with("text/html") && page.contains("<code>/v1/chat/completions</code>"),
        "{page}"
    );
    let (kind, json) = ask("*/*").await;
    assert_eq!(kind, "application/json");
    assert_eq!(
        serde_json::from_str::<Value>(&json).unwrap()["base_urls"]["openai"],
        "/v1"
    );
}

#[tokio::test]
async fn head_and_options_list_the_methods() {
    for method in ["OPTIONS", "HEAD"] {
        let request = request(method, "/v1/chat/completions", &[], "");
        let response = send(router(state(ScriptedTurns::playing([]))), request).await;
        assert_eq!(response.status(), 204, "{method}");
        assert_eq!(response.headers()["allow"], "POST", "{method}");
    }
}

#[tokio::test]
async fn oversized_bodies_get_413() {
    let large = "x".repeat(1001);
    let chunked = Body::from_stream(
        stream::iter(large.clone().into_bytes()).map(|byte| Ok::<_, Error>(vec![byte])),
    );
    let announced = request(
        "POST",
        "/v1/chat/completions",
        &[("content-length", "1001")],
        Body::empty(),
    );
    for request in [
        request("POST", "/v1/chat/completions", &[], chunked),
        announced,
    ] {
        let (status, code, message) = refused(request).await;
        assert_eq!((status, code.as_str()), (413, "request_too_large"));
        assert!(message.contains("1000 bytes"), "{message}");
    }
}

#[tokio::test(start_paused = true)]
async fn slow_and_broken_bodies_are_refused() {
    let stalled = Body::from_stream(stream::pending::<Result<Vec<u8>, Error>>());
    let (status, code, _) = refused(request("POST", "/v1/chat/completions", &[], stalled)).await;
    assert_eq!((status, code.as_str()), (408, "body_timeout"));
    let trickling = stream::repeat(()).then(async |()| {
        sleep(Duration::from_secs(7)).await;
        Ok::<_, Error>(b"x".to_vec())
    });
    let trickling = request(
        "POST",
        "/v1/chat/completions",
        &[],
        Body::from_stream(trickling),
    );
    assert_eq!(refused(trickling).await.0, 408);
    let broken = stream::iter([Err::<Vec<u8>, _>(Error::ShuttingDown)]);
    let broken = request(
        "POST",
        "/v1/chat/completions",
        &[],
        Body::from_stream(broken),
    );
    assert_eq!(refused(broken).await.1, "body_unreadable");
}

#[tokio::test]
async fn missing_or_wrong_key_gets_401() {
    let ask = async |path: &str, headers: &[(&str, &str)]| {
        let response = send(
            with_keys(ScriptedTurns::playing([])),
            request("GET", path, headers, Body::empty()),
        )
        .await;
        let status = response.status().as_u16();
        (status, body(response).await)
    };
    for path in [
        "/v1/models",
        "/v1/chat/completions",
        "/nothing",
        "/v1/embeddings",
    ] {
        let (status, body) = ask(path, &[]).await;
        assert_eq!(status, 401, "{path}");
        assert!(
            body.contains("You didn't provide an API key")
                && body.contains(r#""code":"invalid_api_key""#)
        );
    }
    let (status, body) = ask("/v1/models", &[("authorization", "Bearer secret-3")]).await;
    assert_eq!(status, 401);
    assert!(
        body.contains("Incorrect API key provided") && !body.contains("secret"),
        "{body}"
    );
    assert_eq!(
        ask("/v1/models", &[("authorization", "bearer secret-2")])
            .await
            .0,
        200
    );
    assert_eq!(ask("/v1/models", &[("x-api-key", "secret-1")]).await.0, 200);
}

#[tokio::test]
async fn gateway_receives_authenticated_caller() {
    let turns = ScriptedTurns::new(|caller, _| Ok(play(vec![text(&caller.name), finished()])));
    let headers = [("authorization", "Bearer secret-2")];
    let request = request(
        "POST",
        "/v1/chat/completions",
        &headers,
        chat(false).to_string(),
    );
    assert!(
        body(send(with_keys(turns), request).await)
            .await
            .contains(r#""content":"key-2""#)
    );
}

#[tokio::test]
async fn open_server_refuses_other_hosts_and_origins() {
    let ask = async |host: &str, origin: Option<&str>| {
        let mut request = Request::builder().uri("/v1/models").header("host", host);
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        let request = request.body(Body::empty()).unwrap();
        send(router(state(ScriptedTurns::playing([]))), request)
            .await
            .status()
            .as_u16()
    };
    assert_eq!(ask("127.0.0.1:8080", None).await, 200);
    assert_eq!(ask("[::1]:8080", Some("http://localhost:3000")).await, 200);
    assert_eq!(ask("evil.example", None).await, 403);
    assert_eq!(ask("localhost:8080@evil.example", None).await, 400);
    for origin in [
        "https://evil.example",
        "null",
        "http://localhost.evil.example",
        "localhost",
    ] {
        assert_eq!(ask("localhost", Some(origin)).await, 403, "{origin}");
    }

    let absolute = request("GET", "http://evil.example/v1/models", &[], Body::empty());
    assert_eq!(refused(absolute).await.1, "forbidden_host");
    let key = [
        ("host", "proxy.example"),
        ("authorization", "Bearer secret-1"),
    ];
    let mut named = Request::builder().uri("/v1/models");
    for (name, value) in key {
        named = named.header(name, value);
    }
    let named = named.body(Body::empty()).unwrap();
    assert_eq!(
        send(with_keys(ScriptedTurns::playing([])), named)
            .await
            .status(),
        StatusCode::OK
    );
}

#[tokio::test]
async fn failed_turns_have_status_and_headers() {
    let busy = Error::Busy {
        workers: 5,
        reason: crate::engine::gateway::BusyReason::QueueFull,
        retry_after: Duration::from_millis(1500),
    };
    let response = send(
        router(state(ScriptedTurns::refusing(busy.clone()))),
        post(&chat(true)),
    )
    .await;
    assert_eq!(response.headers()["retry-after"], "2");
    assert_eq!(response.headers()["retry-after-ms"], "1500");
    assert_eq!(error(response).await.0, StatusCode::TOO_MANY_REQUESTS);

    for stream in [false, true] {
        let turns = ScriptedTurns::playing([Step::Fail(busy.clone())]);
        let response = send(router(state(turns)), post(&chat(stream))).await;
        assert_eq!(error(response).await.0, StatusCode::TOO_MANY_REQUESTS);

        let response = send(
            router(state(ScriptedTurns::playing([]))),
            post(&chat(stream)),
        )
        .await;
        assert_eq!(error(response).await.1["code"], "worker_failed");
    }
}

#[tokio::test]
async fn choice_refused_after_another_has_begun_is_not_to_be_retried() {
    let busy = Error::Busy {
        workers: 5,
        reason: crate::engine::gateway::BusyReason::QueueFull,
        retry_after: Duration::from_millis(1500),
    };
    let has_begun = AtomicBool::new(false);
    let turns = ScriptedTurns::new(move |_, _| {
        if has_begun.swap(true, Ordering::Relaxed) {
            return Err(busy.clone());
        }
        Ok(play(vec![text("a"), Step::Hang]))
    });
    let mut fields = chat(false);
    fields["n"] = json!(2);
    let response = send(router(state(turns)), post(&fields)).await;
    assert_eq!(response.headers()["x-should-retry"], "false");
    assert!(!response.headers().contains_key("retry-after"));
    let (status, error) = error(response).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(error["code"], "server_busy");
    assert!(error["message"].as_str().unwrap().contains("are charged"));
}

#[tokio::test]
async fn panic_fails_only_its_request() {
    let router = router(state(ScriptedTurns::playing([Step::Panic])));
    let (status, error) = error(send(router.clone(), post(&chat(false))).await).await;
    assert_eq!(
        (status.as_u16(), &error["code"]),
        (500, &json!("internal_error"))
    );
    let health = request("GET", "/health", &[], Body::empty());
    assert_eq!(send(router, health).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn invalid_host_header_is_refused() {
    let router = with_keys(ScriptedTurns::playing(greeting_steps()));
    for (hosts, words) in [
        (&[][..], "is missing"),
        (&[""], "is empty"),
        (&["localhost", "localhost"], "more than once"),
        (&["user:word@localhost"], "is no host"),
        (&["not a host"], "is no host"),
        (&["localhost:http"], "is no host"),
        (&["[::1"], "is no host"),
        (&["\u{fc}.example"], "is no host"),
    ] {
        for path in ["/health", "/v1/chat/completions", "/nowhere"] {
            let mut request = Request::builder().uri(path);
            for host in hosts {
                request = request.header("host", host.as_bytes());
            }
            let (status, error) =
                error(send(router.clone(), request.body(Body::empty()).unwrap()).await).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{hosts:?} {path}");
            assert!(
                error["message"].as_str().unwrap().contains(words),
                "{hosts:?}: {error}"
            );
        }
    }
    let old = Request::builder()
        .version(axum::http::Version::HTTP_10)
        .uri("/health");
    assert_eq!(
        send(router, old.body(Body::empty()).unwrap())
            .await
            .status(),
        StatusCode::OK
    );
}
