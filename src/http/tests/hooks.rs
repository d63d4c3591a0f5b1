//! Hooks on each surface, with and without a stream, in each mode: called exactly once.

use super::*;
use crate::domain::Failure;
use crate::domain::FailureKind;
use crate::engine::gateway::PipelineHooks;
use crate::engine::gateway::PipelineSteps;
use crate::engine::hooks::HookInput;
use crate::engine::hooks::HookPoint;
use crate::engine::hooks::HookReply;
use crate::engine::hooks::HookVerdict;
use crate::engine::hooks::testing::ScriptedHook;
use crate::engine::hooks::testing::deps;
use crate::engine::hooks::testing::filters;
use crate::engine::hooks::testing::scripted;
use crate::engine::hooks::testing::scripted_with;

const KEY: [(&str, &str); 1] = [("authorization", "Bearer secret-1")];
const AROUND: &str = "name = \"ear\"\nkind = \"http\"\npoints = [\"before\", \"after\"]\n\
                      prompt = \"read\"\nanswer = \"read\"\n";

/// Surface, its path and the body of a request; `None` for one that has no streams.
type SurfaceCase = (&'static str, &'static str, fn(bool) -> Option<Value>);

/// Surfaces that are reached by one request.
const SURFACES: [SurfaceCase; 6] = [
    ("chat", "/v1/chat/completions", |stream| {
        Some(json!({"model": "sonnet", "messages": [user()], "stream": stream}))
    }),
    ("completions", "/v1/completions", |stream| {
        Some(json!({"model": "sonnet", "prompt": "Hi", "stream": stream}))
    }),
    ("responses", "/v1/responses", |stream| {
        Some(json!({"model": "sonnet", "input": "Hi", "stream": stream}))
    }),
    ("messages", "/v1/messages", |stream| {
        let messages = [user()];
        Some(json!({"model": "sonnet", "max_tokens": 9, "messages": messages, "stream": stream}))
    }),
    ("sessions", "/v1/sessions", |stream| {
        Some(json!({"content": "Hi", "stream": stream}))
    }),
    ("batch", "/v1/batch", |stream| {
        let request = json!({"model": "sonnet", "messages": [user()]});
        (!stream).then(|| json!({"requests": [request]}))
    }),
];

fn user() -> Value {
    json!({"role": "user", "content": "Hi"})
}

/// Pipeline with `hooks` in front of `turns`.
pub(super) async fn hooked(hooks: Hooks, turns: ScriptedTurns) -> PipelineSteps {
    let mut pipeline = gateway::testing::pipeline(turns, gateway::testing::admission_deps().await);
    pipeline.hooks = PipelineHooks::new(hooks, crate::http::describe_for_hooks);
    pipeline
}

async fn server(hooks: Hooks) -> Router {
    let turns = ScriptedTurns::playing(greeting_steps());
    router(app_state(
        &ResponseTables::temporary(),
        hooked(hooks, turns).await,
        Keys::new(["secret-1"]).unwrap(),
        DrainExpired::default(),
    ))
}

async fn post_json(router: &Router, path: &str, fields: &Value) -> Response {
    let request = request("POST", path, &KEY, fields.to_string());
    send(router.clone(), request).await
}

/// Sends the request of a surface; for a session that is made before.
async fn ask(router: &Router, path: &str, fields: &Value) -> Response {
    if path != "/v1/sessions" {
        return post_json(router, path, fields).await;
    }
    let session = post_json(router, path, &json!({"model": "sonnet"})).await;
    let session: Value = serde_json::from_str(&body(session).await).unwrap();
    let id = session["id"].as_str().unwrap();
    post_json(router, &format!("{path}/{id}/messages"), fields).await
}

/// Checks that a hook was called once before and once after a turn on `surface`.
pub(super) fn assert_called_once(calls: &[HookInput], surface: &str, is_streamed: bool) {
    let points: Vec<_> = calls.iter().map(|input| input.point).collect();
    assert_eq!(points, [HookPoint::Before, HookPoint::After], "{surface}");
    for input in calls {
        let facts = input.request.as_ref().unwrap();
        assert_eq!((facts.surface, facts.stream), (surface, is_streamed));
    }
    assert_eq!(calls[0].content.messages.as_ref().unwrap().len(), 1);
    assert_eq!(calls[1].content.answer.as_ref().unwrap().text, "Hello");
}

#[tokio::test]
async fn hook_is_called_once_on_each_surface_in_each_mode() {
    for (surface, path, fields) in SURFACES {
        for stream in [false, true] {
            let Some(fields) = fields(stream) else {
                continue;
            };
            for mode in ["tap", "whole"] {
                let deps = deps();
                let toml = format!("{AROUND}stream = \"{mode}\"");
                let hook = ScriptedHook::passing();
                let hooks = scripted_with(vec![(toml.as_str(), hook.clone())], &deps);
                let response = ask(&server(hooks).await, path, &fields).await;
                assert_eq!(response.status(), StatusCode::OK, "{surface}");
                if surface != "batch" {
                    let header = response.headers()["x-switchboard-hooks"].to_str().unwrap();
                    assert!(
                        header.starts_with("ear; point=before; verdict=pass"),
                        "{header}"
                    );
                }
                let text = body(response).await;
                assert!(text.contains("Hel"), "{surface} {mode}: {text}");
                deps.tracker.close();
                deps.tracker.wait().await;
                assert_called_once(&hook.calls(), surface, stream);
            }
        }
    }
}

#[tokio::test]
async fn filter_redacts_on_each_surface_in_each_mode() {
    let filter = "name = \"mask\"\nkind = \"filter\"\npoints = [\"before\", \"after\"]\n\
                  words = [\"hello\"]\n";
    for (surface, path, fields) in SURFACES {
        for stream in [false, true] {
            let Some(fields) = fields(stream) else {
                continue;
            };
            for mode in ["window", "whole"] {
                let toml = format!("{filter}stream = \"{mode}\"");
                let router = server(filters(&[&toml])).await;
                let text = body(ask(&router, path, &fields).await).await;
                assert!(text.contains("***"), "{surface} {mode}: {text}");
                assert!(!text.contains("Hel"), "{surface} {mode}: {text}");
            }
        }
    }
}

#[tokio::test]
async fn each_choice_of_a_chat_passes_the_hooks_once() {
    let hook = ScriptedHook::passing();
    let toml = format!("{AROUND}stream = \"whole\"");
    let router = server(scripted(vec![(toml.as_str(), hook.clone())])).await;
    let fields = json!({"model": "sonnet", "messages": [user()], "n": 3});
    let response = post_json(&router, "/v1/chat/completions", &fields).await;
    assert_eq!(response.status(), StatusCode::OK);
    body(response).await;
    let calls = hook.calls();
    let count = |point| calls.iter().filter(|input| input.point == point).count();
    assert_eq!((count(HookPoint::Before), count(HookPoint::After)), (3, 3));
}

#[tokio::test]
async fn hooks_of_choices_and_of_background_work_get_the_id_of_the_request() {
    let toml = "name = \"ear\"\nkind = \"http\"\npoints = [\"before\"]";
    let chat = json!({"model": "sonnet", "messages": [user()], "n": 3, "stream": true});
    let response = json!({"model": "sonnet", "input": "Hi", "background": true, "stream": true});
    for (path, fields, count) in [
        ("/v1/chat/completions", chat, 3),
        ("/v1/responses", response, 1),
    ] {
        let hook = ScriptedHook::passing();
        let router = server(scripted(vec![(toml, hook.clone())])).await;
        let response = post_json(&router, path, &fields).await;
        let id = response.headers()["x-request-id"].clone();
        body(response).await;
        let calls = hook.calls();
        assert_eq!(calls.len(), count, "{path}");
        for call in calls {
            let facts = call.request.unwrap();
            assert_eq!(&*facts.request_id, id.to_str().unwrap(), "{path}");
        }
    }
}

#[tokio::test]
async fn stored_answer_is_what_the_client_got() {
    let filter = "name = \"mask\"\nkind = \"filter\"\npoints = [\"after\"]\nwords = [\"hello\"]";
    let router = server(filters(&[filter])).await;
    let request_body = json!({"model": "sonnet", "input": "Hi"});
    let made = post_json(&router, "/v1/responses", &request_body);
    let made: Value = serde_json::from_str(&body(made.await).await).unwrap();
    let path = format!("/v1/responses/{}", made["id"].as_str().unwrap());
    let stored = send(router, request("GET", &path, &KEY, "")).await;
    let stored: Value = serde_json::from_str(&body(stored).await).unwrap();
    assert_eq!(stored["output"], made["output"]);
    assert!(made["output"].to_string().contains("***"));
}

#[tokio::test]
async fn refusal_of_a_hook_has_its_own_error_in_both_apis() {
    let refusing = |points: &str| {
        let toml =
            format!("name = \"gate\"\nkind = \"http\"\npoints = [{points}]\nstream = \"whole\"");
        let verdict = HookVerdict::Refuse {
            code: Some("pii".to_owned()),
            message: "No personal data.".to_owned(),
        };
        scripted(vec![(toml.as_str(), ScriptedHook::answering(verdict))])
    };
    let router = server(refusing("\"before\"")).await;
    let response = post_json(&router, "/v1/chat/completions", &chat(true)).await;
    let header = response.headers()["x-switchboard-hooks"].to_str().unwrap();
    assert_eq!(header, "gate; point=before; verdict=refuse");
    let (status, fields) = error(response).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert_eq!(fields["code"], "hook_refused");
    assert_eq!(fields["message"], "No personal data. (pii)");
    let router = server(refusing("\"after\"")).await;
    let fields = json!({"model": "sonnet", "max_tokens": 9, "messages": [user()]});
    let response = post_json(&router, "/v1/messages", &fields).await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    let fields: Value = serde_json::from_str(&body(response).await).unwrap();
    assert_eq!(fields["error"]["type"], "permission_error");
    let message = fields["error"]["message"].as_str().unwrap();
    assert!(
        message.ends_with("what it has cost is charged."),
        "{message}"
    );
}

#[tokio::test]
async fn failed_hook_is_unavailable_and_not_to_be_paid_twice() {
    let failing = |points: &str| {
        let toml =
            format!("name = \"gate\"\nkind = \"http\"\npoints = [{points}]\nstream = \"whole\"");
        let hook = ScriptedHook::new(|_| Err(crate::engine::hooks::HookFailure::Status(500)));
        scripted(vec![(toml.as_str(), hook)])
    };
    let router = server(failing("\"before\"")).await;
    let response = post_json(&router, "/v1/chat/completions", &chat(false)).await;
    assert_eq!(response.headers()["retry-after"], "1");
    assert!(!response.headers().contains_key("x-should-retry"));
    let (status, fields) = error(response).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(fields["code"], "hook_unavailable");
    let router = server(failing("\"after\"")).await;
    let response = post_json(&router, "/v1/chat/completions", &chat(false)).await;
    assert_eq!(response.headers()["x-should-retry"], "false");
    assert!(!response.headers().contains_key("retry-after"));
}

#[tokio::test]
async fn hooks_are_told_of_errors_as_clients_see_them_and_reword_these() {
    let toml = "name = \"ear\"\nkind = \"http\"\npoints = [\"error\"]";
    let hook = ScriptedHook::answering(HookVerdict::Message("Ask Ann.".to_owned()));
    let hooks = scripted(vec![(toml, hook.clone())]);
    let turns = ScriptedTurns::refusing(Error::NotSignedIn("Sign in.".to_owned()));
    let state = app_state(
        &ResponseTables::temporary(),
        hooked(hooks, turns).await,
        Keys::none(),
        DrainExpired::default(),
    );
    let (status, fields) = error(send(router(state), post(&chat(false))).await).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert_eq!(fields["message"], "Ask Ann.");
    assert_eq!(fields["code"], "not_signed_in");
    let error = hook.calls().remove(0).content.error.unwrap();
    assert_eq!((error.status, error.code.as_str()), (401, "not_signed_in"));
    assert_eq!(error.message, "Sign in.");
}

#[tokio::test]
async fn error_of_a_turn_names_the_hooks_that_were_called_before_it() {
    let toml = "name = \"ear\"\nkind = \"http\"\npoints = [\"before\"]";
    let failure = || Failure::new(FailureKind::Crashed, "The worker ended.");
    let begun = [started(), text("Hel"), Step::Fail(Error::Failed(failure()))];
    for turns in [
        ScriptedTurns::refusing(Error::Failed(failure())),
        ScriptedTurns::playing(begun),
    ] {
        let hooks = scripted(vec![(toml, ScriptedHook::passing())]);
        let state = app_state(
            &ResponseTables::temporary(),
            hooked(hooks, turns).await,
            Keys::none(),
            DrainExpired::default(),
        );
        let response = send(router(state), post(&chat(false))).await;
        assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
        let header = response.headers()["x-switchboard-hooks"].to_str().unwrap();
        assert_eq!(header, "ear; point=before; verdict=pass");
    }
}

#[tokio::test]
async fn annotations_and_verdicts_are_in_the_log_line_of_the_request() {
    let (log, _guard) = access_log::Log::collect();
    let hook = ScriptedHook::new(|_| {
        Ok(HookReply {
            metadata: [("team".to_owned(), "blue".to_owned())].into(),
            ..HookReply::pass()
        })
    });
    let toml = format!("{AROUND}stream = \"whole\"");
    let router = server(scripted(vec![(toml.as_str(), hook)])).await;
    body(post_json(&router, "/v1/chat/completions", &chat(true)).await).await;
    let line = log.access_line();
    let verdicts = "ear; point=before; verdict=annotate, ear; point=after; verdict=annotate";
    assert_eq!(line["hooks"], verdicts);
    assert_eq!(line["hooks.metadata"], r#"{"ear.team":"blue"}"#);
}
