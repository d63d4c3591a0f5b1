//! Hooks of tasks: before the prompt, on reported events, and after the result.

use super::*;
use crate::domain::RequestOrigin;
use crate::engine::hooks::HookPoint;
use crate::engine::hooks::Hooks;
use crate::engine::hooks::testing::ScriptedHook;
use crate::engine::hooks::testing::deps;
use crate::engine::hooks::testing::filters;
use crate::engine::hooks::testing::scripted;
use crate::engine::hooks::testing::scripted_with;
use crate::telemetry::metrics::RequestExemplar;

const AROUND: &str = "name = \"ear\"\nkind = \"http\"\npoints = [\"before\", \"after\", \"event\"]\n\
                      prompt = \"read\"\nanswer = \"read\"\nstream = \"whole\"";

fn refusing(points: &str) -> Hooks {
    let toml = format!("name = \"gate\"\nkind = \"http\"\npoints = [{points}]\nstream = \"whole\"");
    scripted(vec![(toml.as_str(), ScriptedHook::refusing("No."))])
}

#[tokio::test(start_paused = true)]
async fn hook_is_called_once_before_and_after_a_task_and_told_of_its_states() {
    let deps = deps();
    let hook = ScriptedHook::passing();
    let hooks = scripted_with(vec![(AROUND, hook.clone())], &deps);
    let mut server = TaskTestServer::with_hooks(hooks).await;
    let task = server.create().await;
    let agent = server.agents.recv().await.unwrap();
    agent.end(AgentStop::Completed, "0.1");
    let task = server.wait_until_ended(&task.id).await;
    assert_eq!(task.result.as_deref(), Some("words"));
    server.tasks.wait_until_ended().await;
    deps.tracker.close();
    deps.tracker.wait().await;
    let calls = hook.calls();
    let at = |point| calls.iter().filter(move |input| input.point == point);
    let before: Vec<_> = at(HookPoint::Before).collect();
    let after: Vec<_> = at(HookPoint::After).collect();
    assert_eq!((before.len(), after.len()), (1, 1));
    assert_eq!(before[0].request.as_ref().unwrap().surface, "tasks");
    let answer = after[0].content.answer.as_ref().unwrap();
    assert_eq!(answer.text, "words");
    let mut events: Vec<_> = at(HookPoint::Event)
        .map(|input| input.content.event.as_ref().unwrap()["type"].to_string())
        .collect();
    events.sort();
    let expected = ["task.completed", "task.created", "task.started"];
    assert_eq!(events, expected.map(|kind| format!("\"{kind}\"")));
}

#[tokio::test(start_paused = true)]
async fn prompt_messages_and_result_of_a_task_are_filtered() {
    let filter = "name = \"mask\"\nkind = \"filter\"\npoints = [\"before\", \"after\"]\n\
                  words = [\"it\", \"words\"]";
    let mut server = TaskTestServer::with_hooks(filters(&[filter])).await;
    let task = server.create().await;
    let agent = server.agents.recv().await.unwrap();
    assert_eq!(agent.job.prompt, "do ***");
    agent.emit(AgentEvent::Message("some words".to_owned()));
    agent.emit(AgentEvent::ToolUse {
        id: "toolu_1".to_owned(),
        name: "Write".to_owned(),
        input: r#"{"content":"\u0077ords"}"#.to_owned(),
    });
    agent.end(AgentStop::Completed, "0.1");
    let events = server.read_events(&task.id, 0).await;
    assert!(!events.contains("words"), "{events}");
    assert!(events.contains("some ***"), "{events}");
    let task = server.wait_until_ended(&task.id).await;
    assert_eq!(task.result.as_deref(), Some("***"));
}

#[tokio::test(start_paused = true)]
async fn task_refused_before_it_is_created_leaves_nothing_behind() {
    let server = TaskTestServer::with_hooks(refusing("\"before\"")).await;
    let refused = server.tasks.create(&me(), server.spec()).await;
    assert!(matches!(refused, Err(Error::Hook(stop)) if !stop.is_charged));
    assert!(server.tasks.list(&me()).await.unwrap().is_empty());
    assert_eq!(counts_of(&server), [0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn task_whose_result_is_refused_fails_and_is_charged() {
    let mut server = TaskTestServer::with_hooks(refusing("\"after\"")).await;
    let task = server.create().await;
    let agent = server.agents.recv().await.unwrap();
    agent.end(AgentStop::Completed, "0.1");
    let task = server.wait_until_ended(&task.id).await;
    assert_eq!((task.status, task.result), (TaskStatus::Failed, None));
    let error = task.error.unwrap();
    assert_eq!(error.code, "hook_refused");
    assert!(error.message.ends_with("is charged."), "{}", error.message);
    assert!(task.cost_nanos.unwrap() > 0);
}

#[tokio::test(start_paused = true)]
async fn task_that_fails_is_reported_once_but_not_to_the_hook_that_stopped_it() {
    let ear = "name = \"ear\"\nkind = \"http\"\npoints = [\"error\"]";
    let gate = "name = \"gate\"\nkind = \"http\"\npoints = [\"after\", \"error\"]\n\
                stream = \"whole\"";
    for (end, code, count) in [
        (AgentStop::MaxTurns, "max_turns", 1),
        (AgentStop::Completed, "hook_refused", 0),
    ] {
        let deps = deps();
        let hook = ScriptedHook::passing();
        let refusing = ScriptedHook::refusing("No.");
        let list = vec![(ear, hook.clone()), (gate, refusing.clone())];
        let mut server = TaskTestServer::with_hooks(scripted_with(list, &deps)).await;
        let task = server.create().await;
        let agent = server.agents.recv().await.unwrap();
        agent.end(end, "0.1");
        server.wait_until_ended(&task.id).await;
        server.tasks.wait_until_ended().await;
        deps.tracker.close();
        deps.tracker.wait().await;
        let calls = hook.calls();
        assert_eq!(calls.len(), 1, "{code}");
        let error = calls[0].content.error.as_ref().unwrap();
        assert_eq!((error.status, error.code.as_str()), (0, code));
        assert_eq!(calls[0].request.as_ref().unwrap().surface, "tasks");
        let told = refusing.calls().into_iter();
        let told = told.filter(|input| input.point == HookPoint::Error);
        assert_eq!(told.count(), count, "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn task_of_a_hook_calls_no_hooks() {
    let hook = ScriptedHook::passing();
    let mut server = TaskTestServer::with_hooks(scripted(vec![(AROUND, hook.clone())])).await;
    let caller = Caller {
        origin: RequestOrigin {
            is_from_hook: true,
            ..RequestOrigin::default()
        },
        ..me()
    };
    server.tasks.create(&caller, server.spec()).await.unwrap();
    server.agents.recv().await.unwrap();
    let is_asked = |input: &crate::engine::hooks::HookInput| input.point != HookPoint::Event;
    assert!(!hook.calls().iter().any(is_asked));
}

#[tokio::test(start_paused = true)]
async fn hook_before_a_task_with_a_chosen_id_gets_the_id_of_the_request() {
    let hook = ScriptedHook::passing();
    let server = TaskTestServer::with_hooks(scripted(vec![(AROUND, hook.clone())])).await;
    let chosen = ChosenId::new("mine".to_owned(), &serde_json::json!({}));
    let spec = TaskSpec {
        chosen: Some(chosen),
        ..server.spec()
    };
    let me = me();
    let creating = server.tasks.create_once(&me, spec);
    let request = RequestExemplar::of_request("req_1");
    request.scope(creating).await.unwrap();
    let calls = hook.calls();
    let before = calls.iter().find(|input| input.point == HookPoint::Before);
    let facts = before.unwrap().request.as_ref().unwrap();
    assert_eq!(&*facts.request_id, "req_1");
}
