//! Hooks of a turn: their order, what they see and what they may do.

mod answers;
mod server;

use std::collections::BTreeMap;

use tokio_util::task::TaskTracker;

use super::testing::ScriptedHook;
use super::testing::deps;
use super::testing::filters;
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
use crate::domain::Surface;
use crate::domain::Turn;
use crate::domain::TurnEvent;
use crate::domain::Usage;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::metrics::RequestExemplar;
use crate::telemetry::metrics::testing::assert_series;

const GATE: &str = "name = \"gate\"\nkind = \"http\"\npoints = [\"before\"]\n";

fn turn(text: &str) -> Turn {
    Turn {
        model: ModelName::new("sonnet"),
        system: vec!["Be brief.".to_owned()],
        native: Native {
            end_user: Some("ann".to_owned()),
            ..Native::default()
        },
        ..super::testing::turn(vec![Part::text(text)])
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

/// Returns metrics and the means of hooks that count in them.
fn measured_deps() -> (Metrics, HookDeps) {
    let metrics = Metrics::new();
    let deps = HookDeps {
        metrics: metrics.hooks.clone(),
        ..deps()
    };
    (metrics, deps)
}

async fn before(hooks: &Hooks, turn: &mut Turn) -> Result<String, HookStop> {
    let hooks = hooks.for_turn(&Caller::named("key-1"), turn).unwrap();
    hooks.call_before(turn).await?;
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
async fn hook_gets_the_id_of_the_request_whatever_its_length() {
    let hook = ScriptedHook::passing();
    let hooks = scripted(vec![(GATE, hook.clone())]);
    let mut asked = turn("Hi");
    let id = "x".repeat(128);
    let request = RequestExemplar::of_request(&id);
    let called = before(&hooks, &mut asked);
    request.scope(called).await.unwrap();
    before(&hooks, &mut asked).await.unwrap();
    let calls = hook.calls();
    let facts = calls.iter().map(|call| call.request.as_ref().unwrap());
    let ids: Vec<&str> = facts.map(|facts| &*facts.request_id).collect();
    assert_eq!(ids[0], id);
    assert!(ids[1].starts_with("turn_"), "{ids:?}");
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
    let messages = second.calls().remove(0).content.messages.unwrap();
    let text = WireContent::Text {
        text: "Bye".to_owned(),
    };
    assert_eq!(messages[0].content[0].content, text);
    let without = scripted(vec![(GATE, ScriptedHook::answering(says("Bye")))]);
    let stop = before(&without, &mut turn("Hi")).await.unwrap_err();
    assert!(matches!(stop.reason, HookStopReason::Failed(_)), "{stop}");
}

#[tokio::test]
async fn refusal_stops_the_turn_and_keeps_its_message_out_of_the_log() {
    let after = ScriptedHook::passing();
    let second = GATE.replace("gate", "second");
    let refusing = ScriptedHook::refusing("Not this prompt.");
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
    let (metrics, deps) = measured_deps();
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
async fn turn_is_unchanged_behind_a_hook_whose_messages_cannot_be_sent() {
    let open = format!("{GATE}prompt = \"write\"\non_failure = \"pass\"");
    let hook = ScriptedHook::answering(HookVerdict::Messages(Vec::new()));
    let hooks = scripted(vec![(open.as_str(), hook)]);
    let mut asked = turn("Hi");
    let header = before(&hooks, &mut asked).await.unwrap();
    assert_eq!(header, "gate; point=before; verdict=failed_open");
    assert_eq!(asked, turn("Hi"));
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
    found.call_before(&mut asked).await.unwrap();
    assert!(hook.calls().is_empty());
    let header = found.notes().header_value();
    assert_eq!(
        header.as_deref(),
        Some("gate; point=before; verdict=skipped")
    );
    let filter = "name = \"mask\"\nkind = \"filter\"\npoints = [\"before\"]\nwords = [\"Hi\"]";
    let found = filters(&[filter]).for_turn(&caller, &asked).unwrap();
    found.call_before(&mut asked).await.unwrap();
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
    found.call_before(&mut asked).await.unwrap();
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

/// Waits until all tasks of the hooks are done.
async fn rest(tracker: &TaskTracker) {
    tracker.close();
    tracker.wait().await;
}
