//! Tests of what many calls cost on a model whose long prompts have higher prices.

use super::super::testing::AgentScript;
use super::super::testing::LONG_TARIFF_MODEL;
use super::costs::dollars;
use super::costs::held;
use super::costs::monthly;
use super::costs::with_key;
use super::*;
use crate::domain::ModelName;
use crate::engine::agent::AgentReport;

/// Number of events before the first call.
const FIRST_EVENTS: u64 = 1;
/// Number of events of a call and its tool.
const CALL_EVENTS: u64 = 3;

fn spec(server: &TaskTestServer) -> TaskSpec {
    TaskSpec {
        model: ModelName::new(LONG_TARIFF_MODEL),
        max_budget: dollars("0.50"),
        ..server.spec()
    }
}

fn start_answer(agent: &AgentScript) {
    let model = LONG_TARIFF_MODEL.to_owned();
    agent.emit(AgentEvent::AnswerStarted { model });
}

fn prompt(tokens: u64) -> Usage {
    Usage {
        input_tokens: tokens,
        ..Usage::default()
    }
}

/// Reports a call, after which the prompts of all calls had `tokens`, and the result of its tool.
fn call(agent: &AgentScript, tokens: u64) {
    start_answer(agent);
    agent.emit(AgentEvent::ToolUse {
        id: "toolu_1".to_owned(),
        name: "Read".to_owned(),
        input: "{}".to_owned(),
    });
    agent.emit(AgentEvent::UsageUpdated(prompt(tokens)));
    agent.emit(AgentEvent::ToolResult {
        id: "toolu_1".to_owned(),
        content: "ok".to_owned(),
        is_error: false,
        change: None,
    });
}

/// Waits until `calls` calls and their tools are recorded.
async fn wait_for_calls(server: &TaskTestServer, caller: &Caller, id: &str, calls: u64) -> Task {
    let events = FIRST_EVENTS + calls * CALL_EVENTS;
    loop {
        let task = server.tasks.get(caller, id).await.unwrap();
        if task.events >= events {
            return task;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn running_task_of_many_short_prompts_has_the_prices_of_short_prompts() {
    let (mut server, _registry, caller) = with_key(monthly("1")).await;
    let task = server.tasks.create(&caller, spec(&server)).await.unwrap();
    let agent = server.agents.recv().await.unwrap();
    for calls in 1..=3 {
        call(&agent, calls * 40_000);
    }
    let task = wait_for_calls(&server, &caller, &task.id, 3).await;
    assert_eq!(server.tasks.cost_so_far(&task), dollars("0.12"));
    let owner = server.tasks.0.deps.keys.owner_id(&caller);
    let spent = server.tasks.0.spent_so_far(&owner, &task.id);
    assert_eq!(Some(spent), dollars("0.12"));
    let covered = held(&server, &caller).await;
    assert_eq!(
        Some(covered),
        dollars("0.50"),
        "it has room for another call"
    );
}

#[tokio::test(start_paused = true)]
async fn ended_task_of_many_short_prompts_has_the_prices_of_short_prompts() {
    let mut server = TaskTestServer::open().await;
    let created = server.tasks.create(&me(), spec(&server)).await;
    let id = created.unwrap().id;
    let agent = server.agents.recv().await.unwrap();
    for calls in 1..=3 {
        call(&agent, calls * 40_000);
    }
    agent.emit(AgentEvent::Finished(AgentReport {
        reason: AgentStop::Completed,
        result: "words".to_owned(),
        usage: prompt(120_000),
        session_cost: None,
    }));
    let task = server.wait_until_ended(&id).await;
    assert_eq!(task.cost(), dollars("0.12"));
}

#[tokio::test(start_paused = true)]
async fn prompt_of_an_unanswered_call_counts_as_a_call_of_its_own() {
    let mut server = TaskTestServer::open().await;
    let created = server.tasks.create(&me(), spec(&server)).await;
    let id = created.unwrap().id;
    let agent = server.agents.recv().await.unwrap();
    call(&agent, 60_000);
    let gone = Failure::new(FailureKind::Crashed, "gone");
    agent.events.send(Err(gone)).unwrap();
    let cost = server.wait_until_ended(&id).await.cost();
    let least = dollars("0.12").unwrap();
    let most = dollars("0.121").unwrap();
    let is_expected = cost.is_some_and(|cost| (least..most).contains(&cost));
    assert!(is_expected, "{cost:?}");
}

#[tokio::test(start_paused = true)]
async fn started_answer_does_not_lower_the_price_of_earlier_prompts() {
    let mut server = TaskTestServer::open().await;
    let spec = TaskSpec {
        max_budget: dollars("1"),
        ..spec(&server)
    };
    let created = server.tasks.create(&me(), spec).await;
    let id = created.unwrap().id;
    let agent = server.agents.recv().await.unwrap();
    call(&agent, 150_000);
    start_answer(&agent);
    let task = loop {
        let task = server.tasks.get(&me(), &id).await.unwrap();
        if task.turns == 2 {
            break task;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(server.tasks.cost_so_far(&task), dollars("0.75"));
    // A second report of the same answer counts no other call.
    agent.emit(AgentEvent::UsageUpdated(prompt(210_000)));
    agent.emit(AgentEvent::UsageUpdated(prompt(210_000)));
    let gone = Failure::new(FailureKind::Crashed, "gone");
    agent.events.send(Err(gone)).unwrap();
    let cost = server.wait_until_ended(&id).await.cost();
    assert_eq!(cost, dollars("1.05"));
}
