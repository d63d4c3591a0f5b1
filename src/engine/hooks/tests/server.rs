//! Errors and events that hooks get, and hooks of the whole server.

use super::super::testing::hook_config;
use super::*;

const EAR: &str = "name = \"ear\"\nkind = \"http\"\npoints = [\"error\"]\n";

#[tokio::test]
async fn error_hooks_reword_the_message_but_not_of_their_own_error() {
    let toml = |name: &str| format!("name = \"{name}\"\nkind = \"http\"\npoints = [\"error\"]");
    let first = toml("one");
    let second = toml("two");
    let one = ScriptedHook::answering(HookVerdict::Message("Sorry.".to_owned()));
    let two = ScriptedHook::new(|_| Err(HookFailure::Status(500)));
    let hooks = scripted(vec![
        (first.as_str(), one.clone()),
        (second.as_str(), two.clone()),
    ]);
    let found = hooks.for_turn(&on(Surface::Chat), &turn("Hi")).unwrap();
    assert!(found.are_at(HookPoint::Error));
    let reworded = found.report_error(busy(), None).await;
    assert_eq!(reworded.as_deref(), Some("Sorry."));
    assert_eq!(one.calls()[0].content.error, Some(busy()));
    assert_eq!(found.report_error(busy(), Some("one")).await, None);
    assert_eq!((one.calls().len(), two.calls().len()), (1, 2));
}

fn busy() -> WireError {
    WireError {
        status: 429,
        code: "server_busy".to_owned(),
        message: "Busy.".to_owned(),
    }
}

/// Request of which only the id is known.
fn unknown_request() -> FailedRequest<'static> {
    FailedRequest {
        id: Some("req_1"),
        surface: None,
        caller: None,
        is_streamed: false,
        is_from_hook: false,
    }
}

#[tokio::test]
async fn errors_of_requests_are_told_to_the_hooks_that_are_for_them() {
    let caller = on(Surface::Chat);
    let known = FailedRequest::of_caller(&caller);
    for (bounds, of_known, of_unknown) in [
        ("", 1, 1),
        ("surfaces = [\"chat\"]", 1, 0),
        ("surfaces = [\"tasks\"]", 0, 0),
        ("projects = [\"default\"]", 1, 0),
        ("projects = [\"other\"]", 0, 0),
        ("models = [\"*\"]", 0, 0),
    ] {
        for (request, count) in [(known, of_known), (unknown_request(), of_unknown)] {
            let deps = deps();
            let toml = format!("{EAR}{bounds}");
            let hook = ScriptedHook::passing();
            let hooks = scripted_with(vec![(toml.as_str(), hook.clone())], &deps);
            hooks.notify_error(&request, &busy(), None);
            rest(&deps.tracker).await;
            assert_eq!(hook.calls().len(), count, "{bounds} {request:?}");
        }
    }
}

#[tokio::test]
async fn notice_of_an_error_has_what_is_known_and_none_is_sent_for_a_request_of_a_hook() {
    let deps = deps();
    let hook = ScriptedHook::passing();
    let hooks = scripted_with(vec![(EAR, hook.clone())], &deps);
    assert!(hooks.are_at_errors());
    hooks.notify_error(&unknown_request(), &busy(), None);
    hooks.notify_error(&unknown_request(), &busy(), Some("ear"));
    let of_hook = FailedRequest {
        is_from_hook: true,
        ..unknown_request()
    };
    hooks.notify_error(&of_hook, &busy(), None);
    rest(&deps.tracker).await;
    let calls = hook.calls();
    assert_eq!(calls.len(), 1);
    let HookInput { point, op, .. } = calls[0];
    assert_eq!((point, op), (HookPoint::Error, HookOperation::Notify));
    assert_eq!(calls[0].content.error, Some(busy()));
    let facts = calls[0].request.as_ref().unwrap();
    assert_eq!((&*facts.request_id, facts.surface), ("req_1", ""));
    let texts = [&facts.model, &facts.key.name, &facts.project];
    assert_eq!(texts, ["", "", ""]);
}

#[tokio::test]
async fn notices_beyond_the_queue_are_dropped_and_counted() {
    let (metrics, deps) = measured_deps();
    let hook = ScriptedHook::passing();
    let hooks = scripted_with(vec![(EAR, hook.clone())], &deps);
    let caller = on(Surface::Chat);
    for request in [unknown_request(), FailedRequest::of_caller(&caller)] {
        for _ in 0..35 {
            hooks.notify_error(&request, &busy(), None);
        }
    }
    rest(&deps.tracker).await;
    let calls = hook.calls();
    let keys = calls.iter().map(|call| &call.request.as_ref().unwrap().key);
    let with_key = keys.filter(|key| !key.name.is_empty()).count();
    assert_eq!((calls.len(), with_key), (64, 32), "half is left to keys");
    assert_series(
        &metrics,
        &[
            r#"switchboard_hook_calls_total{hook="ear",point="error",verdict="pass"} 64"#,
            r#"switchboard_hook_calls_total{hook="ear",point="error",verdict="failed_open"} 6"#,
        ],
    );
}

#[tokio::test]
async fn notices_that_wait_when_the_server_stops_are_dropped_and_counted() {
    let (metrics, deps) = measured_deps();
    let hook = ScriptedHook::passing();
    let hooks = scripted_with(vec![(EAR, hook.clone())], &deps);
    for _ in 0..3 {
        hooks.notify_error(&unknown_request(), &busy(), None);
    }
    deps.stop.cancel();
    rest(&deps.tracker).await;
    assert!(hook.calls().is_empty());
    let dropped =
        r#"switchboard_hook_calls_total{hook="ear",point="error",verdict="failed_open"} 3"#;
    assert_series(&metrics, &[dropped]);
}

#[tokio::test]
async fn notices_that_fail_do_not_keep_a_hook_from_deciding() {
    let deps = deps();
    let toml = GATE.replace("\"before\"", "\"before\", \"error\"");
    let hook = ScriptedHook::new(|input| {
        if input.point == HookPoint::Error {
            return Err(HookFailure::Status(500));
        }
        Ok(HookReply::pass())
    });
    let hooks = scripted_with(vec![(toml.as_str(), hook.clone())], &deps);
    for _ in 0..10 {
        hooks.notify_error(&unknown_request(), &busy(), None);
    }
    rest(&deps.tracker).await;
    assert_eq!(hook.calls().len(), 5, "their own circuit has opened");
    let header = before(&hooks, &mut turn("Hi")).await.unwrap();
    assert_eq!(header, "gate; point=before; verdict=pass");
}

#[tokio::test]
async fn events_are_told_in_the_form_of_webhooks() {
    let deps = deps();
    let toml = "name = \"ear\"\nkind = \"http\"\npoints = [\"event\"]\nprojects = [\"p\"]";
    let hook = ScriptedHook::passing();
    let hooks = scripted_with(vec![(toml, hook.clone())], &deps);
    let data = serde_json::json!({"id": "key_1"});
    hooks.notify(Some("q"), "key.created", &data);
    hooks.notify(Some("p"), "key.created", &data);
    rest(&deps.tracker).await;
    let calls = hook.calls();
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].request, None);
    let event = calls[0].content.event.as_ref().unwrap();
    assert_eq!(
        (&event["type"], &event["data"]),
        (&"key.created".into(), &data)
    );
}

#[tokio::test]
async fn texts_of_tasks_pass_hooks_as_turns_do() {
    let toml = "name = \"mask\"\nkind = \"filter\"\npoints = [\"before\", \"after\"]\nwords = [\"secret\"]";
    let hooks = filters(&[toml]);
    let mut prompt = TextPrompt {
        model: ModelName::new("sonnet"),
        system: Some("Keep the secret.".to_owned()),
        prompt: "Find the secret.".to_owned(),
    };
    let found = hooks.for_text(&on(Surface::Tasks), &prompt).unwrap();
    found.call_before_text(&mut prompt).await.unwrap();
    assert_eq!(prompt.prompt, "Find the ***.");
    assert_eq!(prompt.system.as_deref(), Some("Keep the ***."));
    let result = found.pass_result_text("A secret.".to_owned(), Usage::default());
    assert_eq!(result.await.unwrap(), "A ***.");
}

#[test]
fn version_differs_with_the_configuration() {
    let one = scripted(vec![(GATE, ScriptedHook::passing())]).version();
    let same = scripted(vec![(GATE, ScriptedHook::passing())]).version();
    let other = format!("{GATE}timeout_ms = 7");
    let other = scripted(vec![(other.as_str(), ScriptedHook::passing())]).version();
    assert_eq!(one, same);
    assert_ne!(one, other);
}

#[tokio::test]
async fn programs_of_the_folder_are_hooks_after_those_of_the_list() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().unwrap();
    for name in ["b.sh", "a.sh"] {
        let path = folder.path().join(name);
        std::fs::write(&path, "#!/bin/sh\nexec cat >/dev/null\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let listed = "name = \"b\"\nkind = \"program\"\npoints = [\"event\"]";
    let config = Config {
        programs: folder.path().display().to_string(),
        list: vec![hook_config(GATE).with_url(), hook_config(listed)],
    };
    let deps = deps();
    let hooks = Hooks::start(&config, &deps).unwrap();
    let names: Vec<_> = hooks.configs().map(|hook| hook.name.as_str()).collect();
    assert_eq!(names, ["gate", "b", "a"]);
    deps.stop.cancel();
    rest(&deps.tracker).await;
    let nowhere = Config {
        programs: "/nowhere/at/all".to_owned(),
        list: Vec::new(),
    };
    let refused = Hooks::start(&nowhere, &deps).unwrap_err();
    assert_eq!(refused.key, "programs");
}

impl HookConfig {
    fn with_url(self) -> Self {
        Self {
            url: "http://127.0.0.1:9/".to_owned(),
            ..self
        }
    }
}
