//! Errors and events that hooks get, and hooks of the whole server.

use super::super::testing::hook_config;
use super::*;

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
    let error = WireError {
        status: 429,
        code: "server_busy".to_owned(),
        message: "Busy.".to_owned(),
    };
    let reworded = found.report_error(error.clone(), None).await;
    assert_eq!(reworded.as_deref(), Some("Sorry."));
    assert_eq!(one.calls()[0].content.error, Some(error.clone()));
    assert_eq!(found.report_error(error, Some("one")).await, None);
    assert_eq!((one.calls().len(), two.calls().len()), (1, 2));
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
