//! Hooks of a turn: their order, what they see and what they may do.

use std::collections::BTreeMap;

use tokio_util::task::TaskTracker;

use super::testing::ScriptedHook;
use super::testing::deps;
use super::testing::filters;
use super::testing::hook_config;
use super::testing::scripted;
use super::testing::scripted_with;
use super::*;
use crate::domain::Caller;
use crate::domain::Finish;
use crate::domain::FinishReason;
use crate::domain::ModelName;
use crate::domain::Native;
use crate::domain::Part;
use crate::domain::RequestOrigin;
use crate::domain::Sampling;
use crate::domain::Surface;
use crate::domain::Tools;
use crate::domain::Turn;
use crate::domain::TurnEvent;
use crate::domain::Usage;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::metrics::testing::assert_series;

const GATE: &str = "name = \"gate\"\nkind = \"http\"\npoints = [\"before\"]\n";

fn turn(text: &str) -> Turn {
    Turn {
        model: ModelName::new("sonnet"),
        system: vec!["Be brief.".to_owned()],
        tools: Tools::default(),
        history: Vec::new(),
        prompt: vec![Part::text(text)],
        sampling: Sampling::default(),
        project: None,
        native: Native {
            end_user: Some("ann".to_owned()),
            ..Native::default()
        },
    }
}

fn on(surface: Surface) -> Caller {
    Caller {
        origin: RequestOrigin {
            surface,
            ..RequestOrigin::default()
        },
        ..Caller::named("key-1")
    }
}

fn says(text: &str) -> HookVerdict {
    HookVerdict::Messages(vec![WireMessage {
        role: WireRole::User,
        content: vec![WirePart {
            content: WireContent::Text {
                text: text.to_owned(),
            },
            place: None,
        }],
    }])
}

fn refuses(message: &str) -> HookVerdict {
    HookVerdict::Refuse {
        code: None,
        message: message.to_owned(),
    }
}

async fn before(hooks: &Hooks, turn: &mut Turn) -> Result<String, HookStop> {
    let hooks = hooks.for_turn(&Caller::named("key-1"), turn).unwrap();
    hooks.before(turn).await?;
    Ok(hooks.notes().header_value().unwrap_or_default())
}

/// Passes an answer through the hooks, and returns its text.
async fn after(hooks: &Hooks, pieces: &[&str]) -> Result<String, HookStop> {
    let turn = turn("Hi");
    let hooks = hooks.for_turn(&Caller::named("key-1"), &turn).unwrap();
    let mut events = vec![TurnEvent::started("m", Usage::default())];
    events.extend(
        pieces
            .iter()
            .map(|piece| TurnEvent::Text((*piece).to_owned())),
    );
    let finish = Finish::new(FinishReason::Stop, Usage::default());
    events.push(TurnEvent::Finished(finish));
    for mut stage in hooks.answer_stages(false) {
        let mut passed = Vec::new();
        for event in events {
            passed.extend(stage.take(event).await?);
        }
        events = passed;
    }
    let texts = events.into_iter().filter_map(|event| match event {
        TurnEvent::Text(text) => Some(text),
        _ => None,
    });
    Ok(texts.collect())
}

#[test]
fn turn_without_hooks_has_none() {
    let none = Hooks::default();
    assert!(none.for_turn(&Caller::named("a"), &turn("Hi")).is_none());
    assert_eq!(none.version(), 0);
    assert_eq!(none.configs().count(), 0);
    none.notify(None, "key.created", &serde_json::Value::Null);
    assert_eq!(HookNotes::default().header_value(), None);
}

#[tokio::test]
async fn hooks_are_chosen_by_surface_model_project_and_point() {
    for (bounds, is_chosen) in [
        ("", true),
        ("surfaces = [\"tasks\"]", false),
        ("surfaces = [\"chat\", \"tasks\"]", true),
        ("models = [\"son*\"]", true),
        ("models = [\"opus\"]", false),
        ("projects = [\"default\"]", true),
        ("projects = [\"other\"]", false),
    ] {
        let toml = format!("{GATE}{bounds}");
        let hooks = scripted(vec![(toml.as_str(), ScriptedHook::passing())]);
        let found = hooks.for_turn(&on(Surface::Chat), &turn("Hi")).is_some();
        assert_eq!(found, is_chosen, "{bounds}");
    }
    let event = GATE.replace("before", "event");
    let hooks = scripted(vec![(event.as_str(), ScriptedHook::passing())]);
    assert!(hooks.for_turn(&on(Surface::Chat), &turn("Hi")).is_none());
}

#[tokio::test]
async fn hook_sees_only_what_it_is_granted() {
    let blind = ScriptedHook::passing();
    let seeing = ScriptedHook::passing();
    let grants = format!("{GATE}prompt = \"read\"\nuser = \"read\"").replace("gate", "see");
    let hooks = scripted(vec![
        (GATE, blind.clone()),
        (grants.as_str(), seeing.clone()),
    ]);
    let header = before(&hooks, &mut turn("Hi")).await.unwrap();
    let expected = "gate; point=before; verdict=pass, see; point=before; verdict=pass";
    assert_eq!(header, expected);
    let blind = blind.calls().remove(0);
    assert_eq!(blind.content, HookContent::default());
    assert_eq!(blind.op, HookOperation::Decide);
    let facts = blind.request.unwrap();
    assert_eq!((facts.surface, facts.model.as_str()), ("chat", "sonnet"));
    assert_eq!(
        (facts.key.name.as_str(), facts.project.as_str()),
        ("key-1", "default")
    );
    let seeing = seeing.calls().remove(0).content;
    assert_eq!(seeing.system.as_deref(), Some("Be brief."));
    assert_eq!(seeing.user.as_deref(), Some("ann"));
    assert_eq!(seeing.messages.unwrap().len(), 1);
}

#[tokio::test]
async fn messages_are_replaced_by_hooks_with_the_grant_in_their_order() {
    let write = format!("{GATE}prompt = \"write\"");
    let second = ScriptedHook::passing();
    let listens = format!("{GATE}prompt = \"read\"").replace("gate", "second");
    let first = ScriptedHook::answering(says("Bye"));
    let hooks = scripted(vec![
        (write.as_str(), first),
        (listens.as_str(), second.clone()),
    ]);
    let mut changed = turn("Hi");
    let header = before(&hooks, &mut changed).await.unwrap();
    assert!(
        header.starts_with("gate; point=before; verdict=replace, "),
        "{header}"
    );
    assert_eq!(changed.prompt, [Part::text("Bye")]);
    let told = second.calls().remove(0).content.messages.unwrap();
    let text = WireContent::Text {
        text: "Bye".to_owned(),
    };
    assert_eq!(told[0].content[0].content, text);
    let without = scripted(vec![(GATE, ScriptedHook::answering(says("Bye")))]);
    let stop = before(&without, &mut turn("Hi")).await.unwrap_err();
    assert!(matches!(stop.reason, HookStopReason::Failed(_)), "{stop}");
}

#[tokio::test]
async fn refusal_stops_the_turn_and_keeps_its_message_out_of_the_log() {
    let after = ScriptedHook::passing();
    let second = GATE.replace("gate", "second");
    let refusing = ScriptedHook::answering(refuses("Not this prompt."));
    let hooks = scripted(vec![(GATE, refusing), (second.as_str(), after.clone())]);
    let stop = before(&hooks, &mut turn("Hi")).await.unwrap_err();
    assert_eq!(stop.to_string(), "stopped by the hook `gate`: refused");
    assert!(!stop.is_charged);
    assert_eq!(
        stop.notes.header_value().as_deref(),
        Some("gate; point=before; verdict=refuse")
    );
    let message = "Not this prompt.".to_owned();
    let code = None;
    assert_eq!(stop.reason, HookStopReason::Refused { code, message });
    assert!(after.calls().is_empty());
}

#[tokio::test]
async fn failure_refuses_or_passes_as_configured_and_is_counted() {
    let metrics = Metrics::new();
    let deps = HookDeps {
        metrics: metrics.hooks.clone(),
        ..deps()
    };
    let failing = || ScriptedHook::new(|_| Err(HookFailure::Status(500)));
    let open = format!("{GATE}on_failure = \"pass\"").replace("gate", "open");
    let hooks = scripted_with(vec![(open.as_str(), failing()), (GATE, failing())], &deps);
    let stop = before(&hooks, &mut turn("Hi")).await.unwrap_err();
    assert_eq!(&*stop.hook, "gate");
    assert_eq!(
        stop.reason,
        HookStopReason::Failed(HookFailure::Status(500))
    );
    assert_series(
        &metrics,
        &[
            r#"switchboard_hook_calls_total{hook="open",point="before",verdict="failed_open"} 1"#,
            r#"switchboard_hook_calls_total{hook="gate",point="before",verdict="failed_closed"} 1"#,
            r#"switchboard_hook_seconds_count{hook="gate"} 1"#,
        ],
    );
}

#[tokio::test]
async fn request_of_a_hook_calls_no_hooks_but_is_filtered() {
    let hook = ScriptedHook::passing();
    let hooks = scripted(vec![(GATE, hook.clone())]);
    let caller = Caller {
        origin: RequestOrigin {
            is_from_hook: true,
            ..RequestOrigin::default()
        },
        ..Caller::named("key-1")
    };
    let mut asked = turn("Hi");
    let found = hooks.for_turn(&caller, &asked).unwrap();
    found.before(&mut asked).await.unwrap();
    assert!(hook.calls().is_empty());
    let header = found.notes().header_value();
    assert_eq!(
        header.as_deref(),
        Some("gate; point=before; verdict=skipped")
    );
    let filter = "name = \"mask\"\nkind = \"filter\"\npoints = [\"before\"]\nwords = [\"Hi\"]";
    let found = filters(&[filter]).for_turn(&caller, &asked).unwrap();
    found.before(&mut asked).await.unwrap();
    assert_eq!(asked.prompt, [Part::text("***")]);
}

#[tokio::test]
async fn annotations_are_noted_beside_any_verdict() {
    let hook = ScriptedHook::new(|_| {
        Ok(HookReply {
            metadata: BTreeMap::from([("team".to_owned(), "blue".to_owned())]),
            ..HookReply::pass()
        })
    });
    let hooks = scripted(vec![(GATE, hook)]);
    let mut asked = turn("Hi");
    let found = hooks.for_turn(&on(Surface::Chat), &asked).unwrap();
    found.before(&mut asked).await.unwrap();
    let notes = found.notes();
    assert_eq!(
        notes.metadata_json().as_deref(),
        Some(r#"{"gate.team":"blue"}"#)
    );
    let header = notes.header_value();
    assert_eq!(
        header.as_deref(),
        Some("gate; point=before; verdict=annotate")
    );
}

#[tokio::test]
async fn answers_pass_hooks_in_the_reverse_of_their_order() {
    let adds = |name: &str, letter: &'static str| {
        let toml = format!(
            "name = \"{name}\"\nkind = \"http\"\npoints = [\"after\"]\nanswer = \"write\"\nstream = \"whole\""
        );
        let hook = ScriptedHook::new(move |input| {
            let mut answer = input.content.answer.clone().unwrap();
            answer.text.push_str(letter);
            Ok(HookReply {
                verdict: HookVerdict::Answer(answer),
                ..HookReply::pass()
            })
        });
        (toml, hook)
    };
    let list = [adds("a", "1"), adds("b", "2"), adds("c", "3")];
    let list = list
        .iter()
        .map(|(toml, hook)| (toml.as_str(), hook.clone()));
    let hooks = scripted(list.collect());
    assert_eq!(after(&hooks, &["x", "y"]).await.unwrap(), "xy321");
}

#[tokio::test]
async fn answer_is_refused_after_the_run_and_that_is_charged() {
    let toml = "name = \"gate\"\nkind = \"http\"\npoints = [\"after\"]\nstream = \"whole\"";
    let hook = ScriptedHook::answering(refuses("No."));
    let hooks = scripted(vec![(toml, hook.clone())]);
    let stop = after(&hooks, &["secret"]).await.unwrap_err();
    assert!(stop.is_charged);
    let told = hook.calls().remove(0);
    assert_eq!(told.op, HookOperation::Decide);
    assert_eq!(told.content.answer, None);
    assert!(told.content.usage.is_some());
}

#[tokio::test]
async fn tap_is_told_of_the_answer_and_cannot_change_it() {
    let deps = deps();
    let toml = "name = \"tap\"\nkind = \"http\"\npoints = [\"after\"]\nanswer = \"read\"";
    let hook = ScriptedHook::answering(refuses("No."));
    let hooks = scripted_with(vec![(toml, hook.clone())], &deps);
    assert_eq!(after(&hooks, &["Hel", "lo"]).await.unwrap(), "Hello");
    rest(&deps.tracker).await;
    let told = hook.calls().remove(0);
    assert_eq!(told.op, HookOperation::Notify);
    assert_eq!(told.content.answer.unwrap().text, "Hello");
    assert_eq!(hook.calls().len(), 1);
}

#[tokio::test]
async fn filters_redact_in_windows_and_as_a_whole() {
    let filter = |stream: &str| {
        format!(
            "name = \"mask\"\nkind = \"filter\"\npoints = [\"before\", \"after\"]\n\
             words = [\"secret\"]\nstream = \"{stream}\""
        )
    };
    for stream in ["window", "whole"] {
        let hooks = filters(&[&filter(stream)]);
        let text = after(&hooks, &["A sec", "ret ", "here."]).await.unwrap();
        assert_eq!(text, "A *** here.", "{stream}");
        let mut asked = turn("The secret");
        before(&hooks, &mut asked).await.unwrap();
        assert_eq!(asked.prompt, [Part::text("The ***")]);
        let refusing = filter(stream) + "\nthen = \"refuse\"\nroles = [\"system\"]";
        let refusing = filters(&[&refusing]);
        let stop = after(&refusing, &["A sec", "ret ", "here."]).await;
        assert!(stop.unwrap_err().is_charged, "{stream}");
        assert!(before(&refusing, &mut turn("The secret")).await.is_ok());
    }
    let limit = "name = \"limit\"\nkind = \"filter\"\npoints = [\"before\"]\nmax_characters = 12";
    let limit = filters(&[limit]);
    assert!(before(&limit, &mut turn("Hi!")).await.is_ok());
    assert!(before(&limit, &mut turn("Hello!")).await.is_err());
}

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
    let reworded = found.error(error.clone(), None).await;
    assert_eq!(reworded.as_deref(), Some("Sorry."));
    assert_eq!(one.calls()[0].content.error, Some(error.clone()));
    assert_eq!(found.error(error, Some("one")).await, None);
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
    let told = hook.calls();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].request, None);
    let event = told[0].content.event.as_ref().unwrap();
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
    found.before_text(&mut prompt).await.unwrap();
    assert_eq!(prompt.prompt, "Find the ***.");
    assert_eq!(prompt.system.as_deref(), Some("Keep the ***."));
    let result = found.after_text("A secret.".to_owned(), Usage::default());
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

/// Waits until all tasks of the hooks are done.
async fn rest(tracker: &TaskTracker) {
    tracker.close();
    tracker.wait().await;
}
