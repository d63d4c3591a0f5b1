//! Hooks of batch lines, and of the end of a batch.

use super::super::hooks::assert_called_once;
use super::super::hooks::hooked;
use super::*;
use crate::engine::hooks::testing::ScriptedHook;
use crate::engine::hooks::testing::deps;
use crate::engine::hooks::testing::scripted;
use crate::engine::hooks::testing::scripted_with;

#[tokio::test]
async fn hook_is_called_once_for_a_line_of_a_batch() {
    let toml = "name = \"ear\"\nkind = \"http\"\npoints = [\"before\", \"after\"]\n\
                prompt = \"read\"\nanswer = \"read\"\nstream = \"whole\"";
    let hook = ScriptedHook::passing();
    let hooks = scripted(vec![(toml, hook.clone())]);
    let turns = ScriptedTurns::playing(greeting_steps());
    let server = BatchServer::start(hooked(hooks, turns).await).await;
    let id = server.create_batch(&lines(1)).await;
    let batch = server.wait_for_status(&id, "completed").await;
    assert_eq!(batch["request_counts"]["completed"], 1);
    assert_called_once(&hook.calls(), "batches", false);
}

#[tokio::test]
async fn line_of_a_batch_that_is_not_valid_is_reported_to_hooks_once() {
    let toml = "name = \"ear\"\nkind = \"http\"\npoints = [\"error\"]";
    let deps = deps();
    let hook = ScriptedHook::passing();
    let hooks = scripted_with(vec![(toml, hook.clone())], &deps);
    let mut storage = BatchStorage::new(Keys::none()).await;
    storage.tools.hooks = hooks.clone();
    let turns = ScriptedTurns::playing(greeting_steps());
    let server = storage.start_server(hooked(hooks, turns).await, 2);
    let mut bad = line("a");
    bad["body"] = json!({"model": "sonnet"});
    let id = server.create_batch(&[bad, line("b")]).await;
    let batch = server.wait_for_status(&id, "completed").await;
    assert_eq!(batch["request_counts"]["failed"], 1);
    deps.tracker.close();
    deps.tracker.wait().await;
    let calls = hook.calls();
    let told: Vec<_> = calls
        .iter()
        .map(|call| call.request.as_ref().unwrap().surface)
        .collect();
    assert_eq!(told, ["batches"]);
    assert_eq!(calls[0].content.error.as_ref().unwrap().status, 400);
}
