//! Hooks of batch lines, and of the end of a batch.

use super::super::hooks::assert_called_once;
use super::super::hooks::hooked;
use super::*;
use crate::engine::hooks::testing::ScriptedHook;
use crate::engine::hooks::testing::scripted;

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
