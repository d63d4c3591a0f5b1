//! Hooks among the steps: runs, charges, the cache and reported errors.

use super::*;
use crate::engine::gateway::HookedError;
use crate::engine::gateway::SharedCause;
use crate::engine::hooks::HookNotes;
use crate::engine::hooks::HookStop;
use crate::engine::hooks::HookVerdict;
use crate::engine::hooks::Hooks;
use crate::engine::hooks::WireError;
use crate::engine::hooks::testing::ScriptedHook;
use crate::engine::hooks::testing::filters;
use crate::engine::hooks::testing::scripted;

const MASK: &str =
    "name = \"mask\"\nkind = \"filter\"\npoints = [\"before\", \"after\"]\nwords = [\"hello\"]";
const GATE: &str = "name = \"gate\"\nkind = \"http\"\npoints = [\"before\"]";
const AFTER: &str =
    "name = \"gate\"\nkind = \"http\"\npoints = [\"after\"]\nanswer = \"read\"\nstream = \"whole\"";

async fn with(hooks: Hooks) -> Setting {
    let describe = |error: &Error| WireError {
        status: 500,
        code: "code".to_owned(),
        message: error.to_string(),
    };
    let mut setting = Setting::new().await;
    setting.pipeline.hooks = PipelineHooks::new(hooks, describe);
    setting
}

/// Returns how a hook stopped the turn of `error`.
fn stop(error: &Error) -> &HookStop {
    match error {
        Error::Hooked(hooked) => stop(&hooked.error),
        Error::Hook(stop) => stop,
        other => panic!("{other:?}"),
    }
}

fn texts(events: &[Result<TurnEvent, Error>]) -> String {
    let texts = events.iter().filter_map(|event| match event {
        Ok(TurnEvent::Text(text)) => Some(text.as_str()),
        _ => None,
    });
    texts.collect()
}

#[tokio::test]
async fn turn_refused_before_it_is_run_is_not_charged() {
    let setting = with(scripted(vec![(GATE, ScriptedHook::refusing("No."))])).await;
    let refused = setting.ask(&capped("a", 10_000), turn("m-1", None)).await;
    assert!(!stop(&refused.unwrap_err()).is_charged);
    assert_eq!(setting.runs.count(), 0);
    assert_eq!(setting.charged().await, (0, 0, 0));
    assert_eq!(setting.used(&capped("a", 10_000)).await, 0);
}

#[tokio::test]
async fn replaced_messages_are_run_and_make_the_key_of_the_cache() {
    let setting = with(filters(&[MASK])).await;
    let caller = Caller::named("a");
    let asking = |text: &str| Turn {
        prompt: vec![Part::text(text)],
        ..turn("m-1", Some(0.0))
    };
    let running = setting.ask(&caller, asking("Say hello.")).await.unwrap();
    assert_eq!(running.info.cache, Some(CacheStatus::Miss));
    let header = running.info.hooks.header_value();
    assert_eq!(
        header.as_deref(),
        Some("mask; point=before; verdict=replace")
    );
    let run = setting.runs.take();
    assert_eq!(run.turn.prompt, [Part::text("Say ***.")]);
    run.answer(5);
    let notes = running.info.hooks.clone();
    assert_eq!(texts(&read(running).await), "***");
    let header = notes.header_value().unwrap();
    assert!(
        header.ends_with("mask; point=after; verdict=replace"),
        "{header}"
    );
    // Another prompt of which the hook makes the same.
    let cached = setting.ask(&caller, asking("Say HELLO.")).await.unwrap();
    assert_eq!(cached.info.cache, Some(CacheStatus::Hit));
    let events = read(cached).await;
    assert_eq!(texts(&events), "***");
    assert_eq!(cost(&events), Some(0));
    assert_eq!(setting.runs.count(), 0);
}

#[tokio::test]
async fn cache_keeps_the_answer_as_it_is_before_hooks() {
    let hook = ScriptedHook::passing();
    let setting = with(scripted(vec![(AFTER, hook.clone())])).await;
    let caller = Caller::named("a");
    let running = setting.ask(&caller, turn("m-1", Some(0.0))).await.unwrap();
    setting.runs.take().answer(5);
    read(running).await;
    let cached = setting.ask(&caller, turn("m-1", Some(0.0))).await.unwrap();
    read(cached).await;
    let contents: Vec<_> = hook
        .calls()
        .into_iter()
        .map(|input| (input.content.answer.unwrap().text, input.content.cost_usd))
        .collect();
    let expected = [
        ("Hello".to_owned(), Some(5e-9)),
        ("Hello".to_owned(), Some(0.0)),
    ];
    assert_eq!(contents, expected);
}

#[tokio::test]
async fn answer_refused_after_its_run_is_charged_and_the_error_says_so() {
    let setting = with(scripted(vec![(AFTER, ScriptedHook::refusing("No."))])).await;
    let caller = Caller::named("a");
    let running = setting.ask(&caller, turn("m-1", None)).await.unwrap();
    setting.runs.take().answer(7);
    let events = read(running).await;
    let [Err(error)] = &events[..] else {
        panic!("{events:?}");
    };
    assert!(stop(error).is_charged);
    assert_eq!(setting.charged().await, (1, 120, 7));
}

#[tokio::test]
async fn stream_that_a_filter_stops_is_cut_short_and_charged() {
    let refuse = format!("{MASK}\nthen = \"refuse\"").replace("\"before\", ", "");
    let setting = with(filters(&[&refuse])).await;
    let running = setting.ask(&Caller::named("a"), turn("m-1", None)).await;
    let run = setting.runs.take();
    run.begin();
    run.say(TurnEvent::Text(
        "Well, hello there, how are you?".to_owned(),
    ));
    let events = read(running.unwrap()).await;
    assert!(
        matches!(&events[..], [Ok(TurnEvent::Started { .. }), Err(error)] if stop(error).is_charged)
    );
    run.cost_meter.record_cost(Money::from_nanos(9));
    drop(run);
    setting.rest().await;
    assert_eq!(setting.charged().await.2, 9);
}

#[tokio::test]
async fn answer_held_back_as_a_whole_comes_at_once_and_in_order() {
    let setting = with(scripted(vec![(AFTER, ScriptedHook::passing())])).await;
    let running = setting.ask(&Caller::named("a"), turn("m-1", None)).await;
    let mut events = running.unwrap().events;
    let run = setting.runs.take();
    run.begin();
    run.say(TurnEvent::Text("Hel".to_owned()));
    assert!(futures::poll!(events.next()).is_pending());
    run.say(TurnEvent::Text("lo".to_owned()));
    run.say(finished());
    let events: Vec<_> = events.collect().await;
    assert_eq!(texts(&events), "Hello");
    assert!(matches!(events.last(), Some(Ok(TurnEvent::Finished(_)))));
}

#[tokio::test]
async fn errors_are_told_in_the_words_of_a_hook() {
    let toml = "name = \"kind\"\nkind = \"http\"\npoints = [\"error\"]";
    let hook = ScriptedHook::answering(HookVerdict::Message("Sorry.".to_owned()));
    let setting = with(scripted(vec![(toml, hook.clone())])).await;
    let refused = setting.ask(&capped("a", 1), turn("m-1", None)).await;
    let Err(Error::Hooked(hooked)) = &refused else {
        panic!("{refused:?}")
    };
    assert!(matches!(hooked.error, Error::OverBudget(_)));
    assert_eq!(hooked.message.as_deref(), Some("Sorry."));
    let running = setting.ask(&Caller::named("b"), turn("m-1", None)).await;
    let run = setting.runs.take();
    let failure = Failure::new(FailureKind::Overloaded, "full");
    run.events.unbounded_send(Err(failure.into())).unwrap();
    drop(run);
    let events = read(running.unwrap()).await;
    assert!(
        matches!(&events[..], [Err(Error::Hooked(hooked))] if hooked.message.is_some()),
        "{events:?}"
    );
    assert_eq!(hook.calls().len(), 2);
}

#[test]
fn error_of_a_turn_with_hooks_keeps_its_cause() {
    let disk = std::io::Error::other("the disk is full");
    let hooked = HookedError {
        error: Error::Ledger(SharedCause::new(disk)),
        notes: HookNotes::default(),
        message: None,
        is_reported: false,
    };
    let error = Error::Hooked(Box::new(hooked));
    assert_eq!(error.to_string(), "the ledger cannot be used");
    let cause = std::error::Error::source(&error).unwrap();
    assert_eq!(cause.to_string(), "the disk is full");
}

#[tokio::test(start_paused = true)]
async fn running_turn_that_the_operator_cancels_is_reported_once() {
    let toml = "name = \"ear\"\nkind = \"http\"\npoints = [\"error\"]";
    let hook = ScriptedHook::passing();
    let setting = with(scripted(vec![(toml, hook.clone())])).await;
    let activity = setting.pipeline.admission.activity.clone();
    let running = setting.ask(&Caller::named("a"), turn("m-1", None)).await;
    let run = setting.runs.take();
    run.begin();
    let mut events = running.unwrap().events;
    events.next().await.unwrap().unwrap();
    assert!(futures::poll!(events.next()).is_pending());
    assert!(activity.cancel_turn(activity.snapshot().running[0].id));
    let error = events.next().await.unwrap().unwrap_err();
    let Error::Hooked(hooked) = &error else {
        panic!("{error:?}")
    };
    assert_eq!(hooked.error, Error::CancelledByOperator);
    assert!(hooked.is_reported);
    assert!(events.next().await.is_none());
    assert_eq!(hook.calls().len(), 1);
    drop(run);
}

#[tokio::test]
async fn prompt_whose_tokens_are_counted_passes_the_hooks_before() {
    let setting = with(scripted(vec![(GATE, ScriptedHook::refusing("No."))])).await;
    let counted = setting
        .pipeline
        .count_tokens(Caller::named("a"), turn("m-1", None));
    assert!(!stop(&counted.await.unwrap_err()).is_charged);
    let resolved = setting
        .pipeline
        .resolve(Caller::named("a"), turn("m-1", None));
    assert!(resolved.await.is_ok(), "no prompt goes upstream");
}
